"""What a number was measured on and with: hardware, system, versions. Starts no program; measures nothing."""

import json
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from gpt4roi_runtime.backends.distributions import version_of
from gpt4roi_runtime.backends.processor import usable_cores
from gpt4roi_runtime.bench.power import read_words

_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_MAX_CPUINFO_BYTES = 1 << 20
_MAX_REFS_BYTES = 1 << 24
_DISTRIBUTION = "gpt4roi-edge"


@dataclass(frozen=True)
class Machine:
    """This machine and this program.

    Attributes:
        cpu_info: Name of the processor.
        gpu_info: Names of the GPUs, or nothing.
        board: Name of the board where the system knows one, such as a Jetson's.
        os: Name and version of the system.
        machine: Instruction set.
        n_cores: Cores this process may use.
        memory_bytes: All there is.
        python: Version.
        gpt4roi_version: Version of this program.
        gpt4roi_commit: Its commit, if it is known.
    """

    cpu_info: str
    gpu_info: str
    board: str
    os: str
    machine: str
    n_cores: int
    memory_bytes: int
    python: str
    gpt4roi_version: str
    gpt4roi_commit: str


def look_at_machine(root: Path = Path("/")) -> Machine:
    """Read it all from files; what is not there is an empty string."""
    board = read_words(root / "proc/device-tree/model") or ""
    return Machine(
        cpu_info=_processor(root) or board or platform.processor() or platform.machine(),
        gpu_info=", ".join(_nvidia_names(root)),
        board=board,
        os=platform.platform(),
        machine=platform.machine(),
        n_cores=usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        gpt4roi_version=version_of(_DISTRIBUTION) or "",
        gpt4roi_commit=_commit_of_checkout(Path(__file__)) or _commit_of_installation(),
    )


def backends_of(system: str) -> str:
    """Devices in llama.cpp's own account of itself, such as ``CUDA``; ``CPU`` where there is no other."""
    names = [name for name in re.findall(r"(\w+) : ", system) if name != "CPU"]
    return ",".join(dict.fromkeys(names)) or "CPU"


def _processor(root: Path) -> str | None:
    try:
        with (root / "proc/cpuinfo").open("rb") as file:
            text = file.read(_MAX_CPUINFO_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    found = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return found[1].strip() if found else None


def _nvidia_names(root: Path) -> list[str]:
    files = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    texts = [read_words(path) or "" for path in files]
    return [found[1].strip() for text in texts if (found := re.search(r"^Model:\s*(.+)$", text, re.MULTILINE))]


def _commit_of_checkout(file: Path) -> str:
    """The commit that is checked out, where the program runs from a checkout that has it under version control."""
    for folder in file.resolve().parents:
        if (folder / "pyproject.toml").is_file():
            return _head_commit(folder / ".git")
    return ""


def _head_commit(git: Path) -> str:
    head = read_words(git / "HEAD") or ""
    if not head.startswith("ref: "):
        return head if _COMMIT.fullmatch(head) else ""
    name = head.removeprefix("ref: ")
    if ".." in name:
        return ""
    loose = read_words(git / name) or ""
    return loose if _COMMIT.fullmatch(loose) else _packed_commit(git / "packed-refs", name)


def _packed_commit(packed: Path, name: str) -> str:
    try:
        with packed.open("rb") as file:
            lines = file.read(_MAX_REFS_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    found = [line.split(" ", 1)[0] for line in lines if line.endswith(f" {name}")]
    return found[0] if found and _COMMIT.fullmatch(found[0]) else ""


def _commit_of_installation() -> str:
    """The commit that pip noted when it installed from version control."""
    try:
        noted = json.loads(metadata.distribution(_DISTRIBUTION).read_text("direct_url.json") or "{}")
        return str(noted["vcs_info"]["commit_id"])
    except (metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        return ""
