"""What every command shares: errors as two lines, progress for a person, the bundle's place. Knows no command."""

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import click

from gpt4roi_runtime.bundle.folder import default_bundle
from gpt4roi_runtime.errors import Cancelled, Gpt4RoiError, OutputError

if TYPE_CHECKING:
    from rich.progress import Progress

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
_PATIENCE_S = 0.5
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

P = ParamSpec("P")


def reports_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn our errors into two lines and exit status 2, and an interruption into 130; anything else is a bug."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (Cancelled, KeyboardInterrupt):
            click.echo("\ncancelled", err=True)
            sys.exit(EXIT_INTERRUPTED)
        except Gpt4RoiError as error:
            print_error(error)
            sys.exit(EXIT_BAD_INPUT)
        except OSError as error:  # ours are translated where they happen; what is left is our standard output
            _drop_standard_output()
            if isinstance(error, BrokenPipeError):  # who reads us has gone
                sys.exit(EXIT_INTERRUPTED)
            print_error(OutputError(f"cannot write to standard output: {error.strerror}", "Free some space."))
            sys.exit(EXIT_BAD_INPUT)

    return run


def _drop_standard_output() -> None:
    """Point it at nothing, or Python complains once more when it flushes at exit."""
    with suppress(OSError, ValueError):  # a test's stream has no file behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def plain(text: str) -> str:
    """Text from a file or a model without control characters, which a terminal would obey; lines and tabs stay."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def print_error(error: Gpt4RoiError) -> None:
    """Two lines on standard error: what is wrong, and what to do."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {plain(error.problem)}", err=True)
    if error.advice:
        click.echo(f"  {plain(error.advice)}", err=True)


def print_note(note: str) -> None:
    """One line on standard error."""
    click.echo(f"{click.style('note:', fg='yellow')} {plain(note)}", err=True)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """A moving bar and the seconds so far, once the block has run for a moment; nothing outside a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    bar = threading.Timer(_PATIENCE_S, lambda: shown.append(_moving_bar(what)))
    shown: list[Progress] = []
    bar.start()
    try:
        yield
    finally:
        bar.cancel()
        bar.join()
        for progress in shown:
            progress.stop()


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar that grows with every call of what is yielded, up to ``total``; nothing outside a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _moving_bar(what: str) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    progress.add_task(what, total=None)
    progress.start()
    return progress


_BUNDLE_VARIABLE = "GPT4ROI_BUNDLE"

bundle_option = click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    envvar=_BUNDLE_VARIABLE,
    show_envvar=True,
    default=default_bundle,
    help="Folder of the model; without it, the embedded one.",
)
bundle_argument = click.argument(
    "bundle", type=click.Path(path_type=Path), envvar=_BUNDLE_VARIABLE, default=default_bundle
)
