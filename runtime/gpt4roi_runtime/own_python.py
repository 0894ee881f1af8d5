"""Modules of ours as processes: the command, the folder and the environment; does not know what they do."""

import os
import sys
from contextlib import suppress
from pathlib import Path

PACKAGE_HOME = Path(__file__).resolve().parent.parent
"""The folder to start them in: no file of the user's folder can pose as a library there."""


def command_of(module: str) -> tuple[str, ...]:
    """Command that runs a module of ours, to be started in ``PACKAGE_HOME``."""
    safe_path = ("-P",) if sys.version_info >= (3, 11) else ()
    return (sys.executable, *safe_path, "-m", module)


def own_environment() -> dict[str, str]:
    """Our own, with the folders of PYTHONPATH as they are seen from here."""
    paths = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    others = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**others, "PYTHONPATH": os.pathsep.join(paths)} if paths else others


def leave_no_core_dump() -> None:
    """Called by a child first: its death is an answer, and the dump would hold all weights."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
