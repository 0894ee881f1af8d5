"""NVIDIA's two engines as Python modules of one API: found, imported late, and their libraries' names made right."""

import ctypes
import importlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import platformdirs

from gpt4roi_runtime.bundle.plans import PlanEngine
from gpt4roi_runtime.errors import EngineError, EngineMissingError

_PIP = {
    "tensorrt_rtx": "pip install tensorrt-rtx",
    "tensorrt": "pip install tensorrt; on a Jetson JetPack brings it: python3 -m venv --system-site-packages",
}
_UNVERSIONED = "libtensorrt_rtx.so"
_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""


def import_engine(name: PlanEngine) -> ModuleType:
    """The engine's module.

    Raises:
        EngineMissingError: It is not installed; with the pip line.
        EngineError: It is, and cannot be loaded.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        raise EngineMissingError(f"{missing.name or name} is not installed", _PIP[name]) from missing
    except (ImportError, OSError) as broken:
        raise EngineError(f"{name} cannot be loaded: {broken}", f"Install it again: {_PIP[name]}") from broken


def builder_environment(
    engine: PlanEngine, environment: Mapping[str, str], folder: Path | None = None
) -> dict[str, str]:
    """What a process that builds plans is started with.

    TensorRT for RTX opens its own library by the name ``libtensorrt_rtx.so``, which its wheel lacks; the first operator
    of a plugin would end the process. A link of that name in a folder of ours, on the loader's path, is what it finds.

    Args:
        engine: Of the process.
        environment: To begin with.
        folder: For the link; ``None`` takes one in the user's cache.

    Raises:
        EngineError: The link cannot be made; says the command.
    """
    library = _library_without_link() if engine == "tensorrt_rtx" else None
    if library is None:
        return dict(environment)
    place = (folder or platformdirs.user_cache_path("gpt4roi-edge") / "tensorrt-rtx") / library.parent.parent.name
    link = place / _UNVERSIONED
    try:
        place.mkdir(parents=True, exist_ok=True)
        if not link.exists() or not link.samefile(library):
            link.unlink(missing_ok=True)
            link.symlink_to(library)
    except OSError as error:
        raise EngineError(
            f"{library.parent} has no {_UNVERSIONED}, which its parser opens, and {link} cannot be made: {error}",
            f"ln -s {library.name} {library.parent / _UNVERSIONED}",
        ) from error
    paths = [str(place), *filter(None, [environment.get("LD_LIBRARY_PATH")])]
    return {**environment, "LD_LIBRARY_PATH": os.pathsep.join(paths)}


def compute_capability() -> int | None:
    """Of the first GPU, 89 for 8.9; ``None`` where there is none, or no driver."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, number = ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    parts = []
    for attribute in (_MAJOR, _MINOR):
        if cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device):
            return None
        parts.append(number.value)
    return parts[0] * 10 + parts[1]


def _library_without_link() -> Path | None:
    """The wheel's library, if nothing of the unversioned name lies beside it."""
    spec = importlib.util.find_spec("tensorrt_rtx_libs")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations)))
    if (folder / _UNVERSIONED).exists():
        return None
    return next(iter(sorted(folder.glob(f"{_UNVERSIONED}.*"))), None)
