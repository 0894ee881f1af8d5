"""Bytes of the two vision graphs in ONNX Runtime and in TensorRT, from their files' structure; knows no language model.

ONNX Runtime's factors were measured on graphs of one kind of operator each (ONNX Runtime 1.31 on a CPU), TensorRT's on
engines of GPT4RoI's own size: 109 MB of values for 16 regions, 267 MB for 100, over a pyramid of 44.6 MB.
"""

from dataclasses import dataclass
from functools import cached_property

from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.bundle.manifest import PyramidLevel
from gpt4roi_runtime.planning.activations import Fullest, fullest_moment
from gpt4roi_runtime.planning.graph_file import BFLOAT16, EIGHT_BITS, FLOAT16, GraphFile, Weight, read_graph_file

_FLOAT_BYTES, _HALF_BYTES = 4, 2
_CONV_RANK = 4
_LEFT_OF_INLINE = 0.6
"""Of weights inside the graph's own file, this share is left with the process when they were copied out of it. Runs
use it again."""

_HALF_AS_FLOAT, _HALF_CONVS_WHILE_LOADING = 2.0, 2.9
"""Half floats are computed as float32, so they take twice their bytes; those of convolutions take another 2.9 times
their bytes in the middle of loading, when the file's, the float32 and the rearranged copies are all there."""

_EIGHTH_AS_STORED = 2.0
"""Weights in 8 bits: as they are in the file, and as they are rearranged."""

_COPIES_OF_CONV = 3
"""Of one convolution's weights while they are rearranged; of a matrix there is one."""

_RUN_OF_FLOATS, _RUN_OF_HALVES, _RUN_OF_EIGHTHS = 2.25, 4.4, 2.7
"""What a run takes, in bytes of the fullest moment as float32: inputs and outputs of convolutions lie there once more
in another order, and half floats are turned into float32 and back around most operators."""

_ENGINE_PYRAMIDS, _ENGINE_REGION_CELLS = 1.77, 459
"""TensorRT: values of the encode graph in pyramids of half floats, and of one region in half floats a channel."""


@dataclass(frozen=True)
class GraphNeeds:
    """One graph in ONNX Runtime.

    Attributes:
        weights_bytes: What its weights take once it is loaded.
        loading_bytes: What loading takes for a moment beyond that.
        values_bytes: What the first run takes, and the engine keeps for the next.
        seen: What the estimate of the values saw.
    """

    weights_bytes: int
    loading_bytes: int
    values_bytes: int
    seen: Fullest


@dataclass(frozen=True)
class VisionFiles:
    """The structure of a bundle's two graphs.

    Attributes:
        encode: Image to pyramid.
        regions: Pyramid and boxes to embeddings.
        pyramid: The levels between them.
        input_side_px: Side of the square the encode graph reads.
    """

    encode: GraphFile
    regions: GraphFile
    pyramid: tuple[PyramidLevel, ...]
    input_side_px: int

    @property
    def pyramid_bytes(self) -> int:
        """Bytes of the pyramid that is kept for every question about an image, float32."""
        return sum(_level_elements(level) for level in self.pyramid) * _FLOAT_BYTES

    @cached_property
    def encode_needs(self) -> GraphNeeds:
        """The encode graph in ONNX Runtime on a CPU."""
        return _needs(self.encode, 1, floor=self._encode_floor())

    def regions_needs(self, n_regions: int) -> GraphNeeds:
        """The region graph in ONNX Runtime on a CPU."""
        return _needs(self.regions, n_regions, floor=0)

    def engine_weights_bytes(self) -> tuple[int, int]:
        """Weights of both graphs as TensorRT engines: floats of any width become half floats."""
        return _engine_bytes(self.encode), _engine_bytes(self.regions)

    def engine_values_bytes(self, n_regions: int) -> int:
        """Values of both graphs as TensorRT engines, half floats."""
        pyramid = sum(_level_elements(level) for level in self.pyramid) * _HALF_BYTES
        channels = sum(level.channels for level in self.pyramid)
        return round(_ENGINE_PYRAMIDS * pyramid + n_regions * channels * _ENGINE_REGION_CELLS)

    def _encode_floor(self) -> int:
        """Four values as large as the finest level, or as eight channels of the input, whichever is larger."""
        finest = max(_level_elements(level) for level in self.pyramid)
        return 4 * max(finest, 8 * self.input_side_px**2) * _FLOAT_BYTES


def read_vision_files(bundle: Bundle) -> VisionFiles:
    """Read the structure of a bundle's graphs.

    Raises:
        BundleError: One is missing or not an ONNX file.
    """
    vision = bundle.manifest.vision
    return VisionFiles(
        encode=read_graph_file(bundle.path_of(vision.encode)),
        regions=read_graph_file(bundle.path_of(vision.regions)),
        pyramid=vision.pyramid,
        input_side_px=vision.preprocessing.side_px,
    )


def _level_elements(level: PyramidLevel) -> int:
    return level.channels * level.side**2


def _needs(graph: GraphFile, n_regions: int, floor: int) -> GraphNeeds:
    """A run's bytes, or what loading left for it where that is more."""
    seen = fullest_moment(graph, n_regions)
    fullest = seen.size_bytes if seen.complete else max(seen.size_bytes, floor)
    weights = tuple(graph.weights.values())
    left = sum(weight.size_bytes for weight in weights if not weight.external) * _LEFT_OF_INLINE
    return GraphNeeds(
        weights_bytes=sum(map(_resident_bytes, weights)),
        loading_bytes=_loading_bytes(weights),
        values_bytes=round(max(left, fullest * _run_factor(weights))),
        seen=seen,
    )


def _run_factor(weights: tuple[Weight, ...]) -> float:
    """By what most of the weights are."""
    total = sum(weight.size_bytes for weight in weights)
    if 2 * sum(weight.size_bytes for weight in weights if _is_half(weight)) > total:
        return _RUN_OF_HALVES
    if 2 * sum(weight.size_bytes for weight in weights if weight.kind in EIGHT_BITS) > total:
        return _RUN_OF_EIGHTHS
    return _RUN_OF_FLOATS


def _resident_bytes(weight: Weight) -> int:
    if _is_half(weight):
        return round(weight.size_bytes * _HALF_AS_FLOAT)
    return round(weight.size_bytes * _EIGHTH_AS_STORED) if weight.kind in EIGHT_BITS else weight.size_bytes


def _loading_bytes(weights: tuple[Weight, ...]) -> int:
    """Beyond what stays: copies of the weight in hand, or of all convolutions of half floats at once."""
    in_hand = max(
        (_resident_bytes(weight) * (_COPIES_OF_CONV if _is_conv(weight) else 1) for weight in weights), default=0
    )
    half_convs = sum(weight.size_bytes for weight in weights if _is_half(weight) and _is_conv(weight))
    return max(in_hand, round(half_convs * _HALF_CONVS_WHILE_LOADING))


def _is_half(weight: Weight) -> bool:
    return weight.kind in (FLOAT16, BFLOAT16)


def _is_conv(weight: Weight) -> bool:
    return len(weight.shape) >= _CONV_RANK


def _engine_bytes(graph: GraphFile) -> int:
    return sum(min(weight.size_bytes, weight.n_elements * _HALF_BYTES) for weight in graph.weights.values())
