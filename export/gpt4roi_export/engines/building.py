"""The story of ``gpt4roi-export engines``: which plans a bundle wants, which are there, and the others built."""

import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import msgspec

from gpt4roi_export.engines.build_job import BuildJob, Built, Logged, Progressed, Refused, said_in
from gpt4roi_export.engines.library import builder_environment, compute_capability, import_engine
from gpt4roi_export.engines.plan_graph import converted, weight_bytes, write_plan_graph
from gpt4roi_export.engines.plugin_library import PluginLibrary
from gpt4roi_export.engines.targets import Target, require_this_gpu
from gpt4roi_runtime.bundle.folder import Bundle, check_file
from gpt4roi_runtime.bundle.plans import (
    PlanGraph,
    PlanKey,
    PlanPrecision,
    PlanProfile,
    kept_plan,
    plans_folder,
    this_system,
)
from gpt4roi_runtime.errors import EngineError, OutputError
from gpt4roi_runtime.own_python import PACKAGE_HOME, command_of, own_environment

GRAPHS: tuple[PlanGraph, ...] = ("encode", "regions")
BEST_REGIONS = 16
"""Regions that a plan is tuned for: as many as are answered side by side."""
_MODULE = "gpt4roi_export.engines.build_child"
_LAST_WORDS = 12
_FORM_PER_WEIGHTS = 2
"""Bytes of a GPU's form of the weights for a byte of weights, at most; measured 1.8 for the embedded encode graph."""
_KERNEL_BYTES = 1 << 24
"""Kernels and the operator's library."""

Progress = Callable[[str, float], None]
Command = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class PlannedPlan:
    """A plan that a bundle wants.

    Attributes:
        key: What it is.
        weight_bytes: Of its graph; the plan holds them in a form of each GPU's, and its kernels: see ``most_bytes``.
        path: Where it lies, or shall lie.
        is_there: Whether it is, whole.
    """

    key: PlanKey
    weight_bytes: int
    path: Path
    is_there: bool

    @property
    def most_bytes(self) -> int:
        """What the plan's file may take; one for several GPUs may hold a form of the weights for each."""
        return _FORM_PER_WEIGHTS * self.weight_bytes * len(self.key.compute_capabilities) + _KERNEL_BYTES


@dataclass(frozen=True)
class BuiltPlan:
    """What became of a planned one: seconds of the engine's work, or ``None`` if it was there, and its size."""

    planned: PlannedPlan
    seconds: float | None
    size_bytes: int
    warnings: tuple[str, ...] = ()


def ready_target(target: Target) -> tuple[Target, str]:
    """The target with its GPUs, and the installed engine's version.

    Raises:
        EngineMissingError: The engine is not installed.
        SettingsError: TensorRT is to build for a GPU that is not here.
    """
    if target.engine == "tensorrt":
        target = require_this_gpu(target, compute_capability())
    return target, str(import_engine(target.engine).__version__)


def planned_plans(
    bundle: Bundle,
    target: Target,
    engine_version: str,
    plugin: PluginLibrary,
    precision: PlanPrecision,
    folder: Path | None,
    progress: Progress,
) -> tuple[PlannedPlan, ...]:
    """Both plans of a bundle, and whether they are there; converts the graphs for their sizes and writes nothing.

    Raises:
        BundleError: A file is not what the manifest says, or a graph cannot be converted.
    """
    vision = bundle.manifest.vision
    for entry in (vision.encode, vision.regions, *vision.external_data):
        progress(f"checking {entry.path}", 0.0)
        check_file(bundle, entry)
    most = vision.max_regions
    profile = PlanProfile(1, min(BEST_REGIONS, most), most)
    planned = []
    for graph in GRAPHS:
        progress(f"looking for the {graph} plan", 0.0)
        aligned = graph == "regions"
        key = PlanKey(
            bundle.id,
            graph,
            target.engine,
            engine_version,
            target.compute_capabilities,
            precision,
            this_system(),
            plugin.version if aligned else "",
            profile if aligned else None,
        )
        kept = kept_plan(bundle, key, folder)
        n_bytes = weight_bytes(converted(bundle, graph, precision))
        path = plans_folder(bundle, folder) / f"{key.name}.plan"
        planned.append(PlannedPlan(key, n_bytes, path, kept is not None))
    return tuple(planned)


