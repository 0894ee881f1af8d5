"""Files of ours on disk: written aside, then renamed; hashed in pieces. Does not know what is in them."""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gpt4roi_runtime.errors import OutputError

_PIECE_BYTES = 1 << 20


@contextmanager
def written_aside(target: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A binary file that becomes ``target`` when the block ends well, and vanishes when it does not.

    The file lies in the target's folder, so that the rename stays on one disk; readers see the old content or the
    new, never a half.

    Args:
        target: The file to be.
        private: Nobody but its owner may read it.

    Raises:
        OutputError: The folder is missing or read-only, the disk is full, or the rename failed.
    """
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with open(aside, "xb", opener=_for_owner if private else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        with suppress(OSError):  # where it could not be made, it cannot be removed
            aside.unlink(missing_ok=True)


def sha256_of(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """Hash of a file as 64 hex digits; ``on_bytes`` hears the size of every piece read.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            if on_bytes is not None:
                on_bytes(len(piece))
    return digest.hexdigest()


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _cannot_write(target: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {target}: {error.strerror or error}",
        "Choose another place, or free some space; an older file of that name is untouched.",
    )
