"""A checkpoint's vision half to ``encode.onnx`` and ``regions.onnx`` with their weights beside them.

Does not know which files the tensors come from, and writes no manifest.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpt4roi_export.modules.gpt4roi import VisionSizes
from gpt4roi_export.tensors import Tensors
from gpt4roi_export.vision_graphs.eight_bits import FLATTEN, Ranges, activations_in_8_bits, is_large, weights_in_8_bits
from gpt4roi_export.vision_graphs.external import ALIGNMENT, stored_bytes, write_graph
from gpt4roi_export.vision_graphs.float16 import to_float16
from gpt4roi_export.vision_graphs.parameters import needed_shapes, parameters_of
from gpt4roi_export.vision_graphs.recipe import Recipe
from gpt4roi_export.vision_graphs.structure import Structure, encode_structure, recipe_of, regions_structure
from gpt4roi_export.vision_graphs.winograd import KERNEL, TILE, with_winograd
from gpt4roi_export.weights import Progress

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")

_BYTES_OF_A_NUMBER: dict[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 4}
_BYTES_OF_GRAPHS = 1_000_000
_WINOGRAD = TILE * TILE // KERNEL**2


@dataclass(frozen=True)
class VisionFormat:
    """In what the numbers are stored and computed.

    Attributes:
        precision: ``int8`` stores weights in 8 bits and computes in float32, but for the uses in ``ranges``.
        ranges: Of the activations to round, from ``calibrate``; only for ``int8``.
        small_flatten: The one matrix that is half of the region graph, in 8 bits also with ``fp16`` or ``fp32``.
        winograd: With ``fp32``, 3x3 convolutions as a quarter of the multiplications and four times the weights: for
            processors, which are short of the former.
    """

    precision: Precision = "fp32"
    ranges: Ranges | None = None
    small_flatten: bool = False
    winograd: bool = False


@dataclass(frozen=True)
class WrittenGraphs:
    """The four files, all in one folder.

    Attributes:
        encode: ``pixels`` -> ``image_embeddings``, pyramid.
        regions: Pyramid, ``boxes`` -> ``region_embeddings``.
        encode_weights: What the encode graph reads its weights from.
        regions_weights: And the regions graph.
    """

    encode: Path
    regions: Path
    encode_weights: Path
    regions_weights: Path

    @classmethod
    def in_folder(cls, folder: Path) -> "WrittenGraphs":
        """Where they are, or shall be."""
        return cls(*(folder / name for name in ("encode.onnx", "regions.onnx", "encode.weights", "regions.weights")))


def predicted_graph_bytes(sizes: VisionSizes, stored: VisionFormat) -> int:
    """What the four files will take on disk, or a little more; from shapes alone, in a moment."""
    n_bytes = _BYTES_OF_GRAPHS
    for name, shape in needed_shapes(sizes).items():
        in_8_bits = (stored.small_flatten and name == FLATTEN) or (
            stored.precision == "int8" and is_large(name) and len(shape) > 1
        )
        numbers = math.prod(shape) * (_WINOGRAD if stored.winograd and shape[2:] == (3, 3) and is_large(name) else 1)
        n_bytes += numbers * (1 if in_8_bits else _BYTES_OF_A_NUMBER[stored.precision])
        n_bytes += (4 * shape[0] if in_8_bits else 0) + 2 * ALIGNMENT
    return n_bytes


def write_graphs(
    sizes: VisionSizes, clip: Tensors, release: Tensors, folder: Path, stored: VisionFormat, progress: Progress
) -> WrittenGraphs:
    """Write both graphs, reading one tensor at a time; the same bytes for the same tensors.

    Args:
        sizes: Of the whole vision side.
        clip: CLIP's files.
        release: GPT4RoI's files, base and delta added up.
        folder: Is there; files of these names are replaced.
        stored: The precision.
        progress: Told what is being done.

    Raises:
        BundleError: Tensors are missing, foreign or damaged, or do not fit the precision.
        OutputError: A file cannot be written.
    """
    parameters = parameters_of(sizes, clip, release)
    written = WrittenGraphs.in_folder(folder)
    progress("tracing the vision graphs", 0.0)
    encode, regions = _recipe(encode_structure(sizes), stored), _recipe(regions_structure(sizes), stored)
    n_bytes = stored_bytes(encode) + stored_bytes(regions)
    done = 0

    def on_bytes(n_new: int) -> None:
        nonlocal done
        done += n_new
        progress("writing the vision graphs", done / n_bytes)

    write_graph(encode, parameters.read, written.encode, written.encode_weights, on_bytes)
    write_graph(regions, parameters.read, written.regions, written.regions_weights, on_bytes)
    return written


def _recipe(structure: Structure, stored: VisionFormat) -> Recipe:
    recipe = recipe_of(structure)
    match stored.precision:
        case "fp32":
            full = with_winograd(recipe) if stored.winograd else recipe
            return _with_small_flatten(full) if stored.small_flatten else full
        case "fp16":
            half = to_float16(recipe)
            return _with_small_flatten(half) if stored.small_flatten else half
        case "int8":
            return weights_in_8_bits(activations_in_8_bits(recipe, stored.ranges or {}))


def _with_small_flatten(recipe: Recipe) -> Recipe:
    return weights_in_8_bits(recipe, lambda name: name == FLATTEN)
