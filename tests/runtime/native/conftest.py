import ctypes
from pathlib import Path

import pytest

from tests.helpers.native_plugin import program, run, tensorrt_headers
from tests.helpers.native_roi_align import SOURCES, NativeRoiAlign, compile_host_library


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> NativeRoiAlign:
    """The kernel's arithmetic, compiled for the CPU."""
    return NativeRoiAlign(ctypes.CDLL(str(compile_host_library(tmp_path_factory.mktemp("native")))))


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library as CMake builds it, for one GPU."""
    folder = tmp_path_factory.mktemp("cmake")
    cmake = program("cmake", "which builds the plugin")
    program("nvcc", "CUDA's compiler")
    headers = f"-DTENSORRT_INCLUDE_DIR={tensorrt_headers()}"
    run([cmake, "-S", str(SOURCES), "-B", str(folder), headers, "-DGPT4ROI_CUDA_ARCHITECTURES=89-real"])
    run([cmake, "--build", str(folder)])
    return folder / "libgpt4roi_roi_align.so"
