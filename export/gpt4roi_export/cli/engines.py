"""The command that builds TensorRT plans of a bundle."""

from pathlib import Path
from typing import Literal, cast

import click
import msgspec

from gpt4roi_export.cli.console import FILE, FOLDER, needs, progress_bar
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.bundle.plans import PlanEngine
from gpt4roi_runtime.cli.console import plain, print_note

_MB = 1e6


@click.command()
@click.argument("bundle", type=FOLDER)
@click.option(
    "--target", required=True, help="rtx (every RTX GPU), jetson (on the device), or GPUs: sm_89 or sm_86,sm_89."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "tensorrt-rtx", "tensorrt"]),
    default="auto",
    show_default=True,
    help="TensorRT for RTX builds anywhere; TensorRT on the GPU's own machine.",
)
@click.option(
    "--precision", type=click.Choice(["fp16", "fp32"]), default="fp16", show_default=True, help="Of the plans."
)
@click.option("--plugin", type=FILE, help="libgpt4roi_roi_align.so; without it, the one built in this checkout.")
@click.option("--out", type=FOLDER, help="Folder for plans of all bundles; without it, the user's cache.")
@click.option("--force", is_flag=True, help="Build plans that are already there.")
@click.option("--dry-run", is_flag=True, help="Say what would be built, and build nothing.")
def engines(
    bundle: Path,
    target: str,
    engine: str,
    precision: Literal["fp16", "fp32"],
    plugin: Path | None,
    out: Path | None,
    *,
    force: bool,
    dry_run: bool,
) -> None:
    """Build TensorRT plans of a bundle's two graphs; run it again to go on after a kill."""
    with needs("onnxscript", extra="engines"):
        from gpt4roi_export.engines.building import build_plan, planned_plans, ready_target
    from gpt4roi_export.engines.plugin_library import find_plugin
    from gpt4roi_export.engines.targets import parse_target

    chosen = None if engine == "auto" else cast(PlanEngine, engine.replace("-", "_"))
    parsed = parse_target(target, chosen)
    opened = open_bundle(bundle)
    ready, version = ready_target(parsed)
    library = find_plugin(plugin)
    with progress_bar() as progress:
        planned = planned_plans(opened, ready, version, library, precision, out, progress)
    if dry_run:
        for one in planned:
            state = "there" if one.is_there and not force else "to build"
            weights, most = (f"{n_bytes / _MB:,.0f} MB" for n_bytes in (one.weight_bytes, one.most_bytes))
            click.echo(f"{state}: {one.path} (weights alone {weights}; the plan at most {most})")
            click.echo(f"  {msgspec.json.encode(one.key).decode()}")
        return
    for one in planned:
        with progress_bar() as progress:
            built = build_plan(opened, one, library, out, progress, force=force)
        done = "kept" if built.seconds is None else f"built in {built.seconds:.1f} s"
        click.echo(f"{done}: {one.path} ({built.size_bytes / _MB:,.1f} MB)")
        for warning in built.warnings:
            print_note(f"{one.key.engine}: {plain(warning)}")
