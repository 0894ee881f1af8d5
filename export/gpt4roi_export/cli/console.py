"""What all commands of ``gpt4roi-export`` share: folders, missing libraries, the progress bar."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import platformdirs
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gpt4roi_runtime.errors import EngineMissingError

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


def user_cache() -> Path:
    """Where downloads are kept unless told otherwise."""
    return platformdirs.user_cache_path("gpt4roi-edge") / "weights"


@contextmanager
def needs(distribution: str, extra: str) -> Iterator[None]:
    """Say which extra to install where an import inside fails.

    Raises:
        EngineMissingError: With the pip line.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        raise EngineMissingError(
            f"{missing.name or distribution} is not installed", f'pip install "gpt4roi-edge[{extra}]"'
        ) from missing


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """A bar on the error stream; nothing where that is not a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda doing, done: bar.update(task, description=doing, completed=done)
