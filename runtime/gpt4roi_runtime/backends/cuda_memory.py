"""All memory that one engine takes on a GPU and beside it, by name, freed together; knows no plan."""

import ctypes
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.backends.cuda_driver import CudaDriver
from gpt4roi_runtime.errors import EngineError

_ALIGNED_BYTES = 256


class CudaMemory:
    """Blocks by name.

    Args:
        driver: That has them.
    """

    def __init__(self, driver: CudaDriver) -> None:
        self._driver = driver
        self._device: dict[str, tuple[int, int]] = {}
        self._pinned: dict[str, tuple[int, int]] = {}

    def block(self, name: str, n_bytes: int) -> int:
        """Memory of the GPU under a new name; its address.

        Raises:
            EngineError: There is not enough.
        """
        n_bytes = max(n_bytes, _ALIGNED_BYTES)
        try:
            address = self._driver.allocate(n_bytes)
        except EngineError as error:
            free, total = self._driver.memory()
            raise EngineError(
                f"no {n_bytes:,} bytes of GPU memory for {name} ({free:,} of {total:,} are free): {error.problem}",
                "Close other programs on the GPU, or take --vision-backend onnxruntime.",
            ) from error
        self._device[name] = (address, n_bytes)
        return address

    def address(self, name: str) -> int:
        """Of a block."""
        return self._device[name][0]

    def pinned(self, name: str, shape: tuple[int, ...], dtype: str) -> npt.NDArray[np.floating]:
        """Zeros in memory of the processor that the GPU copies from and to, under a new name; valid until ``free``.

        Raises:
            EngineError: There is not enough.
        """
        n_items = int(np.prod(shape))
        n_bytes = max(n_items * np.dtype(dtype).itemsize, _ALIGNED_BYTES)
        address = self._driver.allocate_pinned(n_bytes)
        self._pinned[name] = (address, n_bytes)
        raw = (ctypes.c_uint8 * n_bytes).from_address(address)
        array: npt.NDArray[np.floating] = np.frombuffer(memoryview(raw), dtype, n_items).reshape(shape)
        array[...] = 0
        return array

    def sizes(self) -> dict[str, int]:
        """Bytes of every block of the GPU."""
        return {name: n_bytes for name, (_, n_bytes) in self._device.items()}

    def free(self) -> None:
        """Give all of it back; what cannot be given back is left, because the next block still can."""
        for address, _ in self._device.values():
            with suppress(EngineError):
                self._driver.free(address)
        for address, _ in self._pinned.values():
            with suppress(EngineError):
                self._driver.free_pinned(address)
        self._device.clear()
        self._pinned.clear()
