"""A folder for images on disk, as a person types it."""

import os
from pathlib import Path

import pytest

from gpt4roi_desktop.kept_images import checked_folder, folder_of
from gpt4roi_runtime.errors import SettingsError
from gpt4roi_runtime.image_store import store_folder


def test_nothing_typed_is_the_usual_folder() -> None:
    assert folder_of("") == store_folder()
    assert checked_folder("  ") == ""


def test_a_folder_that_can_be_made_is_taken_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_folder(f" {tmp_path / 'a' / 'b'} ") == str(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checked_folder("~/kept") == str(tmp_path / "kept")


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("kept", "not a whole path"),
        ("{tmp}/file", "is a file"),
        ("{tmp}/file/below", "is a file|cannot be kept"),
        ("/a\0b", "cannot be kept"),
        ("/" + "a" * 5000, "letters|cannot be kept"),
        ("/\udcff", "cannot be kept"),
        ("~nobody-of-this-name/a", "not a whole path|cannot be kept"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, typed: str, problem: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingsError, match=problem):
        checked_folder(typed.replace("{tmp}", str(tmp_path)))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(SettingsError, match="may not be written"):
            checked_folder(str(tmp_path / "a"))
    finally:
        tmp_path.chmod(0o700)
