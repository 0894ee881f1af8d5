"""What the processor can do, in the system's words: it decides the last bits of what engines compute, and how fast."""

import os
import platform
from pathlib import Path

import psutil

_WIDE_INT8_SUMS = frozenset(("avx512_vnni", "avx_vnni", "amx_int8"))


def processor_features() -> str:
    """Name and features of the first processor."""
    kinds = ("model name", "flags", "Features", "CPU part")
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            first = []
            for line in lines:
                if not line.strip():
                    break
                first.append(line)
    except OSError:  # not Linux
        return f"{platform.machine()} {platform.processor()}"
    return "".join(line for line in first if line.startswith(kinds))


def processor_name() -> str:
    """What a person calls it."""
    for line in processor_features().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def adds_int8_products_wide() -> bool:
    """Whether products of 8-bit numbers are known to be added in 32 bits.

    An x86 processor without such an instruction (VNNI, AMX) adds pairs of them in 16, where they saturate. Its flags
    are read on Linux only; elsewhere an x86 processor counts as one without.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i386", "i686"):
        return True
    return not _WIDE_INT8_SUMS.isdisjoint(processor_features().split())


def usable_cores() -> int:
    """Physical cores, or fewer where the process is bound to some of the processors."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))
