"""The folder where images stay on disk, if the user says so: which it is, and whether it can be one. Writes nothing."""

import os
from pathlib import Path

from gpt4roi_desktop.preferences import MAX_PATH
from gpt4roi_runtime.errors import SettingsError
from gpt4roi_runtime.image_store import store_folder


def folder_of(chosen: str) -> Path:
    """The folder that was chosen; where none was, the one that the command line uses too."""
    return Path(chosen) if chosen else store_folder()


def checked_folder(typed: str) -> str:
    """A folder as a person typed it, as it is remembered; empty is the usual one.

    Raises:
        SettingsError: Nothing could be kept there.
    """
    typed = typed.strip()
    try:
        folder = folder_of(typed).expanduser()
        typed.encode()
        _check(folder, typed)
    except (ValueError, RuntimeError, OSError) as error:  # not a name, nobody's home, too long
        raise SettingsError(f"images cannot be kept in {typed!r}: {error}", "Choose another folder.") from error
    return str(folder) if typed else ""


def _check(folder: Path, typed: str) -> None:
    if "\0" in typed:
        raise ValueError("a name has no byte 0")
    if typed and not folder.is_absolute():
        raise SettingsError(f"the folder {typed!r} is not a whole path", "Type it from its root, or choose it.")
    if len(str(folder)) > MAX_PATH:
        raise SettingsError(f"the folder's name has {len(str(folder))} letters", f"The most is {MAX_PATH}.")
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        raise SettingsError(f"{there} is a file, not a folder", "Choose a folder to keep images in.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SettingsError(f"{there} may not be written to", "Choose a folder of your own.")
