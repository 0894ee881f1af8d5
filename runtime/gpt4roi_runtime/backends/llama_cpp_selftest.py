"""Does this build of llama.cpp survive on this CPU? Tried once in a child process; knows no real model.

A llama.cpp compiled by GCC older than 12.4 or 13.3 dies by a signal in its first batch on CPUs with AMX: the
compiler's intrinsic for the tile configuration reads 8 of its 64 bytes. Without rearranged weights it never takes that
path, and runs, slower. A signal cannot be caught in the process that it kills, hence the child.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from gpt4roi_runtime.backends.llama_cpp_child import (
    ChildEnd,
    TookTooLong,
    library_identity,
    recall,
    remember,
    run_child,
)
from gpt4roi_runtime.backends.llama_cpp_library import PINNED_VERSION, REBUILD_ADVICE
from gpt4roi_runtime.errors import EngineError
from gpt4roi_runtime.own_python import command_of

TIME_LIMIT_S = 60.0
PLAIN_WORKS, REPACKED_WORKS, WRONG_NUMBERS = "plain works", "repacked works", "wrong numbers"
"""What the child prints after each stage."""
NO_PLACE = 73
"""Exit status of a child that could not write its model; sysexits.h calls it EX_CANTCREAT."""

_CHILD = command_of("gpt4roi_runtime.backends.llama_cpp_selftest_child")


@dataclass(frozen=True)
class Verdict:
    """What the self-test found.

    Attributes:
        repack_works: Rearranged weights give right numbers on this machine.
        note: What the user should know, or ``None``.
    """

    repack_works: bool
    note: str | None = None


class SelfTest:
    """The test and its memory.

    Args:
        folder: Where results are remembered; by default in the user's cache.
        child: Command of the child process.
    """

    def __init__(self, folder: Path | None = None, child: Sequence[str] = _CHILD) -> None:
        self._folder = folder if folder is not None else platformdirs.user_cache_path("gpt4roi-edge")
        self._child = tuple(child)

    def verdict(self) -> Verdict:
        """The remembered verdict on the installed library, or a new one.

        What says nothing about the library, such as a child killed for want of memory, is not remembered.

        Raises:
            EngineMissingError: llama-cpp-python is not installed.
            EngineError: It does not even run without rearranged weights.
        """
        place = self._folder / f"llama-self-test-{library_identity()}.json"
        known = _known(place)
        if known is not None:
            return known
        try:
            end = run_child(self._child, TIME_LIMIT_S)
        except TookTooLong:
            return _undecided(f"took longer than {TIME_LIMIT_S:.0f} s")
        except OSError as error:
            return _undecided(f"could not be started: {error}")
        verdict = _definite(end)
        if verdict is None:
            return _undecided(str(end))
        remember(place, asdict(verdict))
        return verdict


def _definite(end: ChildEnd) -> Verdict | None:
    """What the end says of the library, or ``None`` if it would end otherwise another time.

    Raises:
        EngineError: It does not even run without rearranged weights.
    """
    if PLAIN_WORKS not in end.stages:
        if end.crashed or (end.status >= 0 and end.status != NO_PLACE):
            raise EngineError(
                f"llama-cpp-python {PINNED_VERSION} does not run on this machine: its self-test {end}", REBUILD_ADVICE
            )
        return None
    if REPACKED_WORKS in end.stages and end.status == 0:
        return Verdict(repack_works=True)
    if not end.crashed and WRONG_NUMBERS not in end.stages:
        return None
    return Verdict(
        repack_works=False,
        note="this build of llama.cpp fails with this CPU's matrix units "
        f"(its self-test {end}), so they are not used and it runs two to three times slower. {REBUILD_ADVICE}",
    )


def _undecided(end: str) -> Verdict:
    return Verdict(
        repack_works=False,
        note=f"the self-test of llama.cpp {end}, so this CPU's matrix units are not used this time and it runs two to "
        "three times slower. It is made again at the next start.",
    )


def _known(place: Path) -> Verdict | None:
    facts = recall(place)
    repack_works, note = facts.get("repack_works"), facts.get("note", "")
    if not isinstance(repack_works, bool) or not isinstance(note, str | None):
        return None
    return Verdict(repack_works=repack_works, note=note)
