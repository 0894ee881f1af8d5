"""The process that builds one plan with an engine, whose library may end it; says on standard output how far it is.

python -m gpt4roi_export.engines.build_child JOB.json
"""

import sys
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

import msgspec

from gpt4roi_export.engines.build_job import BuildJob, Built, Logged, Progressed, Refused, Said, line_of
from gpt4roi_export.engines.library import import_engine
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.bundle.plans import PlanTensor, write_plan
from gpt4roi_runtime.errors import EngineError, Gpt4RoiError
from gpt4roi_runtime.own_python import leave_no_core_dump
from gpt4roi_runtime.storage import written_aside
from gpt4roi_runtime.vision.contract import BOXES

_MOST_CACHE_BYTES = 1 << 28
_PIECE_BYTES = 1 << 26


def main() -> None:
    """Build, and say what became of it."""
    leave_no_core_dump()
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=BuildJob)
    try:
        started_s = perf_counter()
        _build(job)
        _say(Built(perf_counter() - started_s))
    except Gpt4RoiError as error:
        _say(Refused(error.problem, error.advice))
        sys.exit(1)


def _say(said: Said) -> None:
    sys.stdout.write(line_of(said))
    sys.stdout.flush()


def _build(job: BuildJob) -> None:
    trt = import_engine(job.key.engine)
    logger = _logger(trt)
    if job.plugin:
        registry = trt.get_plugin_registry()
        if registry.load_library(job.plugin) is None:
            raise EngineError(f"{job.key.engine} cannot load the plugin {job.plugin}", "Build the plugin again.")
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    _say(Progressed("reading the graph", 0.0))
    if not parser.parse_from_file(job.graph):
        raise EngineError(f"{job.key.engine} refuses the {job.key.graph} graph: {_complaints(parser)}", _REPORT)
    tensors = {network.get_input(place).name: network.get_input(place) for place in range(network.num_inputs)}
    tensors |= {network.get_output(place).name: network.get_output(place) for place in range(network.num_outputs)}
    for tensor in (*job.inputs, *job.outputs):
        _lay_out(trt, tensors.get(tensor.name), tensor)
    config = _config(trt, builder, job)
    content = builder.build_serialized_network(network, config)
    if content is None:
        raise EngineError(f"{job.key.engine} could not build the {job.key.graph} plan", _REPORT)
    _keep_times(config, job)
    _say(Progressed("writing the plan", 1.0))
    folder = Path(job.folder) if job.folder else None
    write_plan(
        open_bundle(Path(job.bundle)),
        job.key,
        memoryview(content),
        inputs=job.inputs,
        outputs=job.outputs,
        tools=job.tools,
        carries_plugin=bool(job.plugin) and _is_within(Path(job.plugin).read_bytes(), memoryview(content).cast("B")),
        folder=folder,
    )


def _is_within(library: bytes, plan: memoryview) -> bool:
    """Whether an engine did put the library into the plan, as it was asked to; looks at a piece at a time."""
    return any(
        library in bytes(plan[at : at + _PIECE_BYTES + len(library)]) for at in range(0, len(plan), _PIECE_BYTES)
    )


_REPORT = "What the engine said stands above; report it with the engine's version."


def _config(trt: ModuleType, builder: Any, job: BuildJob) -> Any:
    config = builder.create_builder_config()
    config.progress_monitor = _monitor(trt)
    if job.key.profile is not None:
        profile = builder.create_optimization_profile()
        regions = (job.key.profile.least, job.key.profile.best, job.key.profile.most)
        profile.set_shape(BOXES, *((n, 4) for n in regions))
        config.add_optimization_profile(profile)
    if job.plugin:
        config.plugins_to_serialize = [job.plugin]
    if job.key.engine == "tensorrt_rtx":
        config.num_compute_capabilities = len(job.key.compute_capabilities)
        for place, capability in enumerate(job.key.compute_capabilities):
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability}"), place)
    if job.timing_cache:
        cache = Path(job.timing_cache)
        known = b""
        with suppress(OSError):
            if cache.is_file() and not cache.is_symlink() and cache.stat().st_size <= _MOST_CACHE_BYTES:
                known = cache.read_bytes()
        times = config.create_timing_cache(known)
        config.set_timing_cache(times, ignore_mismatch=False)
    return config


def _keep_times(config: Any, job: BuildJob) -> None:
    """What the engine measured makes the next build faster; where it cannot be kept, that one measures again."""
    if job.timing_cache:
        with suppress(Gpt4RoiError), written_aside(Path(job.timing_cache)) as file:
            file.write(memoryview(config.get_timing_cache().serialize()))


def _lay_out(trt: ModuleType, tensor: Any, wanted: PlanTensor) -> None:
    """Types are the graph's; a layout is asked for."""
    types = {"float16": trt.float16, "float32": trt.float32}
    if tensor is None or tensor.dtype != types[wanted.dtype]:
        found = "missing" if tensor is None else str(tensor.dtype)
        raise EngineError(f"tensor {wanted.name!r} is {found}, not {wanted.dtype}", "Report this.")
    layout = trt.TensorFormat.HWC8 if wanted.layout == "channels_last" else trt.TensorFormat.LINEAR
    tensor.allowed_formats = 1 << int(layout)


def _complaints(parser: Any) -> str:
    """What the parser says, each with the node that it speaks of."""
    said = []
    for place in range(min(parser.num_errors, 8)):
        error = parser.get_error(place)
        name, operator = (getattr(error, what, None) for what in ("node_name", "node_operator"))
        where = f"node {name()!r} ({operator()}): " if callable(name) and callable(operator) else ""
        said.append(f"{where}{error.desc()}")
    return "; ".join(said) or "no reason given"


def _logger(trt: ModuleType) -> Any:
    def log(_: object, severity: Any, message: str) -> None:
        if severity <= trt.ILogger.Severity.WARNING:
            worse = severity <= trt.ILogger.Severity.ERROR
            _say(Logged("error" if worse else "warning", message))

    return _derived(trt.ILogger, {"log": log})


def _monitor(trt: ModuleType) -> Any:
    """Phases within phases, each a share of the step of the one around it."""
    phases: list[list[Any]] = []  # name, steps done, steps

    def said() -> None:
        done, share = 0.0, 1.0
        for _, step, steps in phases:
            done += share * min(step / steps, 1.0)
            share /= steps
        _say(Progressed(phases[-1][0].lower(), min(done, 1.0)))

    def start(_: object, name: str, __: str | None, steps: int) -> None:
        phases.append([name, 0, max(steps, 1)])
        said()

    def step(_: object, name: str, at: int) -> bool:
        for phase in phases:
            if phase[0] == name:
                phase[1] = at + 1
        said()
        return True

    def finish(_: object, name: str) -> None:
        while phases and any(phase[0] == name for phase in phases):
            phases.pop()

    methods = {"phase_start": start, "step_complete": step, "phase_finish": finish}
    return _derived(trt.IProgressMonitor, methods)


def _derived(base: Any, methods: dict[str, Any]) -> Any:
    """An object of a class of the engine's, which is known only now; its own constructor has to be called."""
    return type(base.__name__, (base,), {"__init__": lambda self: base.__init__(self), **methods})()


if __name__ == "__main__":
    main()
