"""Opens the window: what `gpt4roi app` calls. Knows no command line."""

import os
import signal
import sys
from importlib import resources
from pathlib import Path

from PySide6.QtWidgets import QApplication

from gpt4roi_desktop.photo_file import is_there
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.system_libraries import check_screen
from gpt4roi_desktop.views import language, theme
from gpt4roi_desktop.views.window import Window
from gpt4roi_runtime import default_bundle
from gpt4roi_runtime.worker.process import WorkerProcess

_SAMPLE = "astronaut.jpg"


def run(image: Path | None, bundle: Path) -> int:
    """Show the window until it is closed.

    Args:
        image: A photo or a session; None opens what was open last, and the first time a sample.
        bundle: The model's folder.

    Returns:
        The exit status.

    Raises:
        EngineMissingError: There is no screen, or Qt lacks a library to show something on it.
    """
    check_screen(os.environ)
    application = QApplication(sys.argv[:1])
    application.setApplicationName("gpt4roi")
    application.setApplicationDisplayName("GPT4RoI")
    application.setDesktopFileName("gpt4roi")
    language.install(application)
    theme.apply(application)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C in the terminal ends it: everything is kept already
    window = Window(WorkerProcess, Places.usual())
    window.show()
    window.controller.open_model(_chosen(bundle, window.controller.preferences))
    window.files.open_path(image or window.files.last_photo() or sample_photo())
    status = application.exec()
    window.bridge.join()
    return status


def _chosen(bundle: Path, preferences: Preferences) -> Path:
    """The model that was asked for; where none was, the one that was used last, if it is still there."""
    last = Path(preferences.model)
    return last if preferences.model and bundle == default_bundle() and is_there(last / "manifest.json") else bundle


def sample_photo() -> Path:
    """A photo that ships with the runtime."""
    with resources.as_file(resources.files("gpt4roi_runtime") / "samples" / _SAMPLE) as path:
        return path
