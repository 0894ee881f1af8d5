"""Settings and models, in real dialogs."""

from pathlib import Path

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QDialogButtonBox, QFileDialog, QLabel
from pytestqt.qtbot import QtBot

from gpt4roi_desktop import models, preferences
from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.views.model_dialog import ModelDialog
from gpt4roi_desktop.views.settings_dialog import SettingsDialog
from gpt4roi_runtime.worker import messages as m
from tests.desktop.views.desk import CONTROL, LEFT, Desk
from tests.helpers.bundles import write_fake_bundle

KEY = Qt.Key
CHOSEN = Preferences(theme="dark", n_threads=2, context_length=1024, temperature=0.5, max_tokens=99, seed=7)


class TestSettings:
    @pytest.mark.parametrize("chosen", [CHOSEN, Preferences(), Preferences(temperature=0.0, camera=3)])
    def test_the_form_says_what_it_was_given(self, qtbot: QtBot, chosen: Preferences) -> None:
        dialog = SettingsDialog(chosen)
        qtbot.addWidget(dialog)
        assert dialog.chosen() == chosen

    def test_defaults_can_be_had_again(self, qtbot: QtBot) -> None:
        dialog = SettingsDialog(CHOSEN)
        qtbot.addWidget(dialog)
        dialog.show()
        button = dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.RestoreDefaults)  # type: ignore[union-attr]
        qtbot.mouseClick(button, LEFT)
        assert dialog.chosen() == Preferences()

    def test_the_fields_of_all_groups_are_below_one_another_and_no_name_is_cut(self, qtbot: QtBot) -> None:
        dialog = SettingsDialog(CHOSEN)
        qtbot.addWidget(dialog)
        dialog.show()
        fields = (dialog.theme, dialog.threads, dialog.context, dialog.temperature, dialog.tokens, dialog.seed)
        assert len({field.mapTo(dialog, QPoint()).x() for field in fields}) == 1
        names = [label for label in dialog.findChildren(QLabel) if label.buddy() in fields]
        assert len(names) == len(fields)
        assert all(label.width() >= label.sizeHint().width() for label in names)

    def test_they_are_remembered(self, desk: Desk) -> None:
        desk.press(KEY.Key_Comma, CONTROL)
        dialog = desk.window.findChild(SettingsDialog)
        assert dialog is not None
        dialog.theme.setCurrentIndex(2)
        dialog.accept()
        assert desk.window.palette().window().color().lightness() < 60
        kept = desk.window.places.preferences
        desk.qtbot.waitUntil(lambda: preferences.load(kept).theme == "dark")
        desk.window.choose_theme("system")


class TestModels:
    def dialog(self, desk: Desk) -> ModelDialog:
        desk.window.actions_by_name["model"].trigger()
        dialog = desk.window.findChild(ModelDialog)
        assert dialog is not None
        return dialog

    @pytest.fixture(autouse=True)
    def embedded(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        folder = write_fake_bundle(tmp_path / "bundles" / "embedded")
        monkeypatch.setattr(models, "default_bundle", lambda: folder)
        return folder

    def test_all_about_a_bundle_and_switching_to_it(self, desk: Desk, embedded: Path) -> None:
        dialog = self.dialog(desk)
        desk.qtbot.waitUntil(lambda: dialog.model.rowCount() == 2)  # the one in use is no bundle at all
        assert not dialog.use_button.isEnabled()
        dialog.list.setCurrentIndex(dialog.model.index(1))
        about = dialog.about.toPlainText()
        for words in ("tiny", "Knows nothing.", "Apache-2.0", "be opened", str(embedded)):
            assert words in about
        desk.qtbot.mouseClick(dialog.use_button, LEFT)
        desk.qtbot.waitUntil(lambda: len(desk.workers.started) == 2)
        assert desk.workers.started[0].closed
        assert Path(desk.worker.last(m.OpenBundle).folder.decode()) == embedded
        kept = desk.window.places.preferences
        desk.qtbot.waitUntil(lambda: preferences.load(kept).model == str(embedded))

    def test_a_folder_is_added(self, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        mine = write_fake_bundle(tmp_path / "mine", name="<b>mine</b>")
        dialog = self.dialog(desk)
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(mine))
        desk.qtbot.mouseClick(dialog.add_button, LEFT)
        desk.qtbot.waitUntil(lambda: dialog.model.rowCount() == 3)
        card = dialog.current()
        assert card is not None
        assert card.folder == mine
        assert "<b>mine</b>" in dialog.about.toPlainText()
        dialog.reject()

    def test_a_folder_that_is_no_bundle_cannot_be_used(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "empty").mkdir()
        dialog = self.dialog(desk)
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "empty"))
        desk.qtbot.mouseClick(dialog.add_button, LEFT)
        desk.qtbot.waitUntil(lambda: "it has no manifest.json" in dialog.about.toPlainText())
        assert not dialog.use_button.isEnabled()
        dialog.reject()

    def test_what_is_read_after_it_was_closed_is_dropped(self, desk: Desk) -> None:
        dialog = self.dialog(desk)
        dialog.reject()
        done: list[object] = []
        desk.window.bridge.aside(lambda: None, done.append, lambda error: None)
        desk.qtbot.waitUntil(lambda: done == [None])


def test_a_model_that_is_gone_is_said_with_a_way_on(desk: Desk, tmp_path: Path) -> None:
    desk.window.controller.use_model(tmp_path / "gone")
    desk.qtbot.waitUntil(lambda: len(desk.workers.started) == 2)
    desk.worker.say(m.Failed(desk.worker.last(m.OpenBundle).id, "there is no bundle at gone", "Choose another."))
    desk.qtbot.waitUntil(desk.window.notice.isVisible)
    assert desk.window.notice.button.text() == "Choose a model …"
