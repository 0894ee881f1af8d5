"""Whatever goes wrong is said in the window, with what to do about it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PIL import Image

from gpt4roi_desktop import photo_file
from tests.desktop.views.desk import Desk


def text(path: Path) -> None:
    path.write_text("not a picture at all", encoding="utf-8")


def animated(path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])


def huge(path: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(path, format="PNG")


def cut(path: Path) -> None:
    Image.new("RGB", (60, 60), "teal").save(path, format="PNG")
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "does not exist"),
        (Path.mkdir, "not a file"),
        (lambda path: path.write_bytes(b""), "not a picture"),
        (text, "not a picture"),
        (animated, "2 frames"),
        (huge, "200,000,000 pixels"),
        (cut, "photo2.png is damaged"),
    ],
    ids=["gone", "folder", "empty", "text", "animated", "huge", "cut"],
)
def test_a_photo_that_cannot_be_opened(desk: Desk, make: Callable[[Path], object], words: str) -> None:
    before, path = desk.session, desk.folder / "photo2.png"
    make(path)
    desk.window.files.open_path(path)
    desk.qtbot.waitUntil(desk.window.notice.isVisible)
    problem, _, advice = desk.window.notice.words.text().partition("\n")
    assert words in problem
    assert advice
    assert desk.session is before  # what was open stays


def test_a_folder_that_cannot_be_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(photo_file.Path, "iterdir", refuse)
    desk.window.files.browse(1)
    desk.qtbot.waitUntil(desk.window.notice.isVisible)
    assert "Check the folder" in desk.window.notice.words.text()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_a_disk_that_takes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    old = desk.folder / "out.csv"
    old.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", refuse)
    desk.window.files.export(old)
    desk.qtbot.waitUntil(desk.window.notice.isVisible)
    assert os.strerror(code) in desk.window.notice.words.text()
    assert old.read_text(encoding="utf-8") == "old"
    assert not list(desk.folder.glob(".out*"))
    monkeypatch.undo()


def test_a_session_that_cannot_be_kept_is_said_and_the_work_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    desk.draw((20, 10, 80, 60))
    desk.qtbot.waitUntil(desk.window.notice.isVisible)
    assert "free some space" in desk.window.notice.words.text()
    desk.draw((100, 10, 150, 60))
    assert len(desk.boxes) == 2
    monkeypatch.undo()
