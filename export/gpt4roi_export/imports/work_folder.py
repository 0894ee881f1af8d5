"""The folder beside a future bundle in which an import keeps what is done, so that a killed one goes on from there.

Knows steps by name only. A step's files count once its name stands in the list, which is written by rename.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from gpt4roi_export.write_bundle import put_in_place
from gpt4roi_runtime.errors import OutputError
from gpt4roi_runtime.storage import written_aside

_LIST = "steps.json"


class _Done(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    steps: tuple[str, ...] = ()


class WorkFolder:
    """The folder of one import.

    Args:
        out: The bundle that is to be.
        key: Says what goes in and how; what another import left is thrown away.
    """

    def __init__(self, out: Path, key: str) -> None:
        self.path = out.with_name(f".{out.name}.importing")
        self._done = _Done(key)

    def open(self) -> bool:
        """Make the folder, or take up what an import of the same key left.

        Returns:
            Whether something was there to go on from.

        Raises:
            OutputError: The folder cannot be made.
        """
        found = self._read()
        if found is not None and found.key == self._done.key:
            self._done = found
            return bool(found.steps)
        try:
            if self.path.exists():
                shutil.rmtree(self.path)
            self.path.mkdir(parents=True)
        except OSError as failed:
            raise OutputError(
                f"cannot make {self.path}: {failed.strerror or failed}", "Choose a folder that may be written to."
            ) from failed
        self._write()
        return False

    def step(self, name: str, act: Callable[[], None]) -> None:
        """Do a step unless it is done.

        Args:
            name: Of the step.
            act: Leaves its files whole in the folder; what it left half-done before, it has to cope with.
        """
        if name in self._done.steps:
            return
        act()
        self._done = _Done(self._done.key, (*self._done.steps, name))
        self._write()

    def become(self, out: Path, *, without: Sequence[str] = (), replace: bool = False) -> None:
        """Turn into the bundle, by one rename.

        Args:
            out: The bundle.
            without: Files that were only needed on the way.
            replace: Whether a bundle that is there may go.

        Raises:
            OutputError: Something else is there, or the rename failed.
        """
        try:
            put_in_place(self.path, out, replace=replace)
            # Last, so that nothing is done twice should the rename fail; a reader ignores such files.
            for name in (_LIST, *without):
                (out / name).unlink()
        except OSError as failed:
            raise OutputError(
                f"cannot move {self.path} to {out}: {failed.strerror or failed}", "Make room there and import again."
            ) from failed

    def _read(self) -> _Done | None:
        try:
            return msgspec.json.decode((self.path / _LIST).read_bytes(), type=_Done)
        except (OSError, msgspec.DecodeError):
            return None

    def _write(self) -> None:
        with written_aside(self.path / _LIST) as file:
            file.write(msgspec.json.encode(self._done))
