"""Python processes of ours for what may kill a process: started in a safe folder, waited for, and read to their end.

Does not know what they try.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from gpt4roi_runtime.backends.llama_cpp_library import PINNED_VERSION, library_folder
from gpt4roi_runtime.backends.processor import processor_features
from gpt4roi_runtime.errors import Cancelled, OutputError
from gpt4roi_runtime.llm.decoder import CancelCheck
from gpt4roi_runtime.own_python import PACKAGE_HOME, own_environment
from gpt4roi_runtime.storage import written_aside

CRASHES = frozenset(
    int(getattr(signal, name))
    for name in ("SIGSEGV", "SIGILL", "SIGBUS", "SIGABRT", "SIGFPE")
    if hasattr(signal, name)  # Windows has fewer
)
"""Signals that a process brings upon itself; others come from outside, from a system short of memory for example."""

_POLL_S = 0.1
_SCHEMA = 2


@dataclass(frozen=True)
class ChildEnd:
    """How a child ended.

    Attributes:
        status: Its exit status, or minus the number of the signal it died of.
        stages: The lines it printed.
        last_words: The last line of its errors, or an empty string.
    """

    status: int
    stages: tuple[str, ...]
    last_words: str

    @property
    def crashed(self) -> bool:
        """Whether it died by its own doing, so that it would again."""
        return -self.status in CRASHES

    def __str__(self) -> str:
        if self.status < 0:
            return f"died by signal {-self.status}"
        return f"ended with exit status {self.status}" + (f": {self.last_words}" if self.last_words else "")


class TookTooLong(Exception):  # noqa: N818 - an end among others; its meaning is up to who started the child
    """A child was ended because its time was up."""


def run_child(command: Sequence[str], limit_s: float, cancel: CancelCheck = lambda: False) -> ChildEnd:
    """Run a command in the folder of this package, and end it when nobody waits for it any more.

    Raises:
        TookTooLong: It ran longer than ``limit_s``.
        Cancelled: ``cancel`` said so.
        OSError: It could not be started.
    """
    deadline = time.monotonic() + limit_s
    child = subprocess.Popen(  # noqa: S603 - our own module; arguments are not read by a shell
        command,
        cwd=PACKAGE_HOME,
        env=own_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        try:
            said, errors = _wait(child, deadline, cancel)
        except BaseException:  # Ctrl-C too
            child.kill()
            raise
    words = errors.decode("utf-8", "replace").strip().splitlines()
    return ChildEnd(
        status=child.returncode,
        stages=tuple(said.decode("utf-8", "replace").splitlines()),
        last_words=words[-1] if words else "",
    )


def _wait(child: "subprocess.Popen[bytes]", deadline: float, cancel: CancelCheck) -> tuple[bytes, bytes]:
    while True:
        with suppress(subprocess.TimeoutExpired):
            return child.communicate(timeout=_POLL_S)
        if cancel():
            raise Cancelled
        if time.monotonic() > deadline:
            raise TookTooLong


def library_identity() -> str:
    """Name of the installed build on this CPU, from sizes and times of its files.

    Raises:
        EngineMissingError: llama-cpp-python is not installed.
    """
    digest = sha256(f"{_SCHEMA} {PINNED_VERSION} {processor_features()}".encode())
    for file in sorted(library_folder().glob("*")):
        if file.is_file():
            facts = file.stat()
            digest.update(os.fsencode(file) + f" {facts.st_size} {facts.st_mtime_ns}".encode())
    return digest.hexdigest()[:24]


def recall(place: Path) -> dict[str, object]:
    """Remembered facts; damaged ones are as good as none."""
    try:
        facts = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def remember(place: Path, facts: dict[str, object]) -> None:
    """Write facts down; where that fails the child is only asked again next time."""
    with suppress(OSError, OutputError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(place) as file:
            file.write(json.dumps(facts).encode())
