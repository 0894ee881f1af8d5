"""Modules of ours as processes: the command, the folder and the environment; does not know what they do."""

import os
import runpy
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PACKAGE_HOME = Path(__file__).resolve().parent.parent
"""The folder to start them in: no file of the user's folder can pose as a library there."""


_OURS = "gpt4roi_runtime."


def command_of(module: str) -> tuple[str, ...]:
    """Command that runs a module of ours, to be started in ``PACKAGE_HOME``.

    In a frozen program there is no Python to start: the program itself is, and its entry calls ``ran_own_module``.
    """
    if getattr(sys, "frozen", False):
        return (sys.executable, "-m", module)
    safe_path = ("-P",) if sys.version_info >= (3, 11) else ()
    return (sys.executable, *safe_path, "-m", module)


def ran_own_module(arguments: Sequence[str]) -> bool:
    """What a frozen program does first: if it was started by ``command_of``, be that module until it ends.

    Args:
        arguments: Of the process, without its own name.

    Returns:
        Whether it was, so that nothing else is to be done.
    """
    if len(arguments) < 2 or arguments[0] != "-m" or not arguments[1].startswith(_OURS):
        return False
    sys.argv = [sys.argv[0], *arguments[2:]]
    runpy.run_module(arguments[1], run_name="__main__")
    return True


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
