"""What every command shares: errors as two lines, progress for a person, the bundle's place. Knows no command."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

from gpt4roi_runtime.bundle.folder import default_bundle
from gpt4roi_runtime.errors import Cancelled, Gpt4RoiError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

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
        except BrokenPipeError:
            # Who reads us has gone. Point stdout at nothing, or Python complains once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_INTERRUPTED)

    return run


def print_error(error: Gpt4RoiError) -> None:
    """Two lines on standard error: what is wrong, and what to do."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {error.problem}", err=True)
    if error.advice:
        click.echo(f"  {error.advice}", err=True)


def print_note(note: str) -> None:
    """One line on standard error."""
    click.echo(f"{click.style('note:', fg='yellow')} {note}", err=True)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """A moving bar and the seconds so far while the block runs; nothing where standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(what, total=None)
        yield


bundle_option = click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    envvar="GPT4ROI_BUNDLE",
    show_envvar=True,
    default=default_bundle,
    help="Folder of the model; without it, the embedded one.",
)
