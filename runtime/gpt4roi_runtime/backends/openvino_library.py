"""OpenVINO's module, imported late and without its converter, and what the installed one can do; knows no graph.

Importing the package's converter would report the import to its makers wherever ``openvino-telemetry`` is installed,
which pip does. Nothing here needs the converter, so it is never loaded.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from gpt4roi_runtime.errors import EngineError, EngineMissingError

INSTALL = "pip install 'gpt4roi-edge[openvino]'"
CPU = "CPU"
_TALKATIVE = ("openvino.tools.ovc", "openvino_telemetry")


def import_openvino() -> Any:
    """The module, imported when it is first needed.

    Raises:
        EngineMissingError: It is not installed, or what is installed is broken.
    """
    try:
        with _held_back(_TALKATIVE):
            openvino: Any = import_module("openvino")
        import_module("openvino.frontend")
    except ImportError as error:
        raise EngineMissingError(f"OpenVINO cannot be imported: {error}", INSTALL) from error
    if not hasattr(openvino, "Core"):
        raise EngineMissingError("OpenVINO is broken: a part of it is missing", f"{INSTALL} --force-reinstall")
    return openvino


def openvino_version() -> str:
    """Version, without the build's name.

    Raises:
        EngineMissingError: It is not installed.
    """
    return str(import_openvino().get_version()).partition("-")[0]


def new_core(openvino: Any) -> Any:
    """A core whose plugins are loaded.

    Its plugin for processors gives the thread that loads it a stack for signals, and unmaps that with itself, from
    whichever thread: the next Ctrl-C would end the process. So the thread that loads it is one that ends.
    """

    def load() -> Any:
        core = openvino.Core()
        _ = core.available_devices  # asks every plugin, and so loads them
        return core

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="openvino-load") as pool:
        return pool.submit(load).result()


def computes_bf16(core: Any, device: str = CPU) -> bool:
    """Whether the device multiplies bfloat16 itself, so that the engine would choose it by default."""
    try:
        return str(core.get_property(device, "INFERENCE_PRECISION_HINT").get_type_name()) == "bf16"
    except Exception:  # noqa: BLE001 - its exceptions share no base but Exception; a device that cannot say has none
        return False


def check_device(core: Any, device: str) -> None:
    """Hold a device's name against those that the engine finds.

    Raises:
        EngineError: It finds none of that name.
    """
    found = core.available_devices
    if not any(name.partition(".")[0] == device.partition(".")[0] for name in found):
        raise EngineError(
            f"OpenVINO finds no device {device!r} on this machine", f"It finds {', '.join(found) or 'none'}. Use CPU."
        )


def words_of(error: Exception) -> str:
    """The line of a many-lined message that says what happened; those above it say where in the engine."""
    lines = [line.strip().removeprefix("-- ") for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@contextmanager
def _held_back(names: tuple[str, ...]) -> Iterator[None]:
    """Modules that cannot be imported for the moment, unless somebody else has already."""
    held = [name for name in names if name not in sys.modules]
    loaded: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    for name in held:
        loaded[name] = None  # how Python spells "not to be imported"
    try:
        yield
    finally:
        for name in held:
            loaded.pop(name, None)
