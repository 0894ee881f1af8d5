"""`gpt4roi doctor`: the machine, the engines, the bundle, and what to mend."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import psutil

from gpt4roi_runtime.backends.distributions import clashes, version_of
from gpt4roi_runtime.backends.inventory import EngineFinding, find_engines
from gpt4roi_runtime.backends.processor import usable_cores
from gpt4roi_runtime.backends.tensorrt import TensorRtEncoder
from gpt4roi_runtime.backends.tensorrt_plans import said_plans
from gpt4roi_runtime.backends.vision_candidates import Candidate, candidates, missing_gpu
from gpt4roi_runtime.backends.vision_choice import ChoiceStore, VisionChoice
from gpt4roi_runtime.backends.vision_engines import open_encoder
from gpt4roi_runtime.backends.vision_settings import ENGINE_NAMES, VisionSettings
from gpt4roi_runtime.backends.vision_tuning import tune_vision
from gpt4roi_runtime.bundle.folder import check_file, open_bundle
from gpt4roi_runtime.cli.console import bundle_option, busy, plain, reports_errors
from gpt4roi_runtime.errors import BundleError, EngineError
from gpt4roi_runtime.image_store import ImageStore, store_folder

_LITTLE_MEMORY_BYTES = 1 << 30


@click.command("doctor")
@bundle_option
@click.option("--tune", is_flag=True, help="Measure each vision engine on the bundle, and keep the fastest for it.")
@reports_errors
def command(bundle: Path, *, tune: bool) -> None:
    """Show machine and engines, why an engine is not used, and what to mend."""
    click.echo(click.style("Machine", bold=True))
    for line in _machine():
        click.echo(f"  {line}")
    with busy("trying the engines"):
        engines = find_engines()
    click.echo(click.style("Engines", bold=True))
    for engine in engines:
        click.echo(f"  {_mark(works=engine.works)} {engine.name}: {engine.detail}")
    click.echo(click.style("Bundle", bold=True))
    with busy("checking the bundle"):
        fault = _bundle_fault(bundle)
    click.echo(f"  {_mark(works=fault is None)} {bundle}{f': {plain(fault.problem)}' if fault else ''}")
    if fault is None:
        click.echo(click.style("Vision half", bold=True))
        for line in (
            *_without_gpu(),
            *said_plans(open_bundle(bundle)),
            *_on_gpu(bundle),
            *(_tuned(bundle) if tune else _known(bundle)),
        ):
            click.echo(f"  {plain(line)}")
    advice = list(_advice(engines, fault))
    click.echo(click.style("Advice", bold=True))
    for line in advice or ["nothing to mend"]:
        click.echo(f"  {line}")


def _mark(*, works: bool) -> str:
    return click.style("yes", fg="green") if works else click.style("no ", fg="yellow")


def _machine() -> Iterator[str]:
    memory = psutil.virtual_memory()
    yield f"{platform.platform()}, {platform.machine()}"
    yield f"Python {platform.python_version()} at {sys.executable}"
    yield f"{os.cpu_count()} processors, {usable_cores()} cores usable; load {psutil.getloadavg()[0]:.1f}"
    yield f"memory: {memory.available / 1e9:.1f} GB free of {memory.total / 1e9:.1f} GB"
    n_files, n_bytes = ImageStore(store_folder()).usage()
    yield f"photos kept on disk: {n_bytes / 1e6:.1f} MB in {n_files} files in {store_folder()}"
    yield f"gpt4roi-edge {version_of('gpt4roi-edge') or 'not installed as a package'}"


def _bundle_fault(folder: Path) -> BundleError | None:
    try:
        bundle = open_bundle(folder)
        for entry in bundle.manifest.files:
            check_file(bundle, entry)
    except BundleError as error:
        return error
    return None


def _without_gpu() -> Iterator[str]:
    """First of all: without a driver or a GPU, nothing else about one matters."""
    if (missing := missing_gpu()) is not None:
        yield f"no engine on a GPU runs here: {missing.problem}. {missing.advice}"


def _on_gpu(folder: Path) -> Iterator[str]:
    """Every engine on a GPU, the preferred first, up to the one that is taken: it is loaded and run."""
    bundle = open_bundle(folder)
    for candidate in candidates(bundle, VisionSettings()):
        name = ENGINE_NAMES[candidate.engine.backend]
        if candidate.refused is not None:
            yield _refused(candidate, candidate.refused, candidate.advice)
            continue
        try:
            with busy(f"trying {name}"), closing(open_encoder(bundle, candidate.engine, 0)) as encoder:
                yield f"{encoder.engine} runs it here"
                if isinstance(encoder, TensorRtEncoder):
                    yield from (f"  {line}" for line in encoder.gpu_use().lines())
        except EngineError as error:
            yield _refused(candidate, error.problem, error.advice)
        else:
            yield "on the CPU, where it is asked for by name:"
            return


def _refused(candidate: Candidate, problem: str, advice: str) -> str:
    return f"{ENGINE_NAMES[candidate.engine.backend]} is not taken: {problem}{f'. {advice}' if advice else ''}"


def _tuned(folder: Path) -> Iterator[str]:
    """Measure, remember, and tell."""
    choice = tune_vision(open_bundle(folder), said=lambda what: click.echo(f"  {what}", err=True))
    ChoiceStore().write(choice)
    yield from _told(choice)


def _known(folder: Path) -> Iterator[str]:
    choice = ChoiceStore().read(open_bundle(folder).id)
    if choice is None:
        yield "nothing is measured here for this bundle, so ONNX Runtime runs it; `gpt4roi doctor --tune` measures"
    else:
        yield from _told(choice)


def _told(choice: VisionChoice) -> Iterator[str]:
    yield f"{choice.best.choice} runs it, the fastest here of what was measured with {choice.n_threads} threads:"
    for one in choice.measured:
        times = f"encode {one.encode_s:.3f} s, 1 region {one.region_s:.3f} s, 16 regions {one.regions_s:.3f} s"
        yield f"  {one.engine}: {f'not used: {one.refused}' if one.refused else times}"


def _advice(engines: tuple[EngineFinding, ...], fault: BundleError | None) -> Iterator[str]:
    for clash in clashes():
        yield clash.problem
        yield f"  {clash.advice}"
    for engine in engines:
        if engine.advice:
            yield f"{engine.name}: {engine.advice}"
    if fault is not None:
        yield plain(fault.advice)
    if psutil.virtual_memory().available < _LITTLE_MEMORY_BYTES:
        yield "Less than 1 GB of memory is free: close other programs before loading a model."