def build_plan(
    bundle: Bundle,
    planned: PlannedPlan,
    plugin: PluginLibrary,
    folder: Path | None,
    progress: Progress,
    *,
    force: bool = False,
    command: Command = command_of,
) -> BuiltPlan:
    """Build one plan in a process of its own; one that is there is kept.

    Args:
        bundle: Its files were checked.
        planned: The plan.
        plugin: Of its key.
        folder: Of all bundles' plans; ``None`` takes the user's cache.
        progress: Told what is being done.
        force: Build it although it is there.
        command: Makes the command of the process that builds.

    Raises:
        EngineError: The engine refused or failed, in its own words.
        OutputError: There is no room, or a file cannot be written.
    """
    if planned.is_there and not force:
        return BuiltPlan(planned, None, planned.path.stat().st_size)
    key = planned.key
    with _work_folder(planned) as work:
        files = write_plan_graph(bundle, key.graph, key.precision, work, progress)
        job = BuildJob(
            bundle=str(bundle.folder),
            graph=str(files.graph),
            key=key,
            inputs=files.inputs,
            outputs=files.outputs,
            tools=_tools(key, plugin),
            plugin=str(plugin.path) if files.has_plugin else "",
            timing_cache=str(_timing_cache(planned)) if key.engine == "tensorrt" else "",
            folder=str(folder.absolute()) if folder is not None else "",
        )
        (work / "job.json").write_bytes(msgspec.json.encode(job))
        seconds, warnings = _run([*command(_MODULE), str(work / "job.json")], key, progress)
    return BuiltPlan(planned, seconds, planned.path.stat().st_size, warnings)


def _run(command: Sequence[str], key: PlanKey, progress: Progress) -> tuple[float, tuple[str, ...]]:
    """The process's seconds and warnings."""
    words: deque[str] = deque(maxlen=_LAST_WORDS)
    warnings: list[str] = []
    errors: list[str] = []
    refused: Refused | None = None
    built: Built | None = None
    environment = builder_environment(key.engine, own_environment())
    with subprocess.Popen(  # noqa: S603 - our own module
        command,
        cwd=PACKAGE_HOME,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                match said_in(line):
                    case Progressed(doing, done):
                        progress(f"{key.graph} plan: {doing}", done)
                    case Logged("warning", text):
                        warnings.append(text)
                    case Logged(_, text):
                        errors.append(text)
                    case Refused() as refused:
                        pass
                    case Built() as built:
                        pass
                    case _:
                        words.append(line.rstrip())
        finally:
            if process.poll() is None:
                process.kill()
    if refused is not None:
        said = "; ".join([refused.problem, *errors[:4]])
        raise EngineError(said, refused.advice)
    if built is None:
        last = "; ".join([*errors[:4], *words]) or "nothing"
        raise EngineError(
            f"the process that built the {key.graph} plan ended with status {process.returncode}; it said: {last}",
            "Run it again; with the same words, report them with the engine's version.",
        )
    return built.seconds, tuple(dict.fromkeys(warnings))


@contextmanager
def _work_folder(planned: PlannedPlan) -> Iterator[Path]:
    """A folder for the converted graph, and nothing left of it or of an unfinished plan afterwards.

    What a killed run left goes first.
    """
    place = planned.path.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        _sweep(planned)
        free = shutil.disk_usage(place).free
        n_gpus = len(planned.key.compute_capabilities)
        wanted = planned.weight_bytes + planned.most_bytes  # the graph and the plan; an old one lies there already
        if free < wanted:
            raise OutputError(
                f"{place} has {free:,} bytes free; up to {wanted:,} are needed (GPUs: {n_gpus})",
                "Free some space, build for fewer GPUs at a time (--target), or see --out.",
            )
        work = Path(tempfile.mkdtemp(prefix=f".{planned.key.name}.", suffix=".work", dir=place))
    except OSError as error:
        raise OutputError(f"cannot write in {place}: {error.strerror or error}", "See --out.") from error
    try:
        yield work
    finally:
        _sweep(planned)


def _sweep(planned: PlannedPlan) -> None:
    with suppress(OSError):
        for left in planned.path.parent.glob(f".{planned.key.name}.*"):
            if left.name.endswith(".work"):
                shutil.rmtree(left, ignore_errors=True)
            elif left.name.endswith(".part"):
                left.unlink(missing_ok=True)


def _timing_cache(planned: PlannedPlan) -> Path:
    """One for all bundles: times of layers are the GPU's and the engine's."""
    key = planned.key
    gpus = "-".join(map(str, key.compute_capabilities))
    return planned.path.parent.parent / f"times-{key.engine}-{key.engine_version}-sm_{gpus}.cache"


def _tools(key: PlanKey, plugin: PluginLibrary) -> dict[str, str]:
    own = {name: metadata.version(name) for name in ("gpt4roi-edge", "onnx", "onnxscript")}
    library = {"plugin library": plugin.sha256} if key.plugin_version else {}
    return {**own, key.engine: key.engine_version, **library}
