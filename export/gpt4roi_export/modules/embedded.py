"""The embedded model's vision side as the two graphs of a bundle: a closed form, nothing trained.

Knows neither files nor how the rows of the class names were made.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gpt4roi_export.efficientnet_lite import FEATURE_WIDTH, N_CLASSES, CellGrid, last_grid
from gpt4roi_export.modules.efficientnet_lite import EfficientNetLite2
from gpt4roi_export.modules.roi_align import roi_align

BINS = 7
SAMPLES = 2


class NamingHead(nn.Module):
    """Features -> ImageNet classes -> softmax -> weighted mean of the class names' rows.

    Args:
        n_rows: Rows a name takes in the prompt.
        embedding_length: Width of the language model.
    """

    def __init__(self, n_rows: int, embedding_length: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(FEATURE_WIDTH, N_CLASSES)
        self.names = nn.Parameter(torch.zeros(N_CLASSES, n_rows * embedding_length))
        self.n_rows = n_rows
        self.embedding_length = embedding_length

    def forward(self, features: Float[Tensor, "n c"]) -> Float[Tensor, "n k d"]:
        """Rows for each feature vector."""
        shares = self.classifier(features).softmax(dim=-1)
        rows: Tensor = shares @ self.names
        return rows.reshape(-1, self.n_rows, self.embedding_length)


class EmbeddedEncodeGraph(nn.Module):
    """``pixels`` -> ``image_embeddings``, ``pyramid_0`` .. ``pyramid_3``; the image is named like one large region.

    Args:
        n_rows: Rows of ``image_embeddings``.
        embedding_length: Width of the language model.
    """

    def __init__(self, n_rows: int, embedding_length: int) -> None:
        super().__init__()
        self.trunk = EfficientNetLite2()
        self.naming = NamingHead(n_rows, embedding_length)

    def forward(self, pixels: Float[Tensor, "1 3 h w"]) -> tuple[Tensor, ...]:
        """Encode one image."""
        levels: tuple[Tensor, ...] = self.trunk(pixels)
        return (self.naming(levels[-1].mean(dim=(2, 3)))[0], *levels)


class EmbeddedRegionsGraph(nn.Module):
    """``pyramid_0`` .. ``pyramid_3``, ``boxes`` -> ``region_embeddings``; only the last level is read.

    Args:
        n_rows: Rows a region takes in the prompt.
        embedding_length: Width of the language model.
        side_px: Side of the square image the pyramid was made from.
    """

    def __init__(self, n_rows: int, embedding_length: int, side_px: int) -> None:
        super().__init__()
        self.naming = NamingHead(n_rows, embedding_length)
        self.side_px = side_px
        self.grid: CellGrid = last_grid()

    def forward(
        self,
        pyramid_0: Tensor,  # noqa: ARG002 - the contract of the two graphs names all four levels
        pyramid_1: Tensor,  # noqa: ARG002
        pyramid_2: Tensor,  # noqa: ARG002
        pyramid_3: Float[Tensor, "1 c h w"],
        boxes: Float[Tensor, "n 4"],
    ) -> Float[Tensor, "n k d"]:
        """Embed boxes (x1 y1 x2 y2 in 0..1)."""
        embeddings: Tensor = self.naming(self.region_features(pyramid_3, boxes))
        return embeddings

    def region_features(self, pyramid_3: Float[Tensor, "1 c h w"], boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n c"]:
        """Mean of the last level inside each box."""
        # RoIAlign takes the centre of cell i for i + 0.5.
        cells = (boxes * self.side_px - self.grid.first_centre_px) / self.grid.stride_px + 0.5
        return roi_align(pyramid_3, cells, BINS, SAMPLES).mean(dim=(2, 3))
