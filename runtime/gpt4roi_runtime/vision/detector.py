"""The promise that a detecting engine keeps: pixels in, scores and distances of every cell out; knows no engine."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from gpt4roi_runtime.arrays import PixelValues


@dataclass(frozen=True)
class CellOutputs:
    """What a detector says of every cell, level after level and row after row.

    Attributes:
        scores: How sure it is of every name, 0..1.
        distances: Logits over the bins of the distances from a cell's centre to a box's left, top, right and bottom.
    """

    scores: Float32[np.ndarray, "cells names"]
    distances: Float32[np.ndarray, "cells bins_of_four_sides"]


@runtime_checkable
class Detector(Protocol):
    """A bundle's detector graph, loaded by one engine."""

    @property
    def engine(self) -> str:
        """Name and version of the engine."""
        ...

    def detect(self, pixels: PixelValues) -> CellOutputs:
        """Run the graph on one picture.

        Raises:
            EngineError: The engine refused or failed.
            NumericError: NaN, infinity, or a score outside 0..1 came out.
        """
        ...

    def close(self) -> None:
        """Free the graph; closing twice is harmless."""
        ...
