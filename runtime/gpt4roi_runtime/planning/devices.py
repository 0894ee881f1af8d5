"""Devices by name and the memory that is left on them for a program; knows no bundle.

A small table, because a device is worth a name only where its figures have a source. Sizes of the Orins are what their
Linux counts as total (`RAM used/total` of NVIDIA's `tegrastats`): the firmware keeps the rest of the chips' memory for
itself. They share one memory between processor and GPU; a graphics card does not.
"""

import re
from dataclasses import dataclass

import psutil

from gpt4roi_runtime.errors import SettingsError

MIB, GIB = 1 << 20, 1 << 30

_CPU = re.compile(r"cpu:(\d{1,5}(?:\.\d{1,2})?)\s*(?:gb|gib|g)", re.ASCII)


@dataclass(frozen=True)
class Device:
    """Memory of one kind of machine.

    Attributes:
        name: What the user calls it.
        total_bytes: What its system counts as all memory; of a graphics card, the card's.
        reserve_bytes: What the system and its services keep.
        nvidia: Whether it has a GPU that TensorRT and CUDA run on.
        separate: Whether that GPU has a memory of its own, apart from the processor's.
        source: Where the figures come from.
    """

    name: str
    total_bytes: int
    reserve_bytes: int
    nvidia: bool
    separate: bool
    source: str

    @property
    def free_bytes(self) -> int:
        """What is left for the program."""
        return max(0, self.total_bytes - self.reserve_bytes)


def _orin(name: str, total_mib: int) -> Device:
    return Device(
        name,
        total_bytes=total_mib * MIB,
        reserve_bytes=_ORIN_RESERVE_BYTES,
        nvidia=True,
        separate=False,
        source=f"tegrastats on JetPack 6 counts {total_mib} MiB; idle without a desktop it shows 0.6 to 0.9 GiB in use",
    )


def _card(name: str, total_mib: int) -> Device:
    return Device(
        name,
        total_bytes=total_mib * MIB,
        reserve_bytes=_CARD_RESERVE_BYTES,
        nvidia=True,
        separate=True,
        source=f"nvidia-smi counts {total_mib} MiB; programs are offered some 0.4 GiB less, a desktop takes some more",
    )


_ORIN_RESERVE_BYTES = GIB
_CARD_RESERVE_BYTES = 768 * MIB
_PLAIN_RESERVE_BYTES = 3 * GIB // 2
_FIRMWARE_SHARE = 1 / 40  # of a PC's memory modules; 16 GiB of them show as 15.6

DEVICES: tuple[Device, ...] = (
    _orin("orin-nano-8gb", 7620),
    _orin("orin-nx-16gb", 15656),
    _orin("agx-orin", 62841),
    _card("rtx-4090", 24564),
    _card("rtx-4060-8gb", 8188),
)
"""Every device with a name; `agx-orin` is the one with 64 GB."""


def find_device(text: str) -> Device:
    """The device a user means: a name of the table, `cpu` for this machine, or `cpu:16gb` for a machine of that size.

    Raises:
        SettingsError: Neither.
    """
    wanted = text.strip().lower()
    for device in DEVICES:
        if device.name == wanted:
            return device
    if wanted == "cpu":
        return _this_machine()
    if (size := _CPU.fullmatch(wanted)) and float(size[1]) > 0:
        return _plain_machine(wanted, round(float(size[1]) * GIB))
    names = ", ".join(device.name for device in DEVICES)
    raise SettingsError(f"device {text!r} is unknown", f"Use one of {names}, cpu (this machine), or cpu:16gb.")


def _this_machine() -> Device:
    memory = psutil.virtual_memory()
    return Device(
        "cpu",
        total_bytes=memory.total,
        reserve_bytes=memory.total - memory.available,
        nvidia=False,
        separate=False,
        source="this machine, and what is free on it now",
    )


def _plain_machine(name: str, modules_bytes: int) -> Device:
    total = round(modules_bytes * (1 - _FIRMWARE_SHARE))
    return Device(
        name,
        total_bytes=total,
        reserve_bytes=_PLAIN_RESERVE_BYTES,
        nvidia=False,
        separate=False,
        source="memory modules less the firmware's fortieth; 1.5 GiB kept for a system with a desktop",
    )
