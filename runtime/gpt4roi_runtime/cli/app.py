"""`gpt4roi app`: the desktop window, where it is installed."""

import importlib
import sys
from pathlib import Path

import click

from gpt4roi_runtime.cli.console import bundle_option, reports_errors
from gpt4roi_runtime.errors import EngineMissingError

_QT_NAMES = ("PySide6", "shiboken6", "gpt4roi_desktop")


@click.command("app")
@click.argument("image", required=False, type=click.Path(path_type=Path))
@bundle_option
@reports_errors
def command(image: Path | None, bundle: Path) -> None:
    """Draw boxes on IMAGE and ask about them, in a window; without IMAGE, the photo that was open last."""
    try:
        app = importlib.import_module("gpt4roi_desktop.app")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _QT_NAMES:
            raise
        raise EngineMissingError("PySide6 is not installed", "Run: pip install 'gpt4roi-edge[app]'") from error
    except ImportError as error:  # Qt's own libraries need some of the system's
        raise EngineMissingError(
            f"PySide6 cannot be loaded: {error}",
            importlib.import_module("gpt4roi_desktop.system_libraries").ADVICE,
        ) from error
    sys.exit(app.run(image, bundle))
