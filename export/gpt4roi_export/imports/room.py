"""Whether disk and memory will do for an import, told with numbers before anything is written."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from gpt4roi_export.imports.sources import Sources
from gpt4roi_export.language.quantisations import predicted_bytes, shape_of_checkpoint
from gpt4roi_export.tensors import TensorFacts, Tensors
from gpt4roi_export.vision_graphs.write import VisionFormat, predicted_graph_bytes
from gpt4roi_runtime.errors import OutputError, SettingsError

WORKING_BYTES = 3_000_000_000
"""Most that an import of GPT4RoI-7B takes beside its largest tensor; `make import-check` measures it."""
_GB = 1e9


@dataclass(frozen=True)
class Room:
    """Bytes that an import will take.

    Attributes:
        vision: Both graphs and their weights.
        half: The language model in half precision, which is there for a while only.
        language: The language model as it stays.
        largest_tensor: As it is in memory, in single precision.
    """

    vision: int
    half: int
    language: int
    largest_tensor: int

    @property
    def disk(self) -> int:
        """At the moment when most is there."""
        return self.vision + self.half + (0 if self.language == self.half else self.language)

    @property
    def bundle(self) -> int:
        """What is left."""
        return self.vision + self.language


def predicted_room(sources: Sources, quantisation: str, stored: VisionFormat) -> Room:
    """What an import will take, from shapes alone.

    Raises:
        SettingsError: There is no such quantisation.
    """
    shape = shape_of_checkpoint(sources.gpt4roi.sizes, sources.vocabulary)
    return Room(
        vision=predicted_graph_bytes(sources.sizes, stored),
        half=predicted_bytes(shape, "F16"),
        language=predicted_bytes(shape, quantisation),
        largest_tensor=max(map(_largest, (sources.gpt4roi.tensors, sources.clip.tensors))),
    )


def check_room(room: Room, out: Path) -> None:
    """Refuse an import that would not end.

    Args:
        room: See ``predicted_room``.
        out: The future bundle.

    Raises:
        OutputError: The disk has too little room.
        SettingsError: The memory is too small.
    """
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < room.disk:
        raise OutputError(
            f"the import needs {room.disk / _GB:.1f} GB for a while, and {folder} has {free / _GB:.1f} GB left "
            f"({room.bundle / _GB:.1f} GB stay)",
            "Free some space, or write to another disk with --out.",
        )
    needed, there = WORKING_BYTES + room.largest_tensor, psutil.virtual_memory().available
    if there < needed and room.half > WORKING_BYTES:
        raise SettingsError(
            f"the import needs up to {needed / _GB:.1f} GB of memory, and {there / _GB:.1f} GB are free",
            "Close other programs and try again.",
        )


def _largest(tensors: Tensors) -> int:
    return max(map(_single_precision_bytes, tensors.facts.values()), default=0)


def _single_precision_bytes(facts: TensorFacts) -> int:
    return int(np.prod(facts.shape, dtype=np.int64)) * 4
