"""Whatever goes wrong is said in the window, with what to do about it."""

import dataclasses
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PIL import Image
from PySide6.QtWidgets import QFileDialog

from gpt4roi_desktop import photo_file, session_file
from gpt4roi_runtime.worker import messages as m
from tests.desktop.fakes import photo_file as a_photo
from tests.desktop.views.desk import LEFT, Desk


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


def survey(desk: Desk) -> None:
    desk.chat.each.menu().actions()[0].trigger()
    desk.worker.answer_boxes({0: "a cup"})
    desk.qtbot.waitUntil(lambda: desk.window.controller.running is None)


WAYS = {
    "out.csv": "export",
    "out.json": "export",
    "out.labelme.json": "export",
    "out.md": "export",
    "out.png": "export",
    "out.gpt4roi.json": "save_session",
    "rows.csv": "survey",
    "rows.coco.json": "survey",
}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.parametrize("name", WAYS)
def test_a_disk_that_takes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch, code: int, name: str) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    desk.draw((20, 10, 80, 60))
    survey(desk)
    old = desk.folder / name
    old.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(old), ""))
    if WAYS[name] == "survey":
        desk.qtbot.mouseClick(desk.window.answers.export_button, LEFT)
    else:
        desk.window.actions_by_name[WAYS[name]].trigger()
    desk.qtbot.waitUntil(lambda: name in desk.window.notice.words.text())
    assert desk.window.notice.isVisible()
    problem, _, advice = desk.window.notice.words.text().partition("\n")
    assert os.strerror(code) in problem
    assert "Choose another place, or free some space" in advice
    assert old.read_text(encoding="utf-8") == "old"
    assert not [each for each in desk.folder.iterdir() if each.suffix == ".part"]
    monkeypatch.undo()


def test_a_folder_that_is_gone_is_said_for_a_picture_too(desk: Desk) -> None:
    for name in ("out.csv", "out.png"):
        desk.window.files.export(desk.folder / "gone" / name)
        desk.qtbot.waitUntil(desk.window.notice.isVisible)
        assert "gone" in desk.window.notice.words.text()
        assert "\n" in desk.window.notice.words.text()
        desk.window.controller.tell(None)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"format": "other"}'])
def test_a_session_file_that_is_damaged(desk: Desk, content: bytes) -> None:
    before, path = desk.session, desk.folder / "a.gpt4roi.json"
    path.write_bytes(content)
    desk.window.files.open_path(path)
    assert "is not a session" in desk.window.notice.words.text()
    assert "Choose another file; this one stays as it is." in desk.window.notice.words.text()
    assert desk.session is before
    assert path.read_bytes() == content


def test_a_session_whose_photo_is_gone_or_has_an_endless_name(desk: Desk) -> None:
    for name in ("gone.png", "a" * 4000):
        photo = dataclasses.replace(desk.session.photo, path=desk.folder / name)
        path = desk.folder / "a.gpt4roi.json"
        session_file.save(path, dataclasses.replace(desk.session, photo=photo))
        desk.window.files.open_path(path)
        desk.qtbot.waitUntil(lambda name=name: name[:40] in desk.window.notice.words.text())  # type: ignore[misc]
        assert "Check the path" in desk.window.notice.words.text()


def test_the_process_is_killed_and_the_button_brings_it_back(desk: Desk) -> None:
    desk.draw((20, 10, 80, 60))
    desk.qtbot.mouseClick(desk.chat.what, LEFT)
    desk.worker.say(m.Died(0, -9))
    desk.qtbot.waitUntil(desk.window.notice.isVisible)
    assert "signal 9" in desk.window.notice.words.text()
    assert "Your boxes and answers are safe" in desk.window.notice.words.text()
    assert desk.window.notice.button.text() == "Restart the model"
    desk.qtbot.mouseClick(desk.window.notice.button, LEFT)
    desk.worker.say(m.Failed(desk.worker.last(m.OpenBundle).id, "there is no bundle at models", "Choose another."))
    desk.qtbot.waitUntil(lambda: "no bundle" in desk.window.notice.words.text())
    assert desk.window.notice.button.text() == "Choose a model …"
    assert desk.session.exchanges()[0].state == "queued"


def test_a_question_while_the_photo_is_encoded_waits_in_sight(desk: Desk) -> None:
    desk.open_photo(a_photo(desk.folder, "other.png"))
    desk.draw((20, 10, 80, 60))
    desk.qtbot.mouseClick(desk.chat.what, LEFT)
    assert desk.window.controller.stage == "encoding"
    view = desk.chat.view_of(desk.session.exchanges()[0].id)
    assert view is not None
    assert "waits" in view.note.text()
    assert desk.worker.count(m.Ask) == 0
    desk.worker.open_image()
    desk.qtbot.waitUntil(lambda: desk.worker.count(m.Ask) == 1)
    desk.worker.answer("a cup")
    desk.qtbot.waitUntil(lambda: desk.session.exchanges()[0].answer == "a cup")


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
