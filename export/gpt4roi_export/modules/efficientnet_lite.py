"""EfficientNet-Lite2 as a torch module with the batch norms folded in.

Knows neither files nor regions; the sizes are those of ``gpt4roi_export.efficientnet_lite``.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gpt4roi_export.efficientnet_lite import (
    FEATURE_WIDTH,
    STEM_WIDTH,
    Block,
    blocks,
    blocks_of_levels,
    padding,
)


class Convolution(nn.Conv2d):
    """Convolution with the fixed padding of ``efficientnet_lite.padding``."""

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Pad, then convolve."""
        before, after = padding(self.kernel_size[0], self.stride[0])
        if before == after:
            return functional.conv2d(features, self.weight, self.bias, self.stride, padding=before, groups=self.groups)
        padded = functional.pad(features, (before, after, before, after))
        return functional.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)


class InvertedResidual(nn.Module):
    """Expand, convolve each channel, project; add the input where shapes allow (MobileNetV2, section 3.3).

    Args:
        block: Its sizes.
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        expands = block.hidden != block.width_in
        self.expand = Convolution(block.width_in, block.hidden, 1) if expands else nn.Identity()
        self.depthwise = Convolution(block.hidden, block.hidden, block.kernel, block.stride, groups=block.hidden)
        self.project = Convolution(block.hidden, block.width_out, 1)
        self.expands = expands
        self.adds_input = block.stride == 1 and block.width_in == block.width_out

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """One block."""
        hidden = functional.relu6(self.expand(features)) if self.expands else features
        projected: Tensor = self.project(functional.relu6(self.depthwise(hidden)))
        return features + projected if self.adds_input else projected


class EfficientNetLite2(nn.Module):
    """The trunk and its head convolution, returning four levels."""

    def __init__(self) -> None:
        super().__init__()
        sizes = tuple(blocks())
        self.stem = Convolution(3, STEM_WIDTH, 3, stride=2)
        self.blocks = nn.ModuleList(InvertedResidual(block) for block in sizes)
        self.head = Convolution(sizes[-1].width_out, FEATURE_WIDTH, 1)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, ...]:
        """Features of strides 8, 16 and 32, and those of stride 32 behind the head's convolution.

        Args:
            pixels: RGB, (x - 127) / 128.

        Returns:
            At 520 px: 48 x 65 x 65, 120 x 32 x 32, 352 x 16 x 16, 1280 x 16 x 16.
        """
        finest, middle = self.front(pixels)
        return (finest, middle, *self.rest(middle))

    def front(self, pixels: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor]:
        """Features of strides 8 and 16."""
        finest, middle, _ = blocks_of_levels()
        features = functional.relu6(self.stem(pixels))
        levels = []
        for index, block in enumerate(self.blocks[: middle + 1]):
            features = block(features)
            if index in (finest, middle):
                levels.append(features)
        return levels[0], levels[1]

    def rest(self, middle: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
        """Features of stride 32, before and behind the head's convolution, from those of stride 16."""
        features = middle
        for block in self.last_blocks:
            features = block(features)
        return features, functional.relu6(self.head(features))

    @property
    def last_blocks(self) -> nn.ModuleList:
        """The blocks behind stride 16."""
        _, middle, _ = blocks_of_levels()
        return self.blocks[middle + 1 :]
