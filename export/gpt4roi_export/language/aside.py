"""Files of many gigabytes: room for them looked for first, written aside, renamed when whole. Knows no content.

Unlike ``storage.written_aside``, the name aside is always the same one, so that what a killed run left is written over
instead of staying beside it.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpt4roi_runtime.errors import OutputError

_SPARE_BYTES = 16 << 20  # for what else happens on that disk, and for directories


def aside_of(target: Path) -> Path:
    """Where a file is written before it is whole."""
    return target.with_name(f".{target.name}.part")


@contextmanager
def renamed_when_whole(target: Path, n_bytes: int) -> Iterator[Path]:
    """A path to write to, which becomes ``target`` when the block ends well and vanishes when it does not.

    Args:
        target: The new file.
        n_bytes: What it will take, as far as is known.

    Raises:
        OutputError: There is no room for it, or it cannot be written.
    """
    aside = aside_of(target)
    try:
        aside.unlink(missing_ok=True)
        _check_room(target, n_bytes)
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(target)
    except OSError as failed:
        raise OutputError(
            f"cannot write {target}: {failed.strerror or failed}",
            "Choose another place, or free some space; an older file of that name is untouched.",
        ) from failed
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _check_room(target: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < n_bytes + _SPARE_BYTES:
        raise OutputError(
            f"{target} will take {n_bytes / 1e9:.2f} GB, and {target.parent.absolute()} has {free / 1e9:.2f} GB left",
            "Free some space, choose another place, or a smaller quantisation.",
        )
