"""EfficientNet-Lite2 as numbers: its blocks, where its cells look, its weights without batch norms.

Does not know torch or ONNX; ``modules.efficientnet_lite`` computes what is written down here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpt4roi_runtime.errors import BundleError

N_CLASSES = 1000
FEATURE_WIDTH = 1280
STEM_WIDTH = 32
NORM_EPS = 1e-3
"""Of the batch norms; TensorFlow's EfficientNet default, not torch's 1e-5."""
PIXEL_MEAN = 127.0 / 255.0
PIXEL_STD = 128.0 / 255.0
"""(x - 127) / 128 on 0..255, said for values scaled to 0..1."""


@dataclass(frozen=True)
class Stage:
    """A run of inverted-residual blocks; the first one changes stride and width.

    Attributes:
        expansion: Hidden width over input width.
        kernel: Side of the depthwise kernel.
        stride: Of the first block.
        width: Output channels.
        n_blocks: Blocks in the run.
    """

    expansion: int
    kernel: int
    stride: int
    width: int
    n_blocks: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 3),
    Stage(6, 5, 2, 48, 3),
    Stage(6, 3, 2, 88, 4),
    Stage(6, 5, 1, 120, 4),
    Stage(6, 5, 2, 208, 5),
    Stage(6, 3, 1, 352, 1),
)
"""EfficientNet (arXiv 1905.11946, table 1) at width 1.1 and depth 1.2; the Lite variants keep first and last stage."""
STAGES_OF_LEVELS = (2, 4, 6)
"""Pyramid levels 0, 1, 2 are the outputs of these stages; level 3 is the head's 1x1 convolution on the last."""


@dataclass(frozen=True)
class Block:
    """One inverted-residual block.

    Attributes:
        width_in: Input channels.
        hidden: Channels of the depthwise convolution.
        width_out: Output channels.
        kernel: Side of the depthwise kernel.
        stride: 1 or 2.
    """

    width_in: int
    hidden: int
    width_out: int
    kernel: int
    stride: int


def blocks() -> Iterator[Block]:
    """All 21 blocks in order."""
    width_in = STEM_WIDTH
    for stage in STAGES:
        for index in range(stage.n_blocks):
            stride = stage.stride if index == 0 else 1
            yield Block(width_in, width_in * stage.expansion, stage.width, stage.kernel, stride)
            width_in = stage.width


def blocks_of_levels() -> tuple[int, ...]:
    """Index of the last block of every stage that is a pyramid level."""
    return tuple(sum(stage.n_blocks for stage in STAGES[: index + 1]) - 1 for index in STAGES_OF_LEVELS)


def padding(kernel: int, stride: int) -> tuple[int, int]:
    """Cells added before and after an axis: TensorFlow's SAME for an even size.

    Fixed rather than made to fit each size, so that levels have sides 65, 32, 16 at 520 px and cell centres that a
    constant describes.
    """
    total = kernel - stride
    return total // 2, total - total // 2


@dataclass(frozen=True)
class CellGrid:
    """Where the cells of a level look.

    Attributes:
        stride_px: Distance of two neighbouring cells' centres, in pixels of the input.
        first_centre_px: Centre of cell 0; pixel 0 reaches from 0 to 1.
    """

    stride_px: float
    first_centre_px: float


def level_grids() -> tuple[CellGrid, ...]:
    """Grids of levels 0 to 3, followed through every convolution.

    Centres do not lie at ``stride / 2``: on level 3 they are 15.5 px right of and below it. The head's 1x1
    convolution moves nothing, so levels 2 and 3 share a grid.
    """
    stride_px, centre_px = 1.0, 0.5
    grids = []
    for kernel, stride in ((3, 2), *((block.kernel, block.stride) for block in blocks())):
        before, _ = padding(kernel, stride)
        centre_px += stride_px * ((kernel - 1) / 2 - before)
        stride_px *= stride
        grids.append(CellGrid(stride_px, centre_px))
    after_block = [grids[index + 1] for index in blocks_of_levels()]  # grid 0 is the stem's
    return (*after_block, after_block[-1])


def last_grid() -> CellGrid:
    """Grid of level 3."""
    return level_grids()[-1]


Arrays = Mapping[str, NDArray[np.generic]]


def folded_weights(state: Arrays) -> dict[str, NDArray[np.float32]]:
    """Every convolution with its batch norm folded in, by the names of ``modules.efficientnet_lite``.

    ``norm(conv(x)) = conv(x) * g + (b - mean * g)`` with ``g = weight / sqrt(var + eps)``, computed in float64.

    Args:
        state: The released checkpoint's arrays by their names there.

    Returns:
        float32 weights and biases of the trunk (``stem``, ``blocks.N``, ``head``) and the classifier.

    Raises:
        BundleError: An array is missing.
    """
    folded: dict[str, NDArray[np.float32]] = {}
    folded.update(_folded(state, "_conv_stem", "_bn0", "stem"))
    for index, block in enumerate(blocks()):
        theirs, ours = f"_blocks.{index}.", f"blocks.{index}."
        if block.hidden != block.width_in:
            folded.update(_folded(state, theirs + "_expand_conv", theirs + "_bn0", ours + "expand"))
        folded.update(_folded(state, theirs + "_depthwise_conv", theirs + "_bn1", ours + "depthwise"))
        folded.update(_folded(state, theirs + "_project_conv", theirs + "_bn2", ours + "project"))
    folded.update(_folded(state, "_conv_head", "_bn1", "head"))
    folded["classifier.weight"] = _array(state, "_fc.weight").astype(np.float32)
    folded["classifier.bias"] = _array(state, "_fc.bias").astype(np.float32)
    return folded


def _folded(state: Arrays, conv: str, norm: str, name: str) -> dict[str, NDArray[np.float32]]:
    gain = _array(state, f"{norm}.weight") / np.sqrt(_array(state, f"{norm}.running_var") + NORM_EPS)
    bias = _array(state, f"{norm}.bias") - _array(state, f"{norm}.running_mean") * gain
    weight = _array(state, f"{conv}.weight") * gain[:, None, None, None]
    return {f"{name}.weight": weight.astype(np.float32), f"{name}.bias": bias.astype(np.float32)}


def _array(state: Arrays, name: str) -> NDArray[np.float64]:
    if name not in state:
        raise BundleError(f"the weights hold no {name!r}", "Expected EfficientNet-Lite2 as its package ships it.")
    return state[name].astype(np.float64)
