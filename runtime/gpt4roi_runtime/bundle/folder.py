"""Opens a bundle's folder: reads the manifest strictly and holds every file against it; knows no engine.

A bundle may come from a stranger: no path leaves the folder, nothing is unpickled, rendered or executed, and nothing
is read before its size is known.
"""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import msgspec

from gpt4roi_runtime.bundle.manifest import FORMAT, VERSION, FileEntry, ImagePiece, Manifest, TokenPiece
from gpt4roi_runtime.errors import BundleError, Cancelled
from gpt4roi_runtime.storage import sha256_of

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
_SMALLEST_STD = 1e-6

_ASSEMBLE = "Make the embedded bundle with `make bundle` in a checkout, or `gpt4roi-export embedded`."
_AGAIN = "Copy or assemble the bundle again."


@dataclass(frozen=True)
class Bundle:
    """A folder whose manifest was read.

    Attributes:
        folder: Where it is.
        manifest: What it says.
        id: First 16 hex digits of the manifest's SHA-256; since the manifest holds every file's hash, two bundles
            with the same id are the same model.
    """

    folder: Path
    manifest: Manifest
    id: str

    def path_of(self, entry: FileEntry) -> Path:
        """Where a file of the manifest lies."""
        return self.folder / entry.path


class _Head(msgspec.Struct):
    """The two fields that every version has."""

    format: str
    version: int


def default_bundle() -> Path:
    """Where the embedded bundle lies: with the data of the Python environment that it was assembled in."""
    return Path(sys.prefix, "share", "gpt4roi", "bundles", "embedded")


def open_bundle(folder: Path) -> Bundle:
    """Read a bundle's manifest; its files are not looked at yet.

    Raises:
        BundleError: No such folder or manifest, another format or version, a field missing, unknown or out of range,
            or a path that leaves the folder.
    """
    raw = _manifest_bytes(folder)
    return Bundle(folder.resolve(), _manifest(folder, raw), hashlib.sha256(raw).hexdigest()[:16])


def check_file(bundle: Bundle, entry: FileEntry, cancel: Callable[[], bool] = lambda: False) -> None:
    """Hold a file's place, size and content against the manifest; the content is read once the size is right.

    ``cancel`` is asked between the pieces of a large file.

    Raises:
        BundleError: Missing, a link, outside the folder, of another size or SHA-256, or unreadable.
        Cancelled: ``cancel`` said so.
    """
    path = bundle.path_of(entry)
    try:
        _check_file(bundle, entry, path, cancel)
    except (OSError, RuntimeError, ValueError) as error:  # unreadable, a loop of links, a NUL in the name
        raise BundleError(f"{path} cannot be read: {error}", _AGAIN) from error


def _check_file(bundle: Bundle, entry: FileEntry, path: Path, cancel: Callable[[], bool]) -> None:
    if path.is_symlink() or not path.resolve().is_relative_to(bundle.folder):
        raise BundleError(f"{path} leads out of the bundle's folder", "A bundle holds its files itself, without links.")
    if not path.is_file():
        raise BundleError(f"{path} is missing", _AGAIN)
    size = path.stat().st_size
    if size != entry.size_bytes:
        raise BundleError(f"{path} has {size:,} bytes; the manifest says {entry.size_bytes:,}", _AGAIN)

    def go_on(_: int) -> None:
        if cancel():
            raise Cancelled

    found = sha256_of(path, go_on)
    if found != entry.sha256:
        raise BundleError(f"{path} has SHA-256 {found}; the manifest says {entry.sha256}", f"It was changed. {_AGAIN}")


def _manifest_bytes(folder: Path) -> bytes:
    path = folder / MANIFEST_NAME
    try:
        if not folder.is_dir():
            raise BundleError(f"there is no bundle at {folder}", _ASSEMBLE)
        if not path.exists():
            raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST_NAME}", _ASSEMBLE)
        if path.is_symlink() or not path.is_file():
            raise BundleError(f"{path} is not a regular file", _AGAIN)
        with path.open("rb") as file:
            raw = file.read(MAX_MANIFEST_BYTES + 1)
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, a loop of links, a NUL in the name
        raise BundleError(f"{path} cannot be read: {error}", _AGAIN) from error
    if len(raw) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path} is larger than the limit of {MAX_MANIFEST_BYTES:,} bytes", _AGAIN)
    return raw


