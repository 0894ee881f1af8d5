"""Finds what TensorRT needs for a bundle on this machine - GPU, module, plans, operator - and loads it.

Every step that fails says why, so that a person can be told; nothing is loaded before all is there.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from gpt4roi_runtime.backends.cuda_device import CudaDevice, check_cuda_version, find_cuda_device
from gpt4roi_runtime.backends.cuda_driver import INSTALL as INSTALL_BINDINGS
from gpt4roi_runtime.backends.cuda_driver import CudaBindings
from gpt4roi_runtime.backends.distributions import installed
from gpt4roi_runtime.backends.tensorrt import PlanHalf, TensorRtEncoder
from gpt4roi_runtime.backends.tensorrt_kernels import KeptKernels
from gpt4roi_runtime.backends.tensorrt_library import (
    NAMES,
    TensorRt,
    TensorRtLibrary,
    import_tensorrt,
)
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.bundle.plans import (
    Plan,
    PlanEngine,
    PlanGraph,
    PlanPrecision,
    WantedPlan,
    checked_content,
    find_plan,
)
from gpt4roi_runtime.errors import EngineMissingError

PLUGIN_VARIABLE = "GPT4ROI_PLUGIN"
"""Names the library of our operator, where plans do not carry it."""
_HOW = "docs/nvidia.md says how it is built."


@dataclass(frozen=True)
class FoundPlans:
    """All that is needed, none of it loaded.

    Attributes:
        device: The GPU.
        library: TensorRT's module.
        encode: The plan of the encode graph.
        regions: The plan of the regions graph.
        plugin: The library of our operator, or ``None`` if the regions plan carries it or needs none.
    """

    device: CudaDevice
    library: TensorRtLibrary
    encode: Plan
    regions: Plan
    plugin: Path | None

    def __str__(self) -> str:
        return (
            f"{self.library} {self.regions.record.key.precision}, {self.encode.path.name} and {self.regions.path.name}"
        )


def find_plans(bundle: Bundle, engine: PlanEngine, folder: Path | None = None) -> FoundPlans:
    """Look for all that is needed; ``folder`` is that of ``find_plan``.

    Raises:
        EngineMissingError: There is no driver or GPU, or a package is not installed.
        PlanError: A plan is missing, or of something else; says in what it differs, and names the command.
    """
    device = find_cuda_device()
    try:
        import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise EngineMissingError(f"cuda-bindings cannot be imported: {error}", INSTALL_BINDINGS) from error
    library = import_tensorrt(engine)
    if engine == "tensorrt_rtx":
        _check_cuda(library, device)

    def found(graph: PlanGraph, precision: PlanPrecision | None = None) -> Plan:
        return find_plan(
            bundle,
            WantedPlan(
                graph=graph,
                engine=engine,
                engine_version=library.version,
                compute_capability=device.compute_capability,
                max_regions=bundle.manifest.vision.max_regions,
                precision=precision,
            ),
            folder,
        )

    encode = found("encode")
    regions = found("regions", encode.record.key.precision)  # it reads the pyramid as the other writes it
    return FoundPlans(device, library, encode, regions, _plugin_of(regions))


def open_tensorrt(bundle: Bundle, engine: PlanEngine, folder: Path | None = None) -> TensorRtEncoder:
    """Load a bundle's plans, and run each of them: what cannot run is known here, not at the first question.

    Raises:
        EngineMissingError: As ``find_plans``.
        PlanError: As ``find_plans``; or a plan is damaged, or not what the manifest promises.
        EngineError: TensorRT or CUDA refuses.
    """
    found = find_plans(bundle, engine, folder)
    driver = CudaBindings()
    runtime = TensorRt(found.library, found.plugin, code_in_plans=found.regions.record.carries_plugin)
    words = f"{found.library} ({found.device.name}, {found.regions.record.key.precision})"
    with ExitStack() as undo:
        undo.callback(runtime.close)
        plans = []
        for plan in (found.encode, found.regions):
            kernels = KeptKernels.of(plan, found.device.compute_capability)
            plans.append(runtime.load(checked_content(plan), plan.path.name, kernels))
            undo.callback(plans[-1].close)
        halves = (PlanHalf(found.encode.record, plans[0]), PlanHalf(found.regions.record, plans[1]))
        encoder = TensorRtEncoder(bundle.manifest, words, *halves, driver, on_close=runtime.close)
        undo.callback(encoder.close)
        encoder.warm_up()
        for loaded in plans:
            loaded.keep_kernels()
        undo.pop_all()
    return encoder


def _plugin_of(plan: Plan) -> Path | None:
    """The library of our operator that a plan wants beside it; one that carries its own would be refused a second.

    Raises:
        EngineMissingError: It wants one, and none is named or there.
    """
    if plan.record.carries_plugin or not plan.record.key.plugin_version:
        return None
    said = os.environ.get(PLUGIN_VARIABLE)
    if not said:
        raise EngineMissingError(
            f"the plan {plan.path.name} does not carry our operator",
            f"{PLUGIN_VARIABLE}=FILE names its library: {_HOW}",
        )
    if not Path(said).is_file():
        raise EngineMissingError(
            f"{PLUGIN_VARIABLE} names {said}, which is no file", f"Build the operator's library: {_HOW}"
        )
    return Path(said)


def _check_cuda(library: TensorRtLibrary, device: CudaDevice) -> None:
    """Its wheels are made for one major version of CUDA, and say so in the package's name."""
    if installed(("tensorrt-rtx-cu13",)):
        check_cuda_version(
            device, 13, NAMES[library.engine], "Update the driver, or: pip install tensorrt-rtx-cu12 in place of it."
        )
