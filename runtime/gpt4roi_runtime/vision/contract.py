"""Names, order and shapes of what the graphs read and return, as docs/bundle.md specifies them; knows no engine."""

from dataclasses import dataclass
from math import prod

from gpt4roi_runtime.bundle.manifest import Detector, Manifest

PIXELS, BOXES = "pixels", "boxes"
IMAGE_EMBEDDINGS, REGION_EMBEDDINGS = "image_embeddings", "region_embeddings"
SCORES, DISTANCES = "scores", "distances"
N_SIDES = 4
"""Left, top, right, bottom."""
FULL_PRECISION = {"gpt4roi.precision": "float32"}
"""Metadata of a graph whose products fewer than float32's bits would spoil: no engine may round them."""
_FLOAT_BYTES = 4


def pyramid_name(level: int) -> str:
    """Name of a level; 0 is the finest."""
    return f"pyramid_{level}"


@dataclass(frozen=True)
class TensorContract:
    """One input or output as the manifest promises it; None stands for an axis of any length."""

    name: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        """Name and shape, free axes as ``n``."""
        return f"{self.name} float32 [{', '.join('n' if size is None else str(size) for size in self.shape)}]"


@dataclass(frozen=True)
class GraphContract:
    """What a graph reads and returns."""

    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]


def encode_contract(manifest: Manifest) -> GraphContract:
    """``pixels`` -> ``image_embeddings``, ``pyramid_0``, ..."""
    vision, side = manifest.vision, manifest.vision.preprocessing.side_px
    embeddings = TensorContract(IMAGE_EMBEDDINGS, (vision.n_image_rows, manifest.language.embedding_length))
    return GraphContract((TensorContract(PIXELS, (1, 3, side, side)),), (embeddings, *_pyramid(manifest)))


def feature_shapes(manifest: Manifest) -> tuple[tuple[int, ...], ...]:
    """Shapes of what is kept of an image: its embeddings and every level."""
    outputs = encode_contract(manifest).outputs
    return tuple(tuple(size for size in output.shape if size is not None) for output in outputs)


def features_bytes(manifest: Manifest) -> int:
    """Bytes of it, float32: in memory, and in a store but for a header."""
    return _FLOAT_BYTES * sum(map(prod, feature_shapes(manifest)))


def regions_contract(manifest: Manifest) -> GraphContract:
    """``pyramid_0``, ..., ``boxes`` -> ``region_embeddings``."""
    rows = manifest.vision.n_rows_per_region
    embeddings = TensorContract(REGION_EMBEDDINGS, (None, rows, manifest.language.embedding_length))
    return GraphContract((*_pyramid(manifest), TensorContract(BOXES, (None, 4))), (embeddings,))


def detector_contract(detector: Detector) -> GraphContract:
    """``pixels`` -> ``scores``, ``distances``."""
    return GraphContract(
        (TensorContract(PIXELS, (1, 3, detector.side_px, detector.side_px)),),
        (
            TensorContract(SCORES, (1, detector.n_cells, len(detector.names))),
            TensorContract(DISTANCES, (1, detector.n_cells, N_SIDES * detector.n_bins)),
        ),
    )


def _pyramid(manifest: Manifest) -> tuple[TensorContract, ...]:
    return tuple(
        TensorContract(pyramid_name(number), (1, level.channels, level.side, level.side))
        for number, level in enumerate(manifest.vision.pyramid)
    )
