"""The panel "What the model sees" in a real window."""

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtCore import Qt

from gpt4roi_runtime.geometry import Box
from tests.desktop.fakes import photo_file
from tests.desktop.views.desk import CONTROL, Desk
from tests.helpers import bundles

KEY = Qt.Key


@pytest.fixture
def seeing(desk: Desk) -> Desk:
    bundles.write_manifest(desk.folder, bundles.manifest_tree())
    desk.window.controller.looking.open_bundle(desk.folder)
    desk.press(KEY.Key_I, CONTROL)
    desk.qtbot.waitUntil(lambda: desk.window.controller.looking.sight is not None)
    return desk


def test_it_is_shown_and_hidden_by_a_key(seeing: Desk) -> None:
    panel = seeing.window.sight
    assert panel.picture.isVisible()
    grid = seeing.window.controller.looking.grid
    assert grid is not None
    assert f"{grid.n_cells} by {grid.n_cells} cells" in panel.facts.text()
    seeing.press(KEY.Key_I, CONTROL)
    assert not panel.isVisible()


def test_a_box_smaller_than_a_cell_is_warned_of(seeing: Desk) -> None:
    grid = seeing.window.controller.looking.grid
    assert grid is not None
    wide, high = 200 / grid.n_cells, 100 / grid.n_cells  # a cell in pixels of the photo
    seeing.draw((100, 10, 100 + 3 * wide, 10 + 3 * high))
    panel = seeing.window.sight
    assert not panel.warning.isVisible()
    assert "Box 1 covers" in panel.facts.text()
    seeing.window.boxes.draw(type(seeing.boxes[0])(10, 10, 10 + wide / 2, 60))
    assert panel.warning.isVisible()
    assert "box 2" in panel.warning.text()
    model = seeing.window.list.model()
    assert "too small" in model.index(1, 0).data()
    assert "too small" not in model.index(0, 0).data()
    assert "smaller than" in model.index(1, 0).data(Qt.ItemDataRole.AccessibleTextRole)


def test_a_hidden_box_is_not_warned_of(seeing: Desk) -> None:
    seeing.window.boxes.draw(Box(10, 10, 12, 12))
    panel = seeing.window.sight
    assert panel.warning.isVisible()
    seeing.window.boxes.hide()
    assert not panel.warning.isVisible()


def test_in_a_low_window_nothing_lies_over_the_picture(seeing: Desk) -> None:
    seeing.window.boxes.draw(Box(10, 10, 12, 12))
    seeing.window.answers.show()
    seeing.window.resize(900, 560)
    panel = seeing.window.sight
    seeing.qtbot.waitUntil(lambda: panel.picture.height() >= panel.picture.width())
    assert panel.height() < panel.picture.height() + panel.warning.height() + panel.facts.height()
    assert panel.picture.geometry().bottom() < panel.warning.geometry().top()
    assert panel.warning.geometry().bottom() < panel.facts.geometry().top()


def test_until_it_is_known_it_asks_for_patience(desk: Desk) -> None:
    panel, looking = desk.window.sight, desk.window.controller.looking
    panel.show_looking(looking, desk.session)
    assert "needs a photo and a model" in panel.facts.text()
    bundles.write_manifest(desk.folder, bundles.manifest_tree())
    looking.open_bundle(desk.folder)
    desk.qtbot.waitUntil(lambda: looking.manifest is not None)
    assert looking.sight is None
    panel.show_looking(looking, desk.session)
    assert panel.facts.text() == "One moment …"


def test_the_boxes_are_painted_on_the_input(seeing: Desk) -> None:
    picture = seeing.window.sight.picture
    before = picture.grab().toImage()
    seeing.draw((20, 10, 180, 90))
    assert picture.grab().toImage() != before


def test_another_photo_is_seen_too(seeing: Desk) -> None:
    seeing.open_photo(photo_file(seeing.folder, "other.png", (50, 40)))
    seeing.qtbot.waitUntil(lambda: "made of 50 by 40" in seeing.window.sight.facts.text())
