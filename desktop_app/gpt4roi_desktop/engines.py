"""The vision engines that can be chosen here, and the line that installs those that cannot. Loads none."""

from dataclasses import dataclass

from gpt4roi_runtime.backends.distributions import (
    ONNXRUNTIME_DISTRIBUTIONS,
    RTX_DISTRIBUTIONS,
    TENSORRT_DISTRIBUTIONS,
    installed,
)
from gpt4roi_runtime.backends.vision_settings import ENGINE_NAMES, EngineName, VisionSettings
from gpt4roi_runtime.errors import EngineMissingError

_FROM: tuple[tuple[EngineName, tuple[str, ...], str], ...] = (
    ("onnxruntime", ONNXRUNTIME_DISTRIBUTIONS, "cpu"),
    ("openvino", ("openvino",), "openvino"),
    ("onnxruntime-cuda", ("onnxruntime-gpu",), "ort-cuda"),
    ("tensorrt", TENSORRT_DISTRIBUTIONS, "tensorrt"),
    ("tensorrt-rtx", RTX_DISTRIBUTIONS, "rtx"),
)
"""Every engine with the distributions that bring it, and our extra that installs one."""


@dataclass(frozen=True)
class Engine:
    """An engine that runs the vision half.

    Attributes:
        name: As the settings say it.
        words: What its makers call it, with its version where it is there.
        install: The line that installs it; empty where it is there.
    """

    name: EngineName
    words: str
    install: str = ""


def vision_engines() -> tuple[Engine, ...]:
    """All of them; reads what is installed, and imports nothing. Whether a GPU is there shows when it is loaded."""
    return tuple(_looked_for(*each) for each in _FROM)


def _looked_for(name: EngineName, distributions: tuple[str, ...], extra: str) -> Engine:
    found = installed(distributions)
    if not found:
        return Engine(name, ENGINE_NAMES[name], f"pip install 'gpt4roi-edge[{extra}]'")
    return Engine(name, f"{ENGINE_NAMES[name]} {found[0].partition(' ')[2]}")


def check_installed(vision: VisionSettings, engines: tuple[Engine, ...]) -> None:
    """See that what these settings name is there.

    Raises:
        EngineMissingError: It is not; with the line that installs it.
    """
    for each in engines:
        if each.install and each.name in (vision.backend, "openvino" if vision.precision == "bf16" else ""):
            raise EngineMissingError(f"{each.words} is not installed", each.install)
