"""The most memory this process has held; knows nothing of what holds it."""

import sys
from contextlib import suppress
from pathlib import Path

import psutil

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"


def begin_peak() -> None:
    """Forget the peak so far, where the system can; elsewhere it stays the peak since the process began."""
    with suppress(OSError):
        _CLEAR.write_text(_CLEAR_PEAK, encoding="ascii")


def peak_bytes() -> int | None:
    """Most bytes resident since ``begin_peak``; None where the system does not tell."""
    with suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if (in_windows := getattr(psutil.Process().memory_info(), "peak_wset", None)) is not None:
        return int(in_windows)
    with suppress(ImportError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return None
