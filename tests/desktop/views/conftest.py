"""Windows without a screen; a warning of Qt that nobody expected fails the test."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from tests.desktop.views.desk import Desk

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.qt_log_level_fail("WARNING"))
            item.add_marker(pytest.mark.qt_log_ignore("This plugin does not support"))  # moving, raising: no screen


@pytest.fixture(autouse=True)
def nothing_leaks(qapp: "QApplication") -> Iterator[None]:
    """Every widget that a test makes is gone when the test is."""
    from PySide6.QtCore import QCoreApplication, QEvent
    from shiboken6 import createdByPython, getCppPointer

    before = {getCppPointer(widget) for widget in qapp.allWidgets()}  # Python's own objects come and go
    yield
    for _ in range(2):  # what is deleted may delete more
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        gc.collect()
    new = [widget for widget in qapp.allWidgets() if getCppPointer(widget) not in before]
    leaked = [widget for widget in new if createdByPython(widget) or widget.parent() or widget.isVisible()]  # Qt's stay
    assert not leaked, f"leaked widgets: {leaked[:10]}"


@pytest.fixture
def desk(qtbot: object, tmp_path: Path) -> "Iterator[Desk]":
    """A window with a photo of 200 x 100 pixels, ready for questions to a fake model."""
    from tests.desktop.views.desk import Desk

    desk = Desk(qtbot, tmp_path)  # type: ignore[arg-type]
    desk.open()
    yield desk
    desk.close()
