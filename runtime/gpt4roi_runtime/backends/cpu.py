"""What this machine's processor can do, which decides the last bits of what engines compute; knows no engine."""

import platform
from pathlib import Path


def cpu_features() -> str:
    """What the first processor can do, in the system's words."""
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
