"""The native library of llama-cpp-python: found, loaded late and made quiet; knows no model.

Only the low-level module ``llama_cpp.llama_cpp`` is used. Its ctypes structures mirror the llama.h of exactly one
llama.cpp commit, and a structure that drifted is silent corruption, so the version is pinned and checked here.
The package's own ``__init__`` also imports its high-level half; going round it would save 45 ms of start and cost a
forged parent module, which is not worth it while the model loads in its own thread at the same time.
"""

import importlib
import importlib.util
import os
import threading
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gpt4roi_runtime.errors import EngineError, EngineMissingError

PINNED_VERSION = "0.3.36"
PINNED_COMMIT = "0c1e57098"
"""Of llama.cpp, as that version carries it."""
PIP_LINE = (
    'CMAKE_ARGS="-DGGML_OPENMP=OFF -DLLAVA_BUILD=OFF" '
    f"pip install --no-cache-dir --force-reinstall --no-deps llama-cpp-python=={PINNED_VERSION}"
)
REBUILD_ADVICE = f"Build it again: `make llama` in a checkout of gpt4roi-edge, or, with GCC 13.3 or newer: {PIP_LINE}"

_OVERRIDE = "LLAMA_CPP_LIB_PATH"
_WARNING, _ERROR, _CONTINUED = 3, 4, 5  # of ggml_log_level at the pinned commit
_LOADING = threading.Lock()


class LogTail:
    """What llama.cpp said last. It reports reasons only in its log, and prints it if nobody listens."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=400)

    def hear(self, level: int, text: bytes) -> None:
        """Note one message; called by native code from any of its threads."""
        words = text.decode("utf-8", "replace")
        if level != _CONTINUED:
            self._lines.append((level, words))
        elif self._lines:
            before, line = self._lines.pop()
            self._lines.append((before, line + words))

    def clear(self) -> None:
        """Forget everything said so far."""
        self._lines.clear()

    def complaints(self) -> str:
        """The last errors in one line, or the last warnings if there was no error."""
        lines = list(self._lines)
        for wanted in (_ERROR, _WARNING):
            said = [" ".join(line.split()) for level, line in lines if level == wanted]
            if said:
                return "; ".join(said[-3:])
        return "llama.cpp gave no reason"


@dataclass(frozen=True)
class NativeLibrary:
    """The loaded library.

    Attributes:
        api: The module of ctypes functions and structures.
        log: What the library says.
        system: Instruction sets and devices, in the library's words.
        log_callback: Held only because the library keeps a bare pointer to it.
    """

    api: Any
    log: LogTail
    system: str
    log_callback: object


def library_folder() -> Path:
    """Folder of the shared libraries, found without loading them.

    Raises:
        EngineMissingError: llama-cpp-python is not installed.
        EngineError: An environment variable points it at another library.
    """
    if _OVERRIDE in os.environ:
        raise EngineError(
            f"{_OVERRIDE} is set to {os.environ[_OVERRIDE]!r}",
            "Unset it: another libllama under this llama-cpp-python corrupts memory without a word.",
        )
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        raise EngineMissingError(
            "llama-cpp-python is not installed", f"Install it: `make setup` in a checkout, or {PIP_LINE}"
        )
    return Path(spec.submodule_search_locations[0]) / "lib"


def load_library() -> NativeLibrary:
    """Load the library once a process; nothing is printed, neither now nor later.

    Raises:
        EngineMissingError: It is not installed.
        EngineError: Another version is installed, or its files do not load.
    """
    with _LOADING:  # the cache alone lets two threads load at once, and the library calls back only the last of them
        return _loaded_once()


@lru_cache(maxsize=1)
def _loaded_once() -> NativeLibrary:
    library_folder()
    # Without this, a failed assertion inside ggml starts a debugger and prints to our standard output.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    try:
        package = importlib.import_module("llama_cpp")
        api = importlib.import_module("llama_cpp.llama_cpp")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise EngineError(f"llama-cpp-python does not load: {error}", REBUILD_ADVICE) from error
    if package.__version__ != PINNED_VERSION:
        raise EngineError(
            f"llama-cpp-python {package.__version__} is installed, but this program is made for {PINNED_VERSION}",
            REBUILD_ADVICE,
        )
    log = LogTail()
    callback = api.llama_log_callback(lambda level, text, _user_data: log.hear(level, text))
    api.llama_log_set(callback, None)
    api.llama_backend_init()
    system = bytes(api.llama_print_system_info()).decode("utf-8", "replace").strip()
    return NativeLibrary(api=api, log=log, system=system, log_callback=callback)
