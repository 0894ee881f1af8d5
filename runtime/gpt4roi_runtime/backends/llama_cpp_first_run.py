"""The first use of a GGUF nobody here has seen: loaded and run for one token in a child process, then remembered.

llama.cpp answers some files with abort(), whatever their headers promise, and that would end the program that opened
the bundle. What a header can tell is refused sooner, by ``gguf_header``; this finds the rest.
"""

from collections.abc import Sequence
from pathlib import Path

import platformdirs

from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp_child import (
    ChildEnd,
    TookTooLong,
    library_identity,
    recall,
    remember,
    run_child,
)
from gpt4roi_runtime.backends.llama_cpp_memory import check_memory
from gpt4roi_runtime.backends.llama_cpp_selftest import SelfTest
from gpt4roi_runtime.errors import BundleError, EngineError
from gpt4roi_runtime.llm.decoder import CancelCheck
from gpt4roi_runtime.own_python import command_of

TIME_LIMIT_S = 600.0
CONTEXT_LENGTH = 256
WORKS = "works"
"""What the child prints at its end."""
REFUSED = 3
"""Exit status of a child that met an error, not a crash; the last line of its errors is what was wrong."""

_CHILD = command_of("gpt4roi_runtime.backends.llama_cpp_first_run_child")


class FirstRun:
    """The trial of unknown files and its memory.

    Args:
        folder: Where results are remembered; by default in the user's cache.
        child: Command of the child process; it hears the file, and ``repack`` or ``plain``.
    """

    def __init__(self, folder: Path | None = None, child: Sequence[str] = _CHILD) -> None:
        self._folder = folder if folder is not None else platformdirs.user_cache_path("gpt4roi-edge")
        self._child = tuple(child)

    def check(self, gguf: Path, sha256: str, cancel: CancelCheck = lambda: False) -> None:
        """Run a file in a child process, unless the installed build has run these very bytes before.

        The child takes the memory of the model once more, so call this before the model is loaded.

        Args:
            gguf: The file.
            sha256: Its hash, just checked, in hex digits.
            cancel: Asked ten times a second.

        Raises:
            BundleError: The file is no usable GGUF, or ends the process that runs it.
            EngineMissingError: llama-cpp-python is not installed.
            EngineError: There is too little memory or time, or llama.cpp reported an error.
            Cancelled: ``cancel`` said so.
        """
        place = self._folder / f"llama-first-run-{library_identity()}-{sha256}.json"
        known = recall(place)
        if known.get("works") is True:
            return
        if known.get("works") is False and isinstance(end := known.get("end"), str):
            raise _deadly(gguf, end)
        check_memory(inspect_gguf(gguf), CONTEXT_LENGTH)
        repack = "repack" if SelfTest(self._folder).verdict().repack_works else "plain"
        try:
            ended = run_child((*self._child, str(gguf.absolute()), repack), TIME_LIMIT_S, cancel)
        except TookTooLong as error:
            raise EngineError(
                f"the first run of {gguf} took longer than {TIME_LIMIT_S:.0f} s", "Try again when the machine is idle."
            ) from error
        except OSError as error:
            raise EngineError(f"the first run of {gguf} could not be started: {error}") from error
        _judge(gguf, place, ended)


def _judge(gguf: Path, place: Path, end: ChildEnd) -> None:
    """Remember what the end says of the file, and raise what it means."""
    if end.status == 0 and WORKS in end.stages:
        remember(place, {"works": True})
        return
    if end.crashed:
        remember(place, {"works": False, "end": str(end)})
        raise _deadly(gguf, str(end))
    if end.status == REFUSED:
        raise EngineError(f"{gguf} does not run: {end.last_words}")
    raise EngineError(
        f"the first run of {gguf} {end}", "Nothing is known of the file yet. Close other programs and try again."
    )


def _deadly(gguf: Path, end: str) -> BundleError:
    return BundleError(
        f"{gguf} ends the language engine: {end}",
        "The file is damaged or not meant for this program; fetch or convert it again.",
    )
