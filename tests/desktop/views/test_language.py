"""The window in another language, and the list of words that translators begin with."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtCore import QLocale, QTranslator
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from gpt4roi_desktop.places import Places
from gpt4roi_desktop.views import language
from gpt4roi_desktop.views.window import Window
from tests.conftest import REPOSITORY
from tests.desktop.fakes import Workers

PACKAGE = REPOSITORY / "desktop_app" / "gpt4roi_desktop"
WORDS = PACKAGE / "translations" / "gpt4roi.ts"
LATIN = QLocale(QLocale.Language.Latin)
TRANSLATED = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="la">
<context><name>Window</name>
<message><source>&amp;Help</source><translation>&amp;Auxilium</translation></message></context>
<context><name>Chat</name>
<message><source>Describe</source><translation>Describe mihi</translation></message></context>
</TS>
"""


def tool(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def latin(qapp: QApplication, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "gpt4roi_la.ts").write_text(TRANSLATED, encoding="utf-8")
    subprocess.run([tool("pyside6-lrelease"), tmp_path / "gpt4roi_la.ts"], check=True, capture_output=True)
    assert language.install(qapp, LATIN, tmp_path)
    yield
    for translator in qapp.findChildren(QTranslator):
        qapp.removeTranslator(translator)
        translator.deleteLater()


def test_the_window_speaks_it(qtbot: QtBot, latin: None, tmp_path: Path) -> None:
    window = Window(Workers(), Places(tmp_path / "state"))
    qtbot.addWidget(window)
    titles = [action.text() for action in window.menuBar().actions()]
    assert "&Auxilium" in titles
    assert "&File" in titles  # what nobody translated stays as it is
    assert window.chat.describe.text() == "Describe mihi"
    window.close()


def test_a_language_that_is_not_there(qapp: QApplication, tmp_path: Path) -> None:
    assert not language.install(qapp, LATIN, tmp_path)


def test_the_list_of_words_is_up_to_date(tmp_path: Path) -> None:
    command = [tool("pyside6-lupdate"), "-tr-function-alias", "translate+=say", "-locations", "none"]
    views = sorted(map(str, (PACKAGE / "views").glob("*.py")))
    subprocess.run([*command, *views, "-ts", tmp_path / "now.ts"], check=True, capture_output=True)
    now, kept = (
        set(re.findall(r"<source>(.*?)</source>", path.read_text(encoding="utf-8"), re.DOTALL))
        for path in (tmp_path / "now.ts", WORDS)
    )
    assert kept == now, "run make translations"
    assert "&amp;File" in now
