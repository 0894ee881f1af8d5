import ctypes
from pathlib import Path

import pytest

from tests.helpers.native_plugin import build_plugin
from tests.helpers.native_roi_align import NativeRoiAlign, compile_host_library


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> NativeRoiAlign:
    """The kernel's arithmetic, compiled for the CPU."""
    return NativeRoiAlign(ctypes.CDLL(str(compile_host_library(tmp_path_factory.mktemp("native")))))


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library as CMake builds it, for one GPU."""
    return build_plugin(tmp_path_factory.mktemp("cmake"))
