"""What the process that builds one plan is told, and what it says; knows no engine."""

from typing import Literal

import msgspec

from gpt4roi_runtime.bundle.plans import PlanKey, PlanTensor


class BuildJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One plan to be built.

    Attributes:
        bundle: Folder.
        graph: The converted ONNX file.
        key: Of the plan.
        inputs: Of the plan.
        outputs: Of the plan.
        tools: Versions of what made it.
        plugin: Library with our operator, or empty.
        timing_cache: File to keep measured times in, or empty where the engine has no use for one.
        folder: Of all bundles' plans; empty takes the user's cache.
    """

    bundle: str
    graph: str
    key: PlanKey
    inputs: tuple[PlanTensor, ...]
    outputs: tuple[PlanTensor, ...]
    tools: dict[str, str]
    plugin: str = ""
    timing_cache: str = ""
    folder: str = ""


class Progressed(msgspec.Struct, frozen=True, tag="progress"):
    """How far the engine is, 0 to 1, and what it does."""

    doing: str
    done: float


class Logged(msgspec.Struct, frozen=True, tag="log"):
    """A warning or an error of the engine."""

    severity: Literal["warning", "error"]
    text: str


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """An error of our tree."""

    problem: str
    advice: str


class Built(msgspec.Struct, frozen=True, tag="built"):
    """The plan is on disk."""

    seconds: float


Said = Progressed | Logged | Refused | Built
MARK = "gpt4roi:"
"""Begins every line that is ours; an engine's library may print too."""


def line_of(said: Said) -> str:
    """A line for the pipe."""
    return MARK + msgspec.json.encode(said).decode() + "\n"


def said_in(line: str) -> Said | None:
    """What a line says, or ``None`` if it is not one of ours."""
    if not line.startswith(MARK):
        return None
    try:
        said: Said = msgspec.json.decode(line[len(MARK) :], type=Said)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return said
