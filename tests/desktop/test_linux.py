"""The desktop entry: what a menu reads, and the script that puts it there."""

import configparser
import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

from gpt4roi_desktop.photo_file import SUFFIXES
from tests.conftest import REPOSITORY

LINUX = REPOSITORY / "desktop_app" / "linux"
KINDS = {".jpg": "jpeg", ".jpeg": "jpeg", ".tif": "tiff"}


def entry(path: Path) -> configparser.SectionProxy:
    reader = configparser.ConfigParser(interpolation=None)
    reader.optionxform = str  # type: ignore[assignment,method-assign]
    reader.read(path, encoding="utf-8")
    return reader["Desktop Entry"]


def install(folder: Path, program: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_DATA_HOME": str(folder / "data")}
    return subprocess.run([LINUX / "install.sh", program], env=environment, capture_output=True, text=True, check=False)


def test_it_opens_every_kind_of_photo() -> None:
    opened = set(entry(LINUX / "gpt4roi.desktop")["MimeType"].strip(";").split(";"))
    assert opened == {f"image/{KINDS.get(suffix, suffix[1:])}" for suffix in SUFFIXES}


def test_the_icon_is_a_picture() -> None:
    assert ET.parse(LINUX / "gpt4roi.svg").getroot().get("viewBox") == "0 0 128 128"  # noqa: S314 - our own


def test_it_is_put_into_the_menu(tmp_path: Path) -> None:
    program = tmp_path / "gpt4roi"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    done = install(tmp_path, program)
    assert done.returncode == 0, done.stderr
    installed = entry(tmp_path / "data" / "applications" / "gpt4roi.desktop")
    assert installed["Exec"] == f"{program} app %f"
    assert (tmp_path / "data/icons/hicolor/scalable/apps/gpt4roi.svg").is_file()


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = install(tmp_path, tmp_path / "none")
    assert done.returncode == 1
    assert "make app-setup" in done.stderr
    assert not (tmp_path / "data").exists()
