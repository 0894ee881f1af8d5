"""The library with our operator for TensorRT: where it is, and which version. Knows no engine."""

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_runtime.errors import EngineError, EngineMissingError
from gpt4roi_runtime.storage import sha256_of

NAME = "libgpt4roi_roi_align.so"
_BUILD = "cmake -S runtime/native/roi_align -B build/roi_align && cmake --build build/roi_align"
_ADVICE = f"Build it in a checkout: {_BUILD} (docs/nvidia.md); or name it with --plugin."


@dataclass(frozen=True)
class PluginLibrary:
    """A built plugin.

    Attributes:
        path: The file.
        version: The operator's version, a dot, and that of what it keeps in a plan.
        sha256: Hash of the file.
    """

    path: Path
    version: str
    sha256: str


def find_plugin(named: Path | None, folders: tuple[Path, ...] | None = None) -> PluginLibrary:
    """The library that a person named, or the one that CMake built in this checkout.

    Args:
        named: A file.
        folders: To look in where none was named; ``None`` takes ``build/roi_align`` here and in the checkout.

    Raises:
        EngineMissingError: There is none; with the command that builds it.
        EngineError: It is not our plugin, or is older than this program.
    """
    looked = folders or (Path("build/roi_align"), Path(__file__).resolve().parents[3] / "build" / "roi_align")
    places = [named] if named is not None else [folder / NAME for folder in looked]
    found = next((place.resolve() for place in places if place.is_file()), None)
    if found is None:
        raise EngineMissingError(f"there is no plugin at {', '.join(map(str, places))}", _ADVICE)
    return PluginLibrary(found, _version(found), sha256_of(found))


def _version(path: Path) -> str:
    try:
        said = ctypes.CDLL(str(path)).gpt4roi_plugin_version
    except OSError as error:
        raise EngineError(f"{path} cannot be loaded: {error}", _ADVICE) from error
    except AttributeError as error:
        raise EngineError(f"{path} is not this program's plugin: it tells no version", _ADVICE) from error
    said.restype = ctypes.c_char_p
    version = (said() or b"").decode("ascii", "replace")
    if not re.fullmatch(r"[0-9]+\.[0-9]+", version):
        raise EngineError(f"{path} tells the version {version!r}, expected two numbers", _ADVICE)
    return version
