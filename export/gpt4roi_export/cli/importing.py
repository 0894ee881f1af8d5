"""The commands that turn GPT4RoI's released checkpoints into bundles."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click
from rich.console import Console
from rich.table import Column, Table

from gpt4roi_export.cli.console import FILE, FOLDER, needs, progress_bar
from gpt4roi_runtime.bench.memory import peak_bytes
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.errors import NumericError

if TYPE_CHECKING:
    from gpt4roi_export.certificate.certificate import Engine

_GB = 1e9
_NEEDS = ("torch", "export")


@click.command("import")
@click.option("--checkpoint", type=FOLDER, help="A GPT4RoI that is merged already; or, instead of it:")
@click.option("--base", type=FOLDER, help="LLaMA-7B in Hugging Face's format, and")
@click.option("--delta", type=FOLDER, help="GPT4RoI-7B-delta-V0.")
@click.option("--clip", type=FOLDER, required=True, help="openai/clip-vit-large-patch14.")
@click.option("--out", type=FOLDER, required=True, help="Folder to write.")
@click.option("--llm", default="auto", show_default=True, help="F16, Q8_0, Q4_K_M, Q4_0, ...; auto suits this machine.")
@click.option(
    "--vision", type=click.Choice(["fp32", "fp16", "int8"]), default="fp32", show_default=True, help="Of the graphs."
)
@click.option("--winograd", is_flag=True, help="With fp32: a quarter of the multiplications, larger weights; for CPUs.")
@click.option("--calibration", type=FILE, multiple=True, help="A photo to calibrate int8 with; may be repeated.")
@click.option("--threads", type=click.IntRange(1, 512), help="Of the quantiser; without it, every core.")
@click.option("--force", is_flag=True, help="Replace a bundle that is already there.")
@click.option("--unsafe", is_flag=True, help="Go on with a doubtful pair, or graphs that are off; both are recorded.")
def import_(
    checkpoint: Path | None,
    base: Path | None,
    delta: Path | None,
    clip: Path,
    out: Path,
    llm: str,
    vision: Literal["fp32", "fp16", "int8"],
    calibration: tuple[Path, ...],
    threads: int | None,
    *,
    winograd: bool,
    force: bool,
    unsafe: bool,
) -> None:
    """Make a bundle of GPT4RoI's released files, in a laptop's memory; run it again to go on after a kill."""
    with needs(*_NEEDS):
        from gpt4roi_export.imports.importing import ImportSettings, import_release
        from gpt4roi_export.imports.sources import Folders, open_sources
    if winograd and vision != "fp32":
        raise click.UsageError(
            f"--winograd goes with --vision fp32, not {vision}: fewer bits lose too much on the way."
        )
    settings = ImportSettings(
        language=llm,
        vision=vision,
        winograd=winograd,
        pictures=calibration,
        threads=threads or os.cpu_count() or 1,
        forced=unsafe,
    )
    with progress_bar() as progress:
        progress("opening the checkpoint", 0.0)
        sources = open_sources(Folders(clip, checkpoint, base, delta), forced=unsafe)
        imported = import_release(sources, settings, out, progress, replace=force)
    for doubt in sources.doubts:
        click.echo(f"warning: {doubt}", err=True)
    if imported.parity is not None and imported.parity.off:
        click.echo(f"warning: {len(imported.parity.off)} stages of the graphs are off", err=True)
    size = sum(path.stat().st_size for path in imported.out.iterdir())
    speed = imported.read_bytes / imported.seconds / 1e6
    click.echo(f"wrote {imported.out}: {size / _GB:.2f} GB, language model {imported.quantisation}, graphs {vision}")
    peak = peak_bytes()
    click.echo(
        f"{'went on with' if imported.went_on else 'read'} {imported.read_bytes / _GB:.2f} GB in "
        f"{imported.seconds:.0f} s ({speed:.0f} MB/s)"
        + ("" if peak is None else f", at most {peak / _GB:.2f} GB of memory")
    )


@click.command()
@click.argument("bundle", type=FOLDER)
@click.option("--checkpoint", type=FOLDER, help="The merged GPT4RoI that it was made from; or, instead of it:")
@click.option("--base", type=FOLDER, help="its LLaMA, and")
@click.option("--delta", type=FOLDER, help="its delta.")
@click.option("--clip", type=FOLDER, required=True, help="Its CLIP.")
@click.option("--photo", type=FILE, help="To look at; without it, one that came with gpt4roi.")
def parity(
    bundle: Path, checkpoint: Path | None, base: Path | None, delta: Path | None, clip: Path, photo: Path | None
) -> None:
    """Hold a bundle against its checkpoint, stage by stage; the certificate is kept in the bundle."""
    with needs(*_NEEDS):
        from gpt4roi_export.certificate.certificate import write_certificate
        from gpt4roi_export.certificate.certify import certify
        from gpt4roi_export.imports.importing import checkpoint_of
        from gpt4roi_export.imports.sources import Folders, open_sources
    opened = open_bundle(bundle)
    with progress_bar() as progress:
        progress("opening the checkpoint", 0.0)
        sources = open_sources(Folders(clip, checkpoint, base, delta), forced=True)
        certificate = certify(opened, checkpoint_of(sources), photo, progress)
    path = write_certificate(bundle, certificate)
    for engine in certificate.engines:
        Console().print(_table(engine))
    click.echo(f"wrote {path}")
    if certificate.off:
        raise NumericError(
            f"{len(certificate.off)} stages differ from the checkpoint: "
            + "; ".join(f"{stage.stage}: {stage.off}" for stage in certificate.off),
            "Look at the first one; those behind it inherit its error. Is it the checkpoint of this bundle?",
        )


@click.command()
@click.argument("bundle", type=FOLDER)
@click.option("--llm", required=True, help="Q8_0, Q4_K_M, Q4_0, ...; auto suits this machine.")
@click.option("--out", type=FOLDER, required=True, help="Folder to write.")
@click.option("--threads", type=click.IntRange(1, 512), help="Without it, every core.")
@click.option("--force", is_flag=True, help="Replace a bundle that is already there.")
def quantize(bundle: Path, llm: str, out: Path, threads: int | None, *, force: bool) -> None:
    """Make a smaller bundle of one whose language model is F16 or Q8_0."""
    from gpt4roi_export.imports.requantise import requantise

    with progress_bar() as progress:
        made = requantise(bundle, out, llm, threads or os.cpu_count() or 1, progress, replace=force)
    click.echo(f"wrote {out}: language model {made.quantisation}, {made.size_bytes / _GB:.2f} GB")


@click.command()
@click.option("--size", type=click.Choice(["tiny", "7b", "13b"]), required=True, help="7b takes 15 GB of disk.")
@click.option("--out", type=FOLDER, required=True, help="Folder to write gpt4roi/ (or base/ and delta/) and clip/ to.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random numbers.")
@click.option("--as-delta", is_flag=True, help="Write base/ and delta/ instead of a merged gpt4roi/.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["torch", "torch-legacy", "safetensors"]),
    default="torch",
    show_default=True,
    help="Of the files.",
)
def synthesize(size: str, out: Path, seed: int, file_format: str, *, as_delta: bool) -> None:
    """Write a checkpoint of random numbers in the released files' exact form, to try an import with."""
    from gpt4roi_export.synthesis.presets import Size
    from gpt4roi_export.synthesis.synthesize import synthesize as write
    from gpt4roi_export.synthesis.write_shard import FileFormat

    with progress_bar() as progress:
        write(cast(Size, size), out, seed, progress, as_delta=as_delta, file_format=cast(FileFormat, file_format))
    n_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    click.echo(f"wrote {out} ({n_bytes / _GB:.2f} GB)")


def _table(engine: "Engine") -> Table:
    stage_column = Column("stage", no_wrap=True)
    table = Table(stage_column, "max abs", "rel. error", "allowed", "cosine", "allowed", "", title=engine.engine)
    for stage in engine.stages:
        off = (_short(stage.max_abs), _short(stage.relative_error), f"{stage.most_relative_error:g}")
        near = (_long(stage.cosine), f"{stage.least_cosine:g}")
        table.add_row(stage.stage, *off, *near, "off" if stage.off else "ok")
    return table


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:.1e}"


def _long(number: float | None) -> str:
    return "" if number is None else f"{number:.6f}"
