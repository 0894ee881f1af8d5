"""A bundle's folder, written aside and put in place by one rename, or by two where it replaces another bundle.

Knows the manifest's format but no model: whoever calls fills the folder.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gpt4roi_runtime.bundle.folder import MANIFEST_NAME
from gpt4roi_runtime.bundle.manifest import FileEntry, Manifest
from gpt4roi_runtime.errors import OutputError
from gpt4roi_runtime.storage import sha256_of


@contextmanager
def new_bundle(out: Path, *, replace: bool = False) -> Iterator[Path]:
    """A folder to fill, which becomes ``out`` when the block ends well and vanishes when it does not.

    Args:
        out: Where the bundle shall be.
        replace: Whether a bundle that is already there may go; anything else is never replaced.

    Yields:
        An empty folder beside ``out``, so that the rename stays inside one file system.

    Raises:
        OutputError: ``out`` is taken, or the disk refused (full, read-only, no permission).
    """
    out = out.absolute()
    require_free(out, replace=replace)
    aside = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        aside.mkdir(parents=True)
        yield aside
        put_in_place(aside, out, replace=replace)
    except OSError as failed:
        raise OutputError(
            f"cannot write the bundle {out}: {failed}", "Check the free space and the folder's permissions."
        ) from failed
    finally:
        # Also on Ctrl-C; after the rename there is nothing left to remove.
        shutil.rmtree(aside, ignore_errors=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json``, the same bytes for the same manifest."""
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / MANIFEST_NAME).write_bytes(content + b"\n")


def file_entry(folder: Path, path: str) -> FileEntry:
    """What the manifest says of a file that is already in the folder.

    Args:
        folder: The bundle.
        path: Relative, with forward slashes.
    """
    file = folder / path
    return FileEntry(path=path, size_bytes=file.stat().st_size, sha256=sha256_of(file))


def require_free(out: Path, *, replace: bool) -> None:
    """Refuse early a place where no bundle may be written.

    Raises:
        OutputError: Something is there that may not be replaced.
    """
    if not out.exists() and not out.is_symlink():
        return
    if (
        out.is_dir()
        and not out.is_symlink()
        and (not any(out.iterdir()) or (replace and (out / MANIFEST_NAME).is_file()))
    ):
        return
    raise OutputError(f"{out} is already there", "Choose another folder; --force replaces a bundle, and nothing else.")


def put_in_place(aside: Path, out: Path, *, replace: bool) -> None:
    """Let a complete folder become the bundle.

    Args:
        aside: Beside ``out``, on the same disk.
        out: Where the bundle shall be.
        replace: Whether a bundle that is already there may go.

    Raises:
        OutputError: Something is there that may not be replaced.
        OSError: The disk refused.
    """
    require_free(out, replace=replace)
    if not out.exists():
        aside.rename(out)
        return
    old = aside.with_suffix(".old")
    out.rename(old)
    try:
        aside.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
