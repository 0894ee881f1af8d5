"""Which plans of a bundle lie on this machine, in words, with a GPU or without; opens no plan and starts no engine."""

from collections.abc import Iterator
from pathlib import Path

from gpt4roi_runtime.backends.tensorrt_library import NAMES, import_tensorrt
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.bundle.plans import Plan, PlanEngine, read_plans, this_system
from gpt4roi_runtime.errors import EngineError

_MB = 1e6


def said_plans(bundle: Bundle, folder: Path | None = None) -> Iterator[str]:
    """One line a plan, and one for each record that cannot be read; ``folder`` is that of ``find_plan``."""
    plans, damaged = read_plans(bundle, folder)
    installed = {engine: _version(engine) for engine in {plan.record.key.engine for plan in plans}}
    for plan in plans:
        yield _said(plan, installed[plan.record.key.engine])
    yield from (f"damaged: {problem}" for problem in damaged)
    for engine in sorted(installed):
        graphs = {plan.record.key.graph for plan in plans if plan.record.key.engine == engine}
        for missing in sorted({"encode", "regions"} - graphs):
            yield f"of {NAMES[engine]} there is no {missing} plan, and one without the other does not run"


def _said(plan: Plan, installed: str | None) -> str:
    key = plan.record.key
    gpus = ", ".join(f"sm_{one}" for one in key.compute_capabilities)
    odd = []
    if installed is None:
        odd.append(f"{NAMES[key.engine]} is not installed")
    elif installed != key.engine_version:
        odd.append(f"version {installed} is installed, which cannot read it")
    if key.system != this_system():
        odd.append(f"built for {key.system}, and this is {this_system()}")
    if key.plugin_version and not plan.record.carries_plugin:
        odd.append("our operator is not in it: GPT4ROI_PLUGIN=FILE names its library")
    words = (
        f"plan of the {key.graph} graph for {gpus}: {NAMES[key.engine]} {key.engine_version}, {key.precision}, "
        f"{plan.record.size_bytes / _MB:,.0f} MB"
    )
    return "; ".join([words, *odd])


def _version(engine: PlanEngine) -> str | None:
    try:
        return import_tensorrt(engine).version
    except EngineError:
        return None
