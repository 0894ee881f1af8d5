"""The promise that a vision engine keeps: encode once an image, embed regions per question."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gpt4roi_runtime.arrays import Boxes, EmbeddingRows, FeatureMap, PixelValues, RegionEmbeddings


@dataclass(frozen=True)
class ImageFeatures:
    """What the encode graph knows of one image.

    Attributes:
        image_embeddings: The image's own rows of the prompt, float32 ``[t d]``.
        pyramid: Feature maps, finest first, each float32 ``[1 c side side]``.
    """

    image_embeddings: EmbeddingRows
    pyramid: tuple[FeatureMap, ...]


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

    def embed_regions(self, pyramid: tuple[FeatureMap, ...], boxes: Boxes) -> RegionEmbeddings:
        """Run the region graph for 1 to the bundle's maximum of boxes.

        Raises:
            EngineError: The engine refused or failed.
            NumericError: NaN or infinity came out.
        """
        ...

    def close(self) -> None:
        """Free the graphs; closing twice is harmless."""
        ...
