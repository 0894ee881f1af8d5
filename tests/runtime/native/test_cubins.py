"""The kernels for every GPU we name, as the compiler describes them: nothing here runs them."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.native_roi_align import SOURCES

COMPUTE_CAPABILITIES = ("75", "80", "86", "87", "89", "90", "110", "120")
KERNELS = {
    f"roi_align_{layout}_{storage}"
    for layout in ("channels_last", "channels_first")
    for storage in ("float32", "float16", "bfloat16")
}
MOST_REGISTERS = 64
"""More, and a multiprocessor would not hold the eight blocks that the launch bounds promise."""


@dataclass(frozen=True)
class Usage:
    """What one kernel takes of a multiprocessor.

    Attributes:
        registers: Of a thread.
        stack_bytes: Of a thread, in the GPU's memory.
        spill_bytes: Read and written by a thread for want of registers.
    """

    registers: int
    stack_bytes: int
    spill_bytes: int


def usage_of(report: str) -> dict[str, Usage]:
    """Kernels by name, from what ``ptxas -v`` says of them."""
    used = {}
    for part in re.split(r"Function properties for ", report)[1:]:
        name = part.split(None, 1)[0]
        stack, stores, loads = (
            int(_found(rf"(\d+) bytes {words}", part)) for words in ("stack frame", "spill stores", "spill loads")
        )
        used[name] = Usage(int(_found(r"Used (\d+) registers", part)), stack, stores + loads)
    return used


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, f"ptxas says nothing like {pattern!r}: {text[:400]}"
    return match[1]


@pytest.mark.parametrize("capability", COMPUTE_CAPABILITIES)
def test_every_kernel_keeps_to_its_registers(capability: str, tmp_path: Path) -> None:
    compiler = shutil.which("nvcc")
    if compiler is None:
        pytest.skip("no nvcc, which compiles the kernels for a GPU")
    cubin = tmp_path / "roi_align.cubin"
    options = ["-std=c++17", "-O3", "-cubin", f"-arch=sm_{capability}", "-Xptxas", "-v", "-Werror", "all-warnings"]
    done = subprocess.run(
        [compiler, *options, "-o", str(cubin), str(SOURCES / "roi_align.cu")],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Unsupported gpu architecture" in done.stderr:
        pytest.skip(f"this nvcc does not know sm_{capability}")
    assert done.returncode == 0, done.stderr
    used = usage_of(done.stderr)
    assert set(used) == KERNELS
    for name, usage in used.items():
        assert (usage.stack_bytes, usage.spill_bytes) == (0, 0), name
        assert usage.registers <= MOST_REGISTERS, name
    assert all(name.encode() in cubin.read_bytes() for name in KERNELS)


def test_the_reading_of_ptxas() -> None:
    report = (
        "ptxas info    : 0 bytes gmem\n"
        "ptxas info    : Compiling entry function 'one' for 'sm_80'\n"
        "ptxas info    : Function properties for one\n"
        "    24 bytes stack frame, 20 bytes spill stores, 28 bytes spill loads\n"
        "ptxas info    : Used 63 registers, used 0 barriers, 480 bytes cmem[0]\n"
        "ptxas info    : Function properties for two\n"
        "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
        "ptxas info    : Used 8 registers, used 0 barriers\n"
    )
    assert usage_of(report) == {"one": Usage(63, 24, 48), "two": Usage(8, 0, 0)}
