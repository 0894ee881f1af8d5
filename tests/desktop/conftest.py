from pathlib import Path

import pytest

from tests.desktop.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A controller without photo and model."""
    return Desk(tmp_path)


@pytest.fixture
def ready(desk: Desk) -> Desk:
    """The same, ready for questions."""
    desk.open()
    assert desk.controller.stage == "ready"
    return desk
