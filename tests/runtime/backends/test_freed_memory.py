import platform
import subprocess
import sys

import pytest

from gpt4roi_runtime.backends.freed_memory import giving_back

glibc_only = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what is freed")

FREED = """
from pathlib import Path
import numpy as np
from gpt4roi_runtime.backends.freed_memory import giving_back

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 // 1024

def freed_mb(numbers, blocks):
    many = [np.ones(numbers) for _ in range(blocks)]
    last = np.ones(numbers)  # stands behind them, so that they are not simply the end of the heap
    before = resident_mb()
    del many
    return before - resident_mb(), last

"""


def printed(script: str) -> list[int]:
    """In a process of its own, whose heap nobody else has been in."""
    done = subprocess.run([sys.executable, "-c", FREED + script], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@glibc_only
def test_what_is_freed_meanwhile_goes_back_at_once() -> None:
    # 32 MB are freed first: from there on the C library would keep what is smaller.
    ordinary, meanwhile = printed("""
np.ones(4_000_000)
kept, one = freed_mb(120_000, 100)
with giving_back():
    gone, other = freed_mb(120_000, 200)
print(kept, gone)
""")
    assert ordinary < 20
    assert meanwhile > 80


@glibc_only
def test_what_was_freed_before_goes_back_too() -> None:
    small, in_all = printed("""
kept, one = freed_mb(4_000, 4_000)  # 32 kB each: below what is mapped by itself
before = resident_mb()
with giving_back():
    print(kept, before - resident_mb())
""")
    assert small < 20
    assert in_all > 80


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr("ctypes.CDLL", None)
    with giving_back():
        done = True
    assert done
