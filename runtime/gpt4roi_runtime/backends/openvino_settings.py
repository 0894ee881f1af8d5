"""How OpenVINO shall run the vision half, checked before it hears of it; does not know the graphs."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from gpt4roi_runtime.backends.llama_cpp_settings import MAX_THREADS
from gpt4roi_runtime.backends.openvino_library import CPU
from gpt4roi_runtime.backends.processor import usable_cores
from gpt4roi_runtime.errors import SettingsError

OpenVinoPrecision = Literal["auto", "f32", "bf16"]


@dataclass(frozen=True)
class OpenVinoSettings:
    """Settings of both graphs.

    Attributes:
        precision: What the encode graph is computed in. ``auto`` takes bfloat16 where the processor multiplies it
            itself, and float32 elsewhere; another device than the CPU chooses for itself. Sums stay float32.
        n_threads: 0 takes every physical core this process may use: a second thread of a core gains the graphs nothing,
            and stays free for whoever waits for the answer.
        device: ``CPU``, ``GPU`` or ``NPU``, as OpenVINO calls them.
        cache_folder: Where compiled graphs are kept; ``None`` takes a folder of the user's cache.

    Raises:
        SettingsError: A value is unknown or out of its range.
    """

    precision: OpenVinoPrecision = "auto"
    n_threads: int = 0
    device: str = CPU
    cache_folder: Path | None = field(default=None)

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "f32", "bf16"):
            raise SettingsError(f"precision {self.precision!r} is unknown", "Use auto, f32 or bf16.")
        if not 0 <= self.n_threads <= MAX_THREADS:
            raise SettingsError(f"n_threads {self.n_threads} is out of range", f"Use 0 (all cores) to {MAX_THREADS}.")
        if self.device.partition(".")[0] not in (CPU, "GPU", "NPU"):
            raise SettingsError(f"device {self.device!r} is unknown", "Use CPU, GPU or NPU.")

    def for_coordinates(self) -> "OpenVinoSettings":
        """The same for a graph that computes with boxes.

        The engine would round these too, and a bfloat16 places a corner on one of 256 lines of the picture.
        """
        return replace(self, precision="f32") if self.device == CPU else self

    def threads(self) -> int:
        """The number of threads to use on this machine."""
        return self.n_threads or usable_cores()
