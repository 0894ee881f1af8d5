"""What was computed of images, on disk for another day: a file each, within a budget, checked before it is believed.

Knows no engine and no array: what the bytes are and all that decides them comes in as a ``Label``. A file that is not
exactly what was asked for is as good as none. The hash in a file tells damage, not malice: whoever may write to the
folder may change the answers, so the folder is its user's alone.
"""

import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import platformdirs
from msgspec import Meta

from gpt4roi_runtime.errors import OutputError, SettingsError
from gpt4roi_runtime.storage import written_aside

VERSION = 1
"""Of the files' layout and of what their labels mean; another version's files have other names."""

DEFAULT_BUDGET_BYTES = 2 << 30
"""Some ten images of a model of 7 billion weights, of hundreds for a small one."""

STORE_VARIABLE = "GPT4ROI_STORE"
"""Names another folder than the usual one."""

_MAGIC = b"gpt4roi-kept\n\x00\x1a\n"
_LENGTH_BYTES = 4
_MAX_HEADER_BYTES = 16 << 10
_MAX_BODY_BYTES = 1 << 40
_NAME = re.compile(r"[0-9a-f]{64}\.kept")
_LEFTOVER = re.compile(r"\.[0-9a-f]{64}\.kept\.[0-9a-f]{8}\.part")
_LEFTOVER_AGE_S = 3600.0
"""A file of a writer that was killed; nobody writes one for so long."""

Body = npt.NDArray[np.uint8]


