"""Plans: a bundle's graphs as a TensorRT engine has serialized them, each with a record that says what it is.

They lie in the user's cache and never in the bundle, whose hashes stay true. A record is written behind its plan, so a
plan without one is not there. Imports no engine.
"""

import hashlib
import platform
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import platformdirs
from msgspec import Meta

from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.bundle.manifest import MAX_REGIONS, Name, Noun, Sha256, Text
from gpt4roi_runtime.errors import Cancelled, OutputError, PlanError
from gpt4roi_runtime.storage import written_aside

FORMAT: Literal["gpt4roi-plan"] = "gpt4roi-plan"
VERSION: Literal[1] = 1
MAX_RECORD_BYTES = 1 << 16
_MOST_RECORDS = 512
_PIECE_BYTES = 1 << 22
_ONE_PART = r"^[0-9A-Za-z][0-9A-Za-z.+_-]*$"

PlanGraph = Literal["encode", "regions"]
PlanEngine = Literal["tensorrt", "tensorrt_rtx"]
PlanPrecision = Literal["fp16", "fp32"]
Layout = Literal["linear", "channels_last"]
ShortName = Annotated[str, Meta(pattern=_ONE_PART, max_length=48)]
"""What may stand in the name of a file."""
Regions = Annotated[int, Meta(ge=1, le=MAX_REGIONS)]
Axis = Annotated[int, Meta(ge=1, le=1 << 24)]


class PlanProfile(Noun, frozen=True):
    """For how many regions a plan is built: at least, at best, at most."""

    least: Regions
    best: Regions
    most: Regions


class PlanKey(Noun, frozen=True):
    """All that a plan depends on; two plans with equal keys are interchangeable.

    Attributes:
        bundle_id: Of the bundle, see ``Bundle.id``.
        graph: Which half.
        engine: Name of the Python module that builds and runs it.
        engine_version: Its whole version, such as ``1.7.1.116``.
        compute_capabilities: Of the GPUs that it runs on, ascending: 89 is 8.9. TensorRT builds for one GPU only.
        precision: ``fp16`` computes in float16 but for what must not.
        system: Operating system and processor, such as ``linux-x86_64``.
        plugin_version: Of our operator in the plan; empty where the graph has none.
        profile: Numbers of regions; absent where the graph reads no boxes.
    """

    bundle_id: Annotated[str, Meta(pattern="^[0-9a-f]{16}$", max_length=16)]
    graph: PlanGraph
    engine: PlanEngine
    engine_version: ShortName
    compute_capabilities: Annotated[tuple[Annotated[int, Meta(ge=50, le=999)], ...], Meta(min_length=1, max_length=16)]
    precision: PlanPrecision
    system: ShortName
    plugin_version: Annotated[str, Meta(pattern=r"^([0-9]+\.[0-9]+)?$", max_length=16)] = ""
    profile: PlanProfile | None = None

    @property
    def name(self) -> str:
        """Name of its file without an ending: the same for equal keys, another for any other key, and no path."""
        digest = hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()
        return f"{self.graph}-{self.engine}-{self.precision}-{digest[:16]}"


class PlanTensor(Noun, frozen=True):
    """One input or output of a plan.

    Attributes:
        name: In the graph.
        shape: ``None`` stands for the number of regions. With ``channels_last`` it is still ``[1, c, h, w]``.
        dtype: Of a number.
        layout: ``linear`` is rows after rows, as the shape is written; ``channels_last`` lies in memory as
            ``[1, h, w, c]``, c rounded up to a multiple of 8 (TensorRT's kHWC8).
    """

    name: Name
    shape: Annotated[tuple[Axis | None, ...], Meta(min_length=1, max_length=8)]
    dtype: Literal["float16", "float32"]
    layout: Layout = "linear"


class PlanRecord(Noun, frozen=True):
    """The whole JSON beside a plan.

    Attributes:
        format: Always ``gpt4roi-plan``.
        version: Of this format.
        key: What the plan is.
        size_bytes: Exact size.
        sha256: Hash of the whole file.
        inputs: In the graph's order.
        outputs: In the graph's order.
        tools: Versions of what made it, by name.
        carries_plugin: Whether the library of our operator lies in the plan itself.
    """

    format: Literal["gpt4roi-plan"]
    version: Literal[1]
    key: PlanKey
    size_bytes: Annotated[int, Meta(ge=1)]
    sha256: Sha256
    inputs: Annotated[tuple[PlanTensor, ...], Meta(min_length=1, max_length=16)]
    outputs: Annotated[tuple[PlanTensor, ...], Meta(min_length=1, max_length=16)]
    tools: Annotated[dict[Name, Text], Meta(max_length=32)]
    carries_plugin: bool = False


