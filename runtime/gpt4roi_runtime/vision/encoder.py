"""The promise that a vision engine keeps: encode once an image, embed regions per question."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol, TypeAlias, runtime_checkable

from gpt4roi_runtime.arrays import Boxes, EmbeddingRows, FeatureMap, PixelValues, RegionEmbeddings

_FLOAT32_BYTES = 4


class ResidentPyramid:
    """Levels that lie in a GPU's memory; they come to the processor's when somebody looks at one, and stay there too.

    Args:
        shapes: Of the levels, finest first.
        fetch: Copies them all; called once.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, ...]], fetch: Callable[["ResidentPyramid"], tuple[FeatureMap, ...]]
    ) -> None:
        self._shapes = tuple(shapes)
        self._fetch = fetch
        self._levels: tuple[FeatureMap, ...] | None = None

    @property
    def is_fetched(self) -> bool:
        """Whether the processor's memory has the levels."""
        return self._levels is not None

    @property
    def nbytes(self) -> int:
        """Bytes of the levels as float32, fetched or not."""
        return sum(_FLOAT32_BYTES * prod(shape) for shape in self._shapes)

    def fetched(self) -> tuple[FeatureMap, ...]:
        """The levels in the processor's memory.

        Raises:
            EngineError: The engine that has them was closed, or failed.
        """
        if self._levels is None:
            self._levels = self._fetch(self)
        return self._levels

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, number: int) -> FeatureMap:
        return self.fetched()[number]

    def __iter__(self) -> Iterator[FeatureMap]:
        return iter(self.fetched())


Pyramid: TypeAlias = tuple[FeatureMap, ...] | ResidentPyramid
"""Levels, finest first."""


@dataclass(frozen=True)
class ImageFeatures:
    """What the encode graph knows of one image.

    Attributes:
        image_embeddings: The image's own rows of the prompt, float32 ``[t d]``.
        pyramid: Feature maps, finest first, each float32 ``[1 c side side]``.
    """

    image_embeddings: EmbeddingRows
    pyramid: Pyramid

    @property
    def nbytes(self) -> int:
        """Bytes of all of it; a pyramid on a GPU is not fetched for that."""
        if isinstance(self.pyramid, ResidentPyramid):
            return self.image_embeddings.nbytes + self.pyramid.nbytes
        return self.image_embeddings.nbytes + sum(level.nbytes for level in self.pyramid)


@runtime_checkable
class Encoder(Protocol):
    """The two graphs of a bundle, loaded by one engine."""

    @property
    def engine(self) -> str:
        """Name and version of the engine."""
        ...

    def encode(self, pixels: PixelValues) -> ImageFeatures:
        """Run the encode graph: once an image.

        Raises:
            EngineError: The engine refused or failed.
            NumericError: NaN or infinity came out.
        """
        ...

    def embed_regions(self, pyramid: Pyramid, boxes: Boxes) -> RegionEmbeddings:
        """Run the region graph for 1 to the bundle's maximum of boxes.

        Raises:
            EngineError: The engine refused or failed.
            NumericError: NaN or infinity came out.
        """
        ...

    def close(self) -> None:
        """Free the graphs; closing twice is harmless."""
        ...