def _manifest(folder: Path, raw: bytes) -> Manifest:
    path = folder / MANIFEST_NAME
    try:
        head = msgspec.json.decode(raw, type=_Head)
        if head.format != FORMAT:
            raise BundleError(f"{path} has format {head.format!r}; expected {FORMAT!r}", _AGAIN)
        if head.version != VERSION:
            raise BundleError(
                f"{path} has version {head.version}; this program reads version {VERSION}",
                "Use a program of the bundle's time, or export the bundle again.",
            )
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(
            f"{path} is not a valid manifest: {error}", "docs/bundle.md specifies every field."
        ) from error
    _check_paths(path, manifest)
    _check_preprocessing(path, manifest)
    _check_template(path, manifest)
    _check_detector(path, manifest)
    return manifest


def _check_paths(path: Path, manifest: Manifest) -> None:
    """Relative, downward, and the same on every system; no two entries share a file."""
    names = [entry.path for entry in manifest.files]
    for name in names:
        path_in = PurePosixPath(name)
        strange = "\\" in name or "\0" in name or path_in.as_posix() != name or name == "."
        if strange or ".." in path_in.parts or path_in.is_absolute() or PureWindowsPath(name).drive:
            raise BundleError(f"{path} names {name!r}, which leads out of the bundle's folder", _AGAIN)
    if len(set(names)) != len(names) or MANIFEST_NAME in names:
        raise BundleError(f"{path} names one file twice: {', '.join(names)}", _AGAIN)


def _check_preprocessing(path: Path, manifest: Manifest) -> None:
    """Whatever the photo's shape, a square must come out, and the filters must be the specified ones."""
    how = manifest.vision.preprocessing
    ends_square = how.resize.to == "stretch" if how.stretch is None else how.stretch.to == "stretch"
    filters = [how.resize.filter == "bicubic", how.stretch is None or how.stretch.filter == "bilinear"]
    if not ends_square or not all(filters):
        raise BundleError(f"{path} has a preprocessing that this version does not know: {how}", "See docs/bundle.md.")
    if any(abs(std) < _SMALLEST_STD for std in how.std):
        raise BundleError(f"{path} divides by a std of nearly 0: {how.std}", "See docs/bundle.md.")


def _check_detector(path: Path, manifest: Manifest) -> None:
    """Its levels must cover the whole of its input."""
    how = manifest.detector
    if how is None:
        return
    if any(how.side_px % stride for stride in how.strides):
        raise BundleError(
            f"{path} has a detector of {how.side_px} pixels, which strides {list(how.strides)} do not divide",
            "See docs/bundle.md.",
        )
    if any(abs(std) < _SMALLEST_STD for std in how.std):
        raise BundleError(f"{path} has a detector that divides by a std of nearly 0: {how.std}", "See docs/bundle.md.")


def _check_template(path: Path, manifest: Manifest) -> None:
    """The image stands once and before anything a user writes; every token has an id."""
    prompt, ids = manifest.prompt, manifest.language.special_tokens
    later = (*prompt.after_question, *prompt.after_answer)
    if any(isinstance(piece, ImagePiece) for piece in later):
        raise BundleError(f"{path} places the image behind a question", "The image piece belongs to the opening.")
    if sum(isinstance(piece, ImagePiece) for piece in prompt.opening) > 1:
        raise BundleError(f"{path} places the image more than once", "Name the image piece once in the opening.")
    for piece in (*prompt.opening, *later):
        if isinstance(piece, TokenPiece) and piece.token not in ids:
            raise BundleError(f"{path} uses the token {piece.token!r} without an id", "Add it to special_tokens.")
    for token, number in ids.items():
        if number >= manifest.language.vocabulary_size:
            raise BundleError(
                f"{path} gives {token!r} the id {number}; the vocabulary has {manifest.language.vocabulary_size}",
                _AGAIN,
            )