@dataclass(frozen=True)
class Plan:
    """A plan on disk whose record was read; its content was not, see ``checked_content``."""

    path: Path
    record: PlanRecord


@dataclass(frozen=True)
class WantedPlan:
    """What a plan must be to run here.

    Attributes:
        graph: Which half.
        engine: That is installed.
        engine_version: Its version: a plan runs in no other one.
        compute_capability: Of the GPU, 89 for 8.9.
        max_regions: Most boxes in one call; of no meaning for ``encode``.
        plugin_version: Of the library at hand, or ``None`` if the one in the plan will do.
        precision: ``None`` takes what there is.
        system: Operating system and processor.
    """

    graph: PlanGraph
    engine: PlanEngine
    engine_version: str
    compute_capability: int
    max_regions: int = MAX_REGIONS
    plugin_version: str | None = None
    precision: PlanPrecision | None = None
    system: str = ""

    def differences(self, bundle_id: str, key: PlanKey) -> tuple[str, ...]:
        """In what a plan is not this, each as ``name actual, not expected``; those that say most first."""
        most = key.profile.most if key.profile else MAX_REGIONS
        gpus = ", ".join(f"sm_{one}" for one in key.compute_capabilities)
        facts = (
            (key.graph == self.graph, f"graph {key.graph}, not {self.graph}"),
            (key.bundle_id == bundle_id, f"bundle {key.bundle_id}, not {bundle_id}"),
            (key.engine == self.engine, f"engine {key.engine}, not {self.engine}"),
            (key.system == (self.system or this_system()), f"system {key.system}, not {self.system or this_system()}"),
            (self.compute_capability in key.compute_capabilities, f"GPU {gpus}, not sm_{self.compute_capability}"),
            (key.engine_version == self.engine_version, f"version {key.engine_version}, not {self.engine_version}"),
            (self.precision in (None, key.precision), f"precision {key.precision}, not {self.precision}"),
            (
                self.plugin_version is None or self.plugin_version == key.plugin_version or self.graph == "encode",
                f"plugin {key.plugin_version or 'none'}, not {self.plugin_version}",
            ),
            (self.graph == "encode" or most >= self.max_regions, f"at most {most} regions, not {self.max_regions}"),
        )
        return tuple(said for holds, said in facts if not holds)


def this_system() -> str:
    """Operating system and processor of this machine, as a key names them."""
    return f"{platform.system()}-{platform.machine()}".lower()


def plans_folder(bundle: Bundle, folder: Path | None = None) -> Path:
    """Where a bundle's plans lie; it may not be there.

    Args:
        bundle: Whose plans.
        folder: Of all bundles' plans; ``None`` takes the one in the user's cache.
    """
    return (folder or platformdirs.user_cache_path("gpt4roi-edge") / "plans") / bundle.id


def read_plans(bundle: Bundle, folder: Path | None = None) -> tuple[tuple[Plan, ...], tuple[str, ...]]:
    """Every plan of a bundle whose record can be read, for whatever GPU and engine; and what is wrong with the others.

    Args:
        bundle: Whose plans.
        folder: As in ``plans_folder``.
    """
    read = [_read_or_problem(path) for path in _records(plans_folder(bundle, folder))]
    return tuple(one for one in read if isinstance(one, Plan)), tuple(one for one in read if isinstance(one, str))


def find_plan(bundle: Bundle, wanted: WantedPlan, folder: Path | None = None) -> Plan:
    """The plan of a bundle that runs here; its content is not read yet, see ``checked_content``.

    Args:
        bundle: Whose plan.
        wanted: What it must be.
        folder: As in ``plans_folder``.

    Raises:
        PlanError: There is none; says in what the nearest one differs, and which command builds the right one.
    """
    place = plans_folder(bundle, folder)
    found, damaged = read_plans(bundle, folder)
    fitting = [plan for plan in found if not wanted.differences(bundle.id, plan.record.key)]
    if fitting:
        return min(fitting, key=lambda plan: (len(plan.record.key.compute_capabilities), plan.path.name))
    command = build_command(bundle, wanted, folder)
    others = [plan for plan in found if plan.record.key.graph == wanted.graph]
    what = f"no plan of the {wanted.graph} graph for sm_{wanted.compute_capability} in {place}"
    if others:
        nearest = min(others, key=lambda plan: len(wanted.differences(bundle.id, plan.record.key)))
        differs = "; ".join(wanted.differences(bundle.id, nearest.record.key))
        raise PlanError(f"{what}: {nearest.path.name} is of {differs}", command)
    raise PlanError(what if not damaged else f"{what}: {damaged[0]}", command)


