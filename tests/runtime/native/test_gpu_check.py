"""The script for machines with a GPU, as far as one without can try it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bench import gpu_check
from rich.console import Console

from tests.helpers.native_plugin import program

SCRIPT = Path(gpu_check.__file__)


def test_its_checks_pass_on_the_cpu() -> None:
    program("g++", "which compiles the kernel's arithmetic for the CPU")
    done = subprocess.run([sys.executable, str(SCRIPT), "--cpu"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("passed") == 4
    assert "FAILED" not in done.stdout


def test_its_checks_notice_a_wrong_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    def writes_nothing(job: gpu_check.Job, storage: int, layout: int) -> None:
        """The output stays as it was."""

    console = Console()
    assert not gpu_check.show_checks(console, gpu_check.CpuMemory(), writes_nothing, writes_nothing)
    assert capsys.readouterr().out.count("FAILED") == 4


def test_the_least_that_has_to_be_read() -> None:
    whole = np.array([[0, 0, 1, 1]], dtype=np.float32)
    # 28 samples along 128 cells read 56 of them, along 64 all but the gaps, along 32 and 16 every cell.
    cells = gpu_check.bytes_read(whole) / (gpu_check.CHANNELS * 2)
    assert 56**2 + 32**2 + 16**2 < cells <= 56**2 + 56**2 + 32**2 + 16**2
    assert gpu_check.bytes_read(np.concatenate([whole, whole])) == gpu_check.bytes_read(whole)
    assert gpu_check.bytes_read(whole + 5) == 0
