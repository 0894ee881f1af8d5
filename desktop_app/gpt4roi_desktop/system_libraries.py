"""The libraries of the system that Qt's wheel does not bring, and whether a window can be shown.

Imports Qt only where it is run as a program:

    python -m gpt4roi_desktop.system_libraries            # exit status 1 and a line of advice where some are missing
    python -m gpt4roi_desktop.system_libraries --names    # Debian's packages
"""

import ctypes
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from gpt4roi_runtime.errors import EngineMissingError

DEBIAN_PACKAGES = (
    "libegl1",
    "libgl1",
    "libdbus-1-3",
    "fontconfig",
    "libxkbcommon-x11-0",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-image0",
    "libxcb-keysyms1",
    "libxcb-render-util0",
    "libxcb-shape0",
)
ADVICE = f"On Debian and Ubuntu: sudo apt install {' '.join(DEBIAN_PACKAGES)}"
_PLUGIN = Path("Qt", "plugins", "platforms", "libqxcb.so")


def check_screen(environment: Mapping[str, str], plugin: Path | None = None) -> None:
    """See that Qt will find a screen, which it would otherwise end the process over.

    Args:
        environment: Of the process.
        plugin: Qt's library for X11; None takes the one that is installed.

    Raises:
        EngineMissingError: There is no screen, or a library to show something on it is missing.
    """
    if sys.platform != "linux" or environment.get("QT_QPA_PLATFORM") or environment.get("WAYLAND_DISPLAY"):
        return
    if not environment.get("DISPLAY"):
        raise EngineMissingError(
            "there is no screen: neither DISPLAY nor WAYLAND_DISPLAY is set",
            "Start it on a desktop (over ssh: ssh -X), or use `gpt4roi ask` and `gpt4roi chat`.",
        )
    check_x11(plugin)


def check_x11(plugin: Path | None = None) -> None:
    """See that Qt's library for X11 has all it needs.

    Raises:
        EngineMissingError: It lacks a library of the system.
    """
    plugin = plugin or _installed_plugin()
    if plugin is None or not plugin.exists():  # built without X11
        return
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        raise EngineMissingError(f"Qt cannot show a window here: {error}", ADVICE) from error


def _installed_plugin() -> Path | None:
    found = find_spec("PySide6")
    return None if found is None or found.origin is None else Path(found.origin).parent / _PLUGIN


if __name__ == "__main__":
    if sys.argv[1:] == ["--names"]:
        sys.stdout.write(f"{' '.join(DEBIAN_PACKAGES)}\n")
        sys.exit(0)
    try:
        import_module("PySide6.QtWidgets")
        check_x11()
    except ImportError as error:
        sys.exit(f"Qt cannot be loaded: {error}\n{ADVICE}")
    except EngineMissingError as error:
        sys.exit(f"{error.problem}\n{error.advice}")