def store_folder() -> Path:
    """Where photos are kept, unless somebody names another folder."""
    chosen = os.environ.get(STORE_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_cache_path("gpt4roi-edge") / "images"


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What bytes are, and all that decides them: they are given back for an equal label only.

    Attributes:
        kind: What is kept of the image.
        bundle_id: Of the bundle that made it.
        key: Hash of what it was made from, 64 hex digits.
        made_by: Engine, machine and settings, where the key does not tell of them already.
    """

    kind: Literal["features", "prefix"]
    bundle_id: Annotated[str, Meta(max_length=64)]
    key: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
    made_by: Annotated[str, Meta(max_length=4096)]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in front of the bytes; every field of it is checked."""

    version: int
    label: Label
    n_bytes: Annotated[int, Meta(ge=1, le=_MAX_BODY_BYTES)]
    sha256: str


class _Refused(Exception):  # noqa: N818 - not an error: the file is as good as none
    """A file is not what was asked for."""


class ImageStore:
    """A folder of kept images. Several processes may share it: a file appears whole, or not at all.

    Nothing here raises because of the folder: what cannot be read is computed again, what cannot be written is lost,
    and ``on_note`` hears of it.

    Args:
        folder: Made when something is written first, for its user alone.
        budget_bytes: Most bytes of all files; what was used longest ago goes first.
        on_note: Hears, in a line for a person, what was refused or lost.

    Attributes:
        folder: As given.
        budget_bytes: As given.

    Raises:
        SettingsError: The budget is negative.
    """

    def __init__(
        self,
        folder: Path,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        on_note: Callable[[str], None] = lambda _: None,
    ) -> None:
        if budget_bytes < 0:
            raise SettingsError(f"a store of {budget_bytes} bytes", "Use 0 (nothing is kept) or more.")
        self.folder = folder
        self.budget_bytes = budget_bytes
        self._on_note = on_note
        self._noted = ""

    def path_of(self, label: Label) -> Path:
        """Where the bytes of a label lie, if they do."""
        digest = hashlib.sha256(b"%d " % VERSION + msgspec.json.encode(label))
        return self.folder / f"{digest.hexdigest()}.kept"

    def holds(self, label: Label) -> bool:
        """Whether there is a file; what is in it, only ``get`` can tell."""
        try:
            return stat.S_ISREG(self.path_of(label).lstat().st_mode)
        except OSError:
            return False

    def get(self, label: Label, most_bytes: int) -> Body | None:
        """Read what is kept under a label.

        A file that is damaged or not this label's is removed.

        Args:
            label: What is wanted.
            most_bytes: A file with more is refused before it is read.

        Returns:
            The bytes, just as they were put, or None.
        """
        path = self.path_of(label)
        try:
            body = _read(path, label, min(most_bytes, self.budget_bytes))
        except (FileNotFoundError, NotADirectoryError):  # where the folder is none, `put` tells
            return None
        except _Refused as why:
            self.refuse(label, str(why))
            return None
        except (OSError, MemoryError) as error:
            self.note(f"{path} cannot be read and is computed again: {_reason(error)}")
            return None
        with suppress(OSError):  # another's store may be read all the same
            os.utime(path)  # used last
        return body

    def refuse(self, label: Label, why: str) -> None:
        """Remove what cannot be used, so that what is computed instead takes its place."""
        path = self.path_of(label)
        self.note(f"{path} is refused and computed again: {why}")
        _remove(path)

    def put(self, label: Label, parts: Sequence[npt.NDArray[Any]]) -> bool:
        """Keep bytes under a label, in place of what was there.

        Args:
            label: What they are.
            parts: C-contiguous arrays, whose bytes are kept one behind another.

        Returns:
            Whether they are kept now; bytes that no budget would hold are not.
        """
        path, header = self.path_of(label), _header_bytes(label, parts)
        n_bytes = len(header) + sum(part.nbytes for part in parts)
        if n_bytes > self.budget_bytes:
            return False
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(path, n_bytes)
            with written_aside(path, private=True) as file:
                file.write(header)
                for part in parts:
                    file.write(_bytes_of(part))
        except (OSError, OutputError) as error:
            self.note(f"the photo is not kept for another day: {_reason(error)}")
            return False
        return True

    def usage(self) -> tuple[int, int]:
        """Number of files and their bytes."""
        sizes = [size for _, size, _ in self._files(_NAME)]
        return len(sizes), sum(sizes)

    def forget(self) -> tuple[int, int]:
        """Remove all that is kept here, and what killed writers left behind.

        Returns:
            Number of files, and their bytes, that would not go.
        """
        for name in (_NAME, _LEFTOVER):
            for _, _, path in self._files(name):
                _remove(path)
        return self.usage()

    def note(self, text: str) -> None:
        """Tell a person, but not the same thing after every question."""
        if text != self._noted:
            self._on_note(text)
        self._noted = text

    def _make_room(self, place: Path, n_bytes: int) -> None:
        """Remove what was used longest ago until a new file at ``place`` fits, and what killed writers left behind."""
        for changed_ns, _, path in self._files(_LEFTOVER):
            if time.time() - changed_ns / 1e9 > _LEFTOVER_AGE_S:
                _remove(path)
        others = sorted(file for file in self._files(_NAME) if file[2] != place)
        excess = sum(size for _, size, _ in others) + n_bytes - self.budget_bytes
        for _, size, path in others:
            if excess <= 0:
                return
            _remove(path)
            excess -= size

    def _files(self, name: re.Pattern[str]) -> list[tuple[int, int, Path]]:
        """Time of last use, size and place of our own files of such a name."""
        found = []
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(OSError):  # gone meanwhile
                    facts = entry.stat(follow_symlinks=False)
                    if name.fullmatch(entry.name) and stat.S_ISREG(facts.st_mode):
                        found.append((facts.st_mtime_ns, facts.st_size, Path(entry.path)))
        return found


def _remove(path: Path) -> None:
    with suppress(OSError):  # another process was faster, or may not
        path.unlink()


def _header_bytes(label: Label, parts: Sequence[npt.NDArray[Any]]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(_bytes_of(part))
    header = _Header(VERSION, label, sum(part.nbytes for part in parts), digest.hexdigest())
    encoded = msgspec.json.encode(header)
    return _MAGIC + len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded


def _read(path: Path, label: Label, most_bytes: int) -> Body:
    """The bytes behind a header that is right in every field.

    Raises:
        _Refused: With the reason.
        OSError: There is no such file, or it cannot be read.
    """
    with _opened(path) as file:
        header = _read_header(file)
        if header.label != label:
            raise _Refused("it belongs to another image, bundle, engine or setting")
        if header.n_bytes > most_bytes:
            raise _Refused(f"it says it holds {header.n_bytes:,} bytes, more than the {most_bytes:,} expected")
        n_there = os.fstat(file.fileno()).st_size - file.tell()
        if n_there != header.n_bytes:
            raise _Refused(f"it holds {n_there:,} bytes and says {header.n_bytes:,}")
        body = np.empty(header.n_bytes, dtype=np.uint8)
        n_read = file.readinto(body.data)  # type: ignore[attr-defined]  # BinaryIO lacks it; every such file has it
        if n_read != header.n_bytes or hashlib.sha256(body.data).hexdigest() != header.sha256:
            raise _Refused("it is damaged")
    return body


def _read_header(file: BinaryIO) -> _Header:
    n_bytes = int.from_bytes(_start(file), "little")
    if n_bytes > _MAX_HEADER_BYTES:
        raise _Refused(f"its header would have {n_bytes:,} bytes")
    raw = file.read(n_bytes)
    try:
        header = msgspec.json.decode(raw, type=_Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused(f"its header is damaged: {error}") from error
    if header.version != VERSION:
        raise _Refused(f"it has version {header.version}; this program keeps version {VERSION}")
    if msgspec.json.encode(header) != raw:
        raise _Refused("its header is written in another way")
    return header


def _start(file: BinaryIO) -> bytes:
    start = file.read(len(_MAGIC) + _LENGTH_BYTES)
    if len(start) != len(_MAGIC) + _LENGTH_BYTES or not start.startswith(_MAGIC):
        raise _Refused("it is not a kept image")
    return start[len(_MAGIC) :]


def _opened(path: Path) -> BinaryIO:
    """A regular file, opened without following a link or waiting for the other end of a pipe.

    Raises:
        _Refused: Something else is there.
        OSError: Nothing is there, or it cannot be opened.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise _Refused("it is not a regular file")
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # each system has some of them
        flags |= getattr(os, name, 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # exchanged meanwhile
        file.close()
        raise _Refused("it is not a regular file")
    return file


def _bytes_of(part: npt.NDArray[Any]) -> memoryview:
    return part.data.cast("B")


def _reason(error: Exception) -> str:
    if isinstance(error, OutputError):
        return error.problem
    return (error.strerror or str(error)) if isinstance(error, OSError) else "not enough memory"
