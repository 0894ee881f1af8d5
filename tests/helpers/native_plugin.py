"""What compiling and loading the TensorRT plugin needs, and the reason to skip where something is missing."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers.native_roi_align import SOURCES

REPOSITORY = SOURCES.parents[2]
PROBES = REPOSITORY / "tests" / "runtime" / "native"
PINNED_HEADERS = REPOSITORY / ".cache" / "tensorrt-headers" / "kernel_lens" / "include" / "tensorrt"


def tensorrt_headers() -> Path:
    """The folder that TENSORRT_INCLUDE_DIR names, else the pinned headers that make test-native fetches."""
    folder = Path(os.environ.get("TENSORRT_INCLUDE_DIR") or PINNED_HEADERS)
    if not (folder / "NvInferRuntime.h").is_file():
        pytest.skip(f"no TensorRT headers in {folder}: run `make test-native`, or set TENSORRT_INCLUDE_DIR")
    return folder


def cuda_headers() -> Path:
    """The folder of CUDA's own headers, which TensorRT's include."""
    folder = Path(program("nvcc", "CUDA's compiler")).resolve().parents[1] / "include"
    for place in (folder, Path("/usr/local/cuda/include")):
        if (place / "cuda_runtime_api.h").is_file():
            return place
    pytest.skip(f"no cuda_runtime_api.h in {folder}")


def program(name: str, what: str) -> str:
    """Path of a program; skips the test where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}, {what}")
    return found


def compile_on_cpu(output: Path, sources: Sequence[Path], *flags: str) -> Path:
    """Compile C++ files against both sets of headers, warnings being errors."""
    compiler = program("g++", "the C++ compiler")
    included = ["-isystem", str(tensorrt_headers()), "-isystem", str(cuda_headers()), "-I", str(SOURCES)]
    strict = ["-std=c++14", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    run([compiler, *strict, *included, *flags, "-o", str(output), *map(str, sources), "-ldl"])
    return output


def build_plugin(folder: Path) -> Path:
    """The library as CMake builds it, for one GPU."""
    cmake = program("cmake", "which builds the plugin")
    program("nvcc", "CUDA's compiler")
    headers = f"-DTENSORRT_INCLUDE_DIR={tensorrt_headers()}"
    run([cmake, "-S", str(SOURCES), "-B", str(folder), headers, "-DGPT4ROI_CUDA_ARCHITECTURES=89-real"])
    run([cmake, "--build", str(folder)])
    return folder / "libgpt4roi_roi_align.so"


def rtx_python() -> Path:
    """Python of the environment that has TensorRT for RTX."""
    python = REPOSITORY / ".cache" / "tensorrt-rtx" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no TensorRT for RTX in {python.parents[1]}: run `make test-engines`")
    return python


def run(command: Sequence[str]) -> str:
    """What a program printed; its words where it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]} returned {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
