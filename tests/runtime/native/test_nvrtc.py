"""The kernels by NVRTC 12.6, whose code the driver of JetPack 6 can run; nothing here runs it."""

import ctypes
from pathlib import Path

import pytest

from tests.helpers.native_plugin import REPOSITORY
from tests.helpers.native_roi_align import SOURCES

pytestmark = pytest.mark.gpu_wheels
FOLDER = REPOSITORY / ".cache" / "tensorrt-rtx" / "lib"


def find_nvrtc() -> ctypes.CDLL:
    found = sorted(FOLDER.glob("python3*/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12"))
    if not found:
        pytest.skip(f"no NVRTC 12 in {FOLDER}: run `make test-engines`")
    return ctypes.CDLL(str(found[0]))


def compile_for(nvrtc: ctypes.CDLL, capability: int, source: Path) -> tuple[bytes, str]:
    """The cubin, and what was said about it."""
    program = ctypes.c_void_p()
    arguments = (source.read_bytes(), source.name.encode(), 0, None, None)
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), *arguments) == 0
    options = [b"--std=c++17", b"--gpu-architecture=sm_%d" % capability, b"--include-path=" + bytes(source.parent)]
    options.append(b"--ptxas-options=-v")
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    assert status == 0, said(nvrtc, program)
    size = ctypes.c_size_t()
    assert nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)) == 0
    cubin = ctypes.create_string_buffer(size.value)
    assert nvrtc.nvrtcGetCUBIN(program, cubin) == 0
    return cubin.raw, said(nvrtc, program)


def said(nvrtc: ctypes.CDLL, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    return log.value.decode()


@pytest.mark.parametrize("capability", [75, 87, 90])
def test_it_takes_the_source_as_it_is(capability: int) -> None:
    cubin, report = compile_for(find_nvrtc(), capability, SOURCES / "roi_align.cu")
    assert cubin[:4] == b"\x7fELF"
    for layout in ("channels_last", "channels_first"):
        for storage in ("float32", "float16", "bfloat16"):
            assert f"roi_align_{layout}_{storage}".encode() in cubin
    assert report.count("0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads") == 6
