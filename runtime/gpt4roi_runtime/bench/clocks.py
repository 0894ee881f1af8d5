"""Power mode and clocks, without which a number from a Jetson means little; knows no sensor of power."""

import re
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_runtime.bench.power import read_number, read_words

_MAX_CONFIG_BYTES = 1 << 18
_MODEL = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=([\w.+-]+)\s*>")
_KILOHERTZ, _HERTZ = 1_000, 1_000_000


@dataclass(frozen=True)
class Clocks:
    """What the machine ran at when it was looked at; None where it does not say.

    Attributes:
        power_mode: Name of the Jetson's power mode.
        governor: How the processors' clocks are chosen.
        cpu_mhz: Mean over the processors that are on.
        gpu_mhz: Fastest of the GPU's parts.
    """

    power_mode: str | None
    governor: str | None
    cpu_mhz: int | None
    gpu_mhz: int | None


def read_clocks(root: Path = Path("/")) -> Clocks:
    """Look at them now."""
    cpus = root / "sys/devices/system/cpu"
    found = [read_number(path) for path in sorted(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))]
    cpu = [value for value in found if value is not None]
    gpu = [value for path in sorted((root / "sys/class/devfreq").glob("*gpu*")) if (value := _devfreq(path))]
    return Clocks(
        power_mode=_power_mode(root),
        governor=read_words(cpus / "cpu0/cpufreq/scaling_governor"),
        cpu_mhz=round(sum(cpu) / len(cpu) / _KILOHERTZ) if cpu else None,
        gpu_mhz=round(max(gpu) / _HERTZ) if gpu else None,
    )


def _devfreq(device: Path) -> int | None:
    return read_number(device / "cur_freq")


def _power_mode(root: Path) -> str | None:
    """The mode's number stands in a status file, its name in nvpmodel's settings."""
    status = re.fullmatch(r"pmode:(\d{1,6})(?:\s.*)?", read_words(root / "var/lib/nvpmodel/status") or "", re.DOTALL)
    if status is None:
        return None
    number = int(status[1])
    return _mode_names(root / "etc/nvpmodel.conf").get(number, f"mode {number}")


def _mode_names(config: Path) -> dict[int, str]:
    try:
        with config.open("rb") as file:
            text = file.read(_MAX_CONFIG_BYTES).decode("utf-8", "replace")
    except OSError:
        return {}
    return {int(number): name for number, name in _MODEL.findall(text)}
