"""One file of tensors: where each of them lies, and its numbers when they are asked for. Knows no format.

A file is opened for every tensor and closed again, so a checkpoint of many shards holds no file open.
"""

import io
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt4roi_export.state_dict import BFLOAT16, StoredTensor, damaged_numbers, raw_dtype, strided_view, widened
from gpt4roi_export.tensors import Array, TensorFacts, missing
from gpt4roi_runtime.errors import BundleError

_SPREAD = 8
_SPREAD_BYTES = 64 << 20


@dataclass(frozen=True)
class TensorFile:
    """A file whose header has been read and checked.

    Attributes:
        path: Of the file.
        stored: Every tensor's place in it.
    """

    path: Path
    stored: Mapping[str, StoredTensor]

    @property
    def facts(self) -> Mapping[str, TensorFacts]:
        """Shapes and dtypes."""
        return {name: TensorFacts(tensor.shape, _dtype_word(tensor.dtype)) for name, tensor in self.stored.items()}

    def read(self, name: str) -> Array:
        """One tensor, contiguous; bfloat16 comes as float32.

        Raises:
            BundleError: There is no such tensor, or its bytes cannot be read or are damaged.
        """
        tensor = self.stored.get(name)
        if tensor is None:
            raise missing(name)
        dtype = raw_dtype(tensor.dtype)
        n_numbers = math.prod(tensor.shape)
        if n_numbers:
            numbers = self._numbers(name, tensor, _reach(tensor))
            flat = numbers if tensor.strides == _plain_strides(tensor.shape) else strided_view(numbers, tensor)
            array = np.ascontiguousarray(flat).reshape(tensor.shape)
        else:
            array = np.zeros(tensor.shape, dtype)
        return widened(array) if tensor.dtype == BFLOAT16 else array

    def _numbers(self, name: str, tensor: StoredTensor, n_numbers: int) -> Array:
        """The part of the storage from the tensor's first number to its last."""
        dtype = raw_dtype(tensor.dtype)
        n_bytes = n_numbers * dtype.itemsize
        if n_bytes > _SPREAD_BYTES and n_numbers > _SPREAD * math.prod(tensor.shape):
            raise BundleError(
                f"{self.path}: tensor {name!r} {tensor.shape} is spread over {n_bytes} bytes",
                "Expected tensors that lie together; load the checkpoint with torch and save it again.",
            )
        numbers = np.empty(n_numbers, dtype)
        try:
            with self.path.open("rb") as file:
                file.seek(tensor.storage_at + tensor.offset * dtype.itemsize)
                n_read = _fill(file, numbers.view(np.uint8).data)
        except OSError as failed:
            raise unreadable(self.path, failed) from failed
        if n_read != n_bytes:
            raise BundleError(f"{self.path} is shorter than when its header was read", "Leave it alone meanwhile.")
        whole = n_numbers == tensor.n_stored
        if whole and tensor.crc32 is not None and zlib.crc32(numbers.view(np.uint8).data) != tensor.crc32:
            raise damaged_numbers(str(self.path), name)
        return numbers


def unreadable(path: Path, failed: OSError) -> BundleError:
    """The error of a file that the system will not read."""
    return BundleError(f"cannot read {path}: {failed.strerror or failed}", "Check the path and its permissions.")


def _fill(file: io.BufferedReader, target: memoryview) -> int:
    n_read = 0
    while n_read < len(target) and (n_more := file.readinto(target[n_read:])):
        n_read += n_more
    return n_read


def _reach(tensor: StoredTensor) -> int:
    """Numbers from the first to the last."""
    return 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))


def _plain_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of an array in C order."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _dtype_word(dtype: str) -> str:
    return dtype if dtype == BFLOAT16 else str(np.dtype(dtype))
