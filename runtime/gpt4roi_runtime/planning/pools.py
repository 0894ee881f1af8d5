"""The memories of a device and what is wanted of them; knows no bundle."""

from dataclasses import dataclass

from gpt4roi_runtime.planning.demand import Part, Place
from gpt4roi_runtime.planning.devices import Device


@dataclass(frozen=True)
class Pool:
    """One memory and what is wanted of it.

    Attributes:
        name: Whose.
        free_bytes: What a program may take; None where that is not known, as of the computer round a graphics card.
        needed_bytes: What the parts take together.
    """

    name: str
    free_bytes: int | None
    needed_bytes: int

    @property
    def headroom_bytes(self) -> int | None:
        """What is left, negative where it is too little; None where it is not known."""
        return None if self.free_bytes is None else self.free_bytes - self.needed_bytes

    @property
    def fits(self) -> bool:
        """Whether it is enough, as far as is known."""
        return self.headroom_bytes is None or self.headroom_bytes >= 0


def pools_of(device: Device, parts: tuple[Part, ...], *, vision_first: bool) -> tuple[Pool, ...]:
    """One memory, or two where a GPU has its own; with ``vision_first`` one half of the program follows the other."""
    if not device.separate:
        return (Pool("memory", device.free_bytes, _peak(parts, vision_first=vision_first)),)
    places: tuple[tuple[Place, str, int | None], ...] = (
        ("gpu", "GPU memory", device.free_bytes),
        ("host", "the computer's memory", None),
    )
    return tuple(
        Pool(name, free, _peak(tuple(part for part in parts if part.place == place), vision_first=vision_first))
        for place, name, free in places
    )


def _peak(parts: tuple[Part, ...], *, vision_first: bool) -> int:
    """All parts, or the larger half where one follows the other."""
    halves = {half: sum(part.size_bytes for part in parts if part.half == half) for half in ("vision", "language")}
    program = sum(part.size_bytes for part in parts if part.half == "program")
    return program + (max(halves.values()) if vision_first else sum(halves.values()))


def saves(before: tuple[Pool, ...], after: tuple[Pool, ...]) -> bool:
    """Whether any memory is needed less."""
    return any(then.needed_bytes < now.needed_bytes for now, then in zip(before, after, strict=True))
