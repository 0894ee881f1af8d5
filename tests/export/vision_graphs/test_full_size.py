"""GPT4RoI-7B's full width with random weights: how much memory each step takes, and that the graphs are right.

Minutes, 5 GB of disk and 4 GB of memory.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("full_size.py")
LARGEST_TENSOR_BYTES = 200_704 * 1024 * 4
MOST_BYTES = 3_000_000_000 + LARGEST_TENSOR_BYTES


def run(step: str, folder: Path) -> dict[str, object]:
    done = subprocess.run([sys.executable, SCRIPT, step, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_memory_and_parity_at_full_size(tmp_path: Path) -> None:
    for step in ("reference", "calibrate"):
        assert run(step, tmp_path)["peak_bytes"] < MOST_BYTES
    for precision in ("fp32", "fp16", "int8"):
        assert run(f"write-{precision}", tmp_path)["peak_bytes"] < MOST_BYTES
        checked = run(f"check-{precision}", tmp_path)
        assert isinstance(checked["parity"], list)
        assert checked["parity"]
        assert not [stage for stage in checked["parity"] if stage["off"]]
        for path in (tmp_path / precision).iterdir():
            path.unlink()