def build_command(bundle: Bundle, wanted: WantedPlan, folder: Path | None = None) -> str:
    """The line that builds what is wanted."""
    out = "" if folder is None else f" --out {shlex.quote(str(folder))}"
    engine = wanted.engine.replace("_", "-")
    return (
        f"gpt4roi-export engines {shlex.quote(str(bundle.folder))} --engine {engine} "
        f"--target sm_{wanted.compute_capability}{out}"
    )


def kept_plan(bundle: Bundle, key: PlanKey, folder: Path | None = None) -> Plan | None:
    """The plan of exactly this key, whole as it was written, or ``None``; reads all of it."""
    path = plans_folder(bundle, folder) / f"{key.name}.plan"
    try:
        plan = _read(path.with_suffix(".json"))
        checked_content(plan)
    except PlanError:
        return None
    return plan if plan.record.key == key else None


def write_plan(
    bundle: Bundle,
    key: PlanKey,
    content: memoryview,
    *,
    inputs: tuple[PlanTensor, ...],
    outputs: tuple[PlanTensor, ...],
    tools: Mapping[str, str],
    carries_plugin: bool = False,
    folder: Path | None = None,
) -> Plan:
    """Keep a plan: first its file, whole or not at all, then its record.

    Raises:
        OutputError: The files cannot be written.
        PlanError: The key or a tensor is out of range.
    """
    place = plans_folder(bundle, folder)
    digest = hashlib.sha256(content).hexdigest()
    record = PlanRecord(FORMAT, VERSION, key, content.nbytes, digest, inputs, outputs, dict(tools), carries_plugin)
    said = msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
    try:
        msgspec.json.decode(said, type=PlanRecord)  # what cannot be read again is not written
    except msgspec.ValidationError as error:
        raise PlanError(f"the plan {key.name} cannot be recorded: {error}", "Report this.") from error
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {place}: {error.strerror or error}", "Free some space.") from error
    path = place / f"{key.name}.plan"
    with suppress(OSError):  # an older record must never speak of the new file
        path.with_suffix(".json").unlink(missing_ok=True)
    with written_aside(path) as file:
        file.write(content)
    with written_aside(path.with_suffix(".json")) as file:
        file.write(said)
    return Plan(path, record)


def checked_content(plan: Plan, cancel: Callable[[], bool] = lambda: False) -> bytearray:
    """A plan's bytes, held against its record; a plan is code, so nothing else may reach an engine.

    Raises:
        PlanError: Missing, a link, or not what the record says.
        Cancelled: ``cancel`` said so.
    """
    size, digest, content = plan.record.size_bytes, hashlib.sha256(), bytearray()
    try:
        if plan.path.is_symlink() or not plan.path.is_file():
            raise PlanError(f"{plan.path} is not a regular file", _AGAIN)
        found = plan.path.stat().st_size
        if found != size:
            raise PlanError(f"{plan.path} has {found:,} bytes; its record says {size:,}", _AGAIN)
        with plan.path.open("rb") as file:
            while len(content) <= size and (piece := file.read(_PIECE_BYTES)):
                if cancel():
                    raise Cancelled
                digest.update(piece)
                content += piece
    except OSError as error:
        raise PlanError(f"{plan.path} cannot be read: {error}", _AGAIN) from error
    if digest.hexdigest() != plan.record.sha256:
        raise PlanError(f"{plan.path} has SHA-256 {digest.hexdigest()}; its record says {plan.record.sha256}", _AGAIN)
    return content


_AGAIN = "Build it again: gpt4roi-export engines --force."


def _read_or_problem(path: Path) -> Plan | str:
    try:
        return _read(path)
    except PlanError as error:
        return error.problem


def _records(place: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in place.iterdir() if path.suffix == ".json")[:_MOST_RECORDS]
    except OSError:
        return


def _read(path: Path) -> Plan:
    """A record, and where its plan lies: its own name with another ending, whatever the record says."""
    try:
        if path.is_symlink() or not path.is_file():
            raise PlanError(f"{path} is not a regular file", _AGAIN)
        with path.open("rb") as file:
            raw = file.read(MAX_RECORD_BYTES + 1)
        if len(raw) > MAX_RECORD_BYTES:
            raise PlanError(f"{path} is larger than the limit of {MAX_RECORD_BYTES:,} bytes", _AGAIN)
        record = msgspec.json.decode(raw, type=PlanRecord)
    except (OSError, ValueError, RecursionError) as error:  # msgspec's errors and bad UTF-8 are ValueErrors
        raise PlanError(f"{path} is not a plan's record: {error}", _AGAIN) from error
    plan = Plan(path.with_suffix(".plan"), record)
    if path.stem != record.key.name:
        raise PlanError(f"{path} holds the record of {record.key.name}", _AGAIN)
    if plan.path.is_symlink() or not plan.path.is_file():
        raise PlanError(f"{plan.path} is missing", _AGAIN)
    return plan
