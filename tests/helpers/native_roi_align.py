"""The native RoIAlign on the CPU: its arithmetic compiled by g++, called with NumPy arrays. Knows no GPU."""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from bench.gpu_check import Job, Level
from numpy.typing import NDArray

SOURCES = Path(__file__).parents[2] / "runtime" / "native" / "roi_align"
STORAGES = {"float32": 0, "float16": 1, "bfloat16": 2}
CHANNELS_LAST, CHANNELS_FIRST = 0, 1


class RefusedError(Exception):
    """The library's own words."""


def compile_host_library(folder: Path) -> Path:
    """Compiles it, warnings being errors; skips the test where there is no compiler."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++, which compiles the kernel's arithmetic for the CPU")
    library = folder / "libroi_align_host.so"
    flags = ["-std=c++14", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", str(library), str(SOURCES / "roi_align_host.cpp")], check=True)
    return library


@dataclass(frozen=True)
class NativeRoiAlign:
    """The library.

    Attributes:
        library: As ctypes loaded it.
    """

    library: ctypes.CDLL

    def run(self, job: Job, storage: int, layout: int) -> None:
        """Run a job as it is.

        Raises:
            RefusedError: The library said why not.
        """
        function = self.library.gpt4roi_roi_align_host
        function.restype = ctypes.c_char_p
        if reason := function(ctypes.byref(job), storage, layout):
            raise RefusedError(reason.decode())

    def align(
        self,
        pyramid: Sequence[NDArray[np.float32]],
        boxes: NDArray[np.float32],
        scales: Sequence[float],
        *,
        side: int,
        storage: str = "float32",
        layout: int = CHANNELS_LAST,
    ) -> NDArray[np.float32]:
        """RoIAlign of all levels at once.

        Args:
            pyramid: Float32 ``[c h w]`` maps; they are rounded to the storage type.
            boxes: Float32 ``[n 4]``.
            scales: Cells of each level in one unit of the boxes.
            side: Output cells along each axis.
            storage: Type of features and output in memory.
            layout: Of features and output in memory.

        Returns:
            Float32 ``[n levels c side side]``, whatever the layout.
        """
        channels = len(pyramid[0])
        stored = [as_stored(_laid_out(features, layout), storage) for features in pyramid]
        boxes = np.ascontiguousarray(boxes, dtype=np.float32)
        shape = (len(boxes), side, side, len(pyramid) * channels)
        if layout == CHANNELS_FIRST:
            shape = (len(boxes), len(pyramid) * channels, side, side)
        output = _aligned_empty(shape, stored[0].dtype)
        levels = [
            Level(array.ctypes.data, features.shape[1], features.shape[2], scale)
            for array, features, scale in zip(stored, pyramid, scales, strict=True)
        ]
        job = Job((Level * 4)(*levels), boxes.ctypes.data, output.ctypes.data, len(pyramid), len(boxes), channels, side)
        self.run(job, STORAGES[storage], layout)
        if layout == CHANNELS_LAST:
            output = output.transpose(0, 3, 1, 2)
        return as_float32(output, storage).reshape(len(boxes), len(pyramid), channels, side, side)


def as_stored(values: NDArray[np.float32], storage: str) -> NDArray[np.generic]:
    """Rounded to the storage type, and aligned as the kernels ask for it; bfloat16 as its bits in uint16."""
    rounded: NDArray[np.generic] = values
    if storage == "float16":
        rounded = values.astype(np.float16)
    elif storage == "bfloat16":
        bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
        rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    stored = _aligned_empty(rounded.shape, rounded.dtype)
    stored[...] = rounded
    return stored


def as_float32(stored: NDArray[np.generic], storage: str) -> NDArray[np.float32]:
    """What stored numbers stand for."""
    if storage == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32)


def _laid_out(features: NDArray[np.float32], layout: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(features if layout == CHANNELS_FIRST else features.transpose(1, 2, 0))


def _aligned_empty(shape: tuple[int, ...], dtype: "np.dtype[np.generic]") -> NDArray[np.generic]:
    """An array that begins at a multiple of 16 bytes."""
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    room = np.full(n_bytes + 16, 0xFF, dtype=np.uint8)
    start = -room.ctypes.data % 16
    return room[start : start + n_bytes].view(dtype).reshape(shape)
