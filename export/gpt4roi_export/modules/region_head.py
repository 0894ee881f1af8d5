"""The region head of GPT4RoI: boxes on a pyramid to one embedding each, as a torch module.

Knows neither who made the pyramid nor the language model that reads the embeddings.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gpt4roi_export.modules.pyramid import N_LEVELS, Levels
from gpt4roi_export.modules.roi_align import roi_align

BINS = 14
SAMPLES = 2


@dataclass(frozen=True)
class RegionHeadSizes:
    """What differs between the full model and a small one.

    Attributes:
        width: Channels of the pyramid.
        side_px: Side of the square image the ViT reads.
        patch_px: Side of the ViT's patches; the coarsest level has one cell a patch.
        box_hidden: First width of the box embedding.
        feature_width: Width in which regions and box embeddings are added.
        embedding_length: Width of the language model.
    """

    width: int = 1024
    side_px: int = 224
    patch_px: int = 14
    box_hidden: int = 256
    feature_width: int = 1024
    embedding_length: int = 4096


class RegionHead(nn.Module):
    """RoIAlign on all four levels, fused and flattened, plus an embedding of the box itself (GPT4RoI, section 3.2).

    No level is chosen by the size of a box: every box reads all four.

    Args:
        sizes: Widths and the image's geometry.
    """

    def __init__(self, sizes: RegionHeadSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.level_convs = nn.ModuleList(
            nn.Conv2d(sizes.width, sizes.width, kernel_size=3, padding=1) for _ in range(N_LEVELS)
        )
        self.flatten = nn.Linear(sizes.width * BINS * BINS, sizes.feature_width)
        self.box_embedding = nn.Sequential(
            nn.Linear(4, sizes.box_hidden),
            nn.ReLU(),
            nn.LayerNorm(sizes.box_hidden),
            nn.Linear(sizes.box_hidden, sizes.feature_width),
            nn.ReLU(),
            nn.LayerNorm(sizes.feature_width),
        )
        self.projector = nn.Linear(sizes.feature_width, sizes.embedding_length)

    def forward(self, pyramid: Levels, boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n d"]:
        """Embed ``boxes`` (x1 y1 x2 y2 in 0..1 of the image) of the image that ``pyramid`` was made from."""
        return self.embed(self.align(pyramid, boxes), boxes)

    def align(self, pyramid: Levels, boxes: Float[Tensor, "n 4"]) -> Levels:
        """RoI features of every level, each ``[n, width, 14, 14]``."""
        boxes_px = boxes * self.sizes.side_px
        strides_px = [self.sizes.patch_px / 2 ** (N_LEVELS - 1 - level) for level in range(N_LEVELS)]
        return tuple(
            roi_align(features, boxes_px / stride_px, BINS, SAMPLES)
            for features, stride_px in zip(pyramid, strides_px, strict=True)
        )

    def embed(self, rois: Levels, boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n d"]:
        """RoI features of the four levels and the boxes they belong to, to region embeddings."""
        fused = torch.zeros_like(rois[0])
        for conv, roi in zip(self.level_convs, rois, strict=True):
            fused = fused + conv(roi)
        fused = functional.relu(fused)
        features = self.flatten(fused.flatten(start_dim=1)) + self.box_embedding(boxes)
        embeddings: Tensor = self.projector(features)
        return embeddings
