"""Does this build of llama.cpp survive on this CPU? Tried once in a child process; knows no real model.

A llama.cpp compiled by GCC older than 12.4 or 13.3 dies by a signal in its first batch on CPUs with AMX: the
compiler's intrinsic for the tile configuration reads 8 of its 64 bytes. Without rearranged weights it never takes that
path, and runs, slower. A signal cannot be caught in the process that it kills, hence the child.
"""

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from gpt4roi_runtime.backends.llama_cpp_library import PINNED_VERSION, REBUILD_ADVICE, library_folder
from gpt4roi_runtime.errors import EngineError, OutputError
from gpt4roi_runtime.storage import written_aside

TIME_LIMIT_S = 60.0
PLAIN_WORKS, REPACKED_WORKS = "plain works", "repacked works"
"""What the child prints after each stage."""

_CHILD = (sys.executable, "-m", "gpt4roi_runtime.backends.llama_cpp_selftest_child")
_SCHEMA = 1


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

        Raises:
            EngineMissingError: llama-cpp-python is not installed.
            EngineError: It does not even run without rearranged weights.
        """
        place = self._folder / f"llama-self-test-{_identity(library_folder())}.json"
        known = _recall(place)
        if known is not None:
            return known
        verdict = self._ask_child()
        _remember(place, verdict)
        return verdict

    def _ask_child(self) -> Verdict:
        try:
            child = subprocess.run(  # noqa: S603 - our own module, no word of it from outside
                self._child, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise EngineError(
                f"the self-test of llama.cpp took longer than {TIME_LIMIT_S:.0f} s",
                "Try again when the machine is idle.",
            ) from error
        stages = child.stdout.decode("utf-8", "replace").splitlines()
        if PLAIN_WORKS not in stages:
            raise EngineError(
                f"llama-cpp-python {PINNED_VERSION} does not run on this machine: its self-test {_end_of(child)}",
                REBUILD_ADVICE,
            )
        if REPACKED_WORKS in stages and child.returncode == 0:
            return Verdict(repack_works=True)
        return Verdict(
            repack_works=False,
            note="this build of llama.cpp fails with this CPU's matrix units "
            f"(its self-test {_end_of(child)}), so they are not used and it runs two to three times slower. "
            f"{REBUILD_ADVICE}",
        )


def _end_of(child: "subprocess.CompletedProcess[bytes]") -> str:
    """How the child ended, with its last words."""
    if child.returncode < 0:
        return f"died by signal {-child.returncode}"
    words = child.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"ended with exit status {child.returncode}" + (f": {words[-1]}" if words else "")


def _identity(folder: Path) -> str:
    """Name of this build on this CPU, from sizes and times of its files."""
    digest = hashlib.sha256(f"{_SCHEMA} {PINNED_VERSION} {_cpu_features()}".encode())
    for file in sorted(folder.glob("*")):
        if file.is_file():
            facts = file.stat()
            digest.update(f"{file} {facts.st_size} {facts.st_mtime_ns}".encode())
    return digest.hexdigest()[:24]


def _cpu_features() -> str:
    """What the first processor can do, in the system's words."""
    kinds = ("model name", "flags", "Features", "CPU part")
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            first = []
            for line in lines:
                if not line.strip():
                    break
                first.append(line)
    except OSError:  # not Linux
        return f"{platform.machine()} {platform.processor()}"
    return "".join(line for line in first if line.startswith(kinds))


def _recall(place: Path) -> Verdict | None:
    """A remembered verdict; a damaged one is as good as none."""
    try:
        facts = json.loads(place.read_text(encoding="utf-8"))
        repack_works, note = facts["repack_works"], facts["note"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(repack_works, bool) or not isinstance(note, str | None):
        return None
    return Verdict(repack_works=repack_works, note=note)


def _remember(place: Path, verdict: Verdict) -> None:
    """Write the verdict down; where that fails the test is only made again next time."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(place) as file:
            file.write(json.dumps(asdict(verdict)).encode())
    except (OSError, OutputError):
        return
