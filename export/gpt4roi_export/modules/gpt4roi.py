"""GPT4RoI's vision side as the two graphs of a bundle: encode once an image, embed regions per question.

Knows nothing of ONNX, of checkpoints or of the language model beyond its width.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from transformers import CLIPVisionConfig

from gpt4roi_export.modules.clip_vit import HIDDEN_STATES_OF_LEVELS, ClipVit
from gpt4roi_export.modules.pyramid import Pyramid
from gpt4roi_export.modules.region_head import RegionHead, RegionHeadSizes


@dataclass(frozen=True)
class VisionSizes:
    """Everything that differs between GPT4RoI-7B and a small model of the same shape.

    Attributes:
        width: Width of the ViT and of the pyramid.
        n_layers: Layers of the ViT.
        n_heads: Attention heads of the ViT.
        mlp_width: Hidden width of the ViT's layers.
        side_px: Side of the square image.
        patch_px: Side of a patch.
        hidden_states_of_levels: Hidden states for the pyramid, finest level first.
        box_hidden: First width of the box embedding.
        feature_width: Width in which regions and box embeddings are added.
        embedding_length: Width of the language model.
    """

    width: int = 1024
    n_layers: int = 24
    n_heads: int = 16
    mlp_width: int = 4096
    side_px: int = 224
    patch_px: int = 14
    hidden_states_of_levels: tuple[int, ...] = HIDDEN_STATES_OF_LEVELS
    box_hidden: int = 256
    feature_width: int = 1024
    embedding_length: int = 4096

    def clip_config(self) -> CLIPVisionConfig:
        """The same sizes in the words of ``transformers``."""
        return CLIPVisionConfig(
            hidden_size=self.width,
            intermediate_size=self.mlp_width,
            num_hidden_layers=self.n_layers,
            num_attention_heads=self.n_heads,
            image_size=self.side_px,
            patch_size=self.patch_px,
            hidden_act="quick_gelu",
        )

    def region_head_sizes(self) -> RegionHeadSizes:
        """The part of the sizes that the region head needs."""
        return RegionHeadSizes(
            width=self.width,
            side_px=self.side_px,
            patch_px=self.patch_px,
            box_hidden=self.box_hidden,
            feature_width=self.feature_width,
            embedding_length=self.embedding_length,
        )


class EncodeGraph(nn.Module):
    """``pixels`` -> ``image_embeddings``, ``pyramid_0`` .. ``pyramid_3``.

    Args:
        sizes: Of the whole vision side.
    """

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.vit = ClipVit(sizes.clip_config(), sizes.side_px // sizes.patch_px, sizes.hidden_states_of_levels)
        self.projector = nn.Linear(sizes.width, sizes.embedding_length)
        self.pyramid = Pyramid(sizes.width)

    def forward(self, pixels: Float[Tensor, "1 3 h w"]) -> tuple[Tensor, ...]:
        """Encode one image: embeddings ``[n_patches, d]``, then the levels ``[1, width, side, side]``."""
        maps = self.vit(pixels)
        return (self.projector(maps.patches)[0], *self.pyramid(maps.levels))


class RegionsGraph(nn.Module):
    """``pyramid_0`` .. ``pyramid_3``, ``boxes`` -> ``region_embeddings`` with one row a region.

    Args:
        sizes: Of the whole vision side.
    """

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.region_head = RegionHead(sizes.region_head_sizes())

    def forward(
        self, pyramid_0: Tensor, pyramid_1: Tensor, pyramid_2: Tensor, pyramid_3: Tensor, boxes: Float[Tensor, "n 4"]
    ) -> Float[Tensor, "n 1 d"]:
        """Embed boxes (x1 y1 x2 y2 in 0..1)."""
        embeddings: Tensor = self.region_head((pyramid_0, pyramid_1, pyramid_2, pyramid_3), boxes)
        return embeddings[:, None]
