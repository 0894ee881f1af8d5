"""Arrays by name, each read from its file only when it is asked for; knows no file format and no model.

A checkpoint of 27 GB passes through a laptop's memory one tensor at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gpt4roi_runtime.errors import BundleError

Array = NDArray[Any]


@dataclass(frozen=True)
class TensorFacts:
    """What a file's header says of one tensor.

    Attributes:
        shape: Its axes.
        dtype: Of the file, in NumPy's words or ``bfloat16``, which NumPy lacks.
    """

    shape: tuple[int, ...]
    dtype: str


@runtime_checkable
class Tensors(Protocol):
    """A source of arrays: a checkpoint's files, two checkpoints added up, or a dictionary."""

    @property
    def facts(self) -> Mapping[str, TensorFacts]:
        """Every tensor's name, in the source's order, without reading its numbers."""
        ...

    def read(self, name: str) -> Array:
        """One tensor, in the dtype of its file; bfloat16 comes as float32, which holds the same numbers.

        Raises:
            BundleError: There is no such tensor, or its file is damaged.
        """
        ...


@dataclass(frozen=True)
class ArraysInMemory:
    """Arrays that are there already, as a source."""

    arrays: Mapping[str, Array]

    @property
    def facts(self) -> Mapping[str, TensorFacts]:
        """Shapes and dtypes."""
        return {name: TensorFacts(array.shape, str(np.dtype(array.dtype))) for name, array in self.arrays.items()}

    def read(self, name: str) -> Array:
        """One of them."""
        if name not in self.arrays:
            raise missing(name)
        return self.arrays[name]


def missing(name: str) -> BundleError:
    """The error of every source that lacks a tensor."""
    return BundleError(f"the checkpoint has no tensor {name!r}", "Expected a complete checkpoint; fetch it again.")
