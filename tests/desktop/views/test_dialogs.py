"""Settings and models, in real dialogs."""

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QDialogButtonBox, QFileDialog, QLabel
from pytestqt.qtbot import QtBot

from gpt4roi_desktop import models, preferences
from gpt4roi_desktop.engines import Engine
from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.views.model_dialog import ModelDialog
from gpt4roi_desktop.views.settings_dialog import SettingsDialog
from gpt4roi_runtime.backends.vision_settings import BACKENDS, PRECISIONS, VisionBackend
from gpt4roi_runtime.image_store import STORE_VARIABLE, ImageStore, Label
from gpt4roi_runtime.worker import messages as m
from tests.desktop.views.desk import CONTROL, LEFT, Desk
from tests.helpers.bundles import write_fake_bundle

KEY = Qt.Key
CHOSEN = Preferences(theme="dark", n_threads=2, context_length=1024, temperature=0.5, max_tokens=99, seed=7)
MISSING = (
    Engine("onnxruntime", "ONNX Runtime 1.0"),
    Engine("openvino", "OpenVINO", "pip install 'gpt4roi-edge[openvino]'"),
)
THERE = (MISSING[0], Engine("openvino", "OpenVINO 2.0"))


class TestSettings:
    @pytest.mark.parametrize("chosen", [CHOSEN, Preferences(), Preferences(temperature=0.0, camera=3)])
    def test_the_form_says_what_it_was_given(self, qtbot: QtBot, chosen: Preferences) -> None:
        dialog = SettingsDialog(chosen, engines=THERE)
        qtbot.addWidget(dialog)
        assert dialog.chosen() == chosen

    @pytest.mark.parametrize("backend", ["auto", "openvino"])
    def test_the_vision_engine_and_the_folder_too(self, qtbot: QtBot, backend: VisionBackend, tmp_path: Path) -> None:
        chosen = Preferences(
            vision_backend=backend,
            vision_precision="bf16",
            keep_images=True,
            store=str(tmp_path),
            store_mb=77,
            shortcuts={"fit": ()},
        )
        dialog = SettingsDialog(chosen, engines=THERE)
        qtbot.addWidget(dialog)
        assert dialog.vision.note is None
        assert dialog.chosen() == chosen

    def test_what_is_not_installed_cannot_be_chosen_and_the_line_that_installs_it_is_told(self, qtbot: QtBot) -> None:
        dialog = SettingsDialog(Preferences(), engines=MISSING)
        qtbot.addWidget(dialog)
        for field, text in ((dialog.vision.backend, "OpenVINO (not installed)"), (dialog.vision.precision, "bfloat16")):
            place = field.findText(text)
            assert not field.model().flags(field.model().index(place, 0)) & Qt.ItemFlag.ItemIsEnabled
            qtbot.keyClick(field, KEY.Key_End)
            assert field.currentText() != text
        assert dialog.vision.note is not None
        assert dialog.vision.note.text() == "OpenVINO: pip install 'gpt4roi-edge[openvino]'"

    def test_nonsense_is_refused_with_a_message_and_the_dialog_stays(self, qtbot: QtBot, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        dialog = SettingsDialog(Preferences(vision_backend="openvino"), engines=MISSING)
        qtbot.addWidget(dialog)
        taken: list[Preferences] = []
        dialog.taken.connect(taken.append)
        dialog.show()

        def refused() -> str:
            dialog.accept()
            assert dialog.isVisible()
            assert dialog.refused.isVisible()
            return dialog.refused.text()

        assert "OpenVINO is not installed" in refused()
        dialog.vision.backend.setCurrentIndex(BACKENDS.index("onnxruntime"))
        dialog.vision.precision.setCurrentIndex(PRECISIONS.index("bf16"))
        assert "does not compute in bfloat16" in refused()
        dialog.vision.precision.setCurrentIndex(0)
        dialog.kept.folder.setText(str(tmp_path / "file"))
        assert "is a file" in refused()
        assert taken == []
        dialog.kept.folder.setText(str(tmp_path / "new"))
        dialog.accept()
        assert not dialog.isVisible()
        assert taken == [Preferences(vision_backend="onnxruntime", store=str(tmp_path / "new"))]

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
        left = (dialog.theme, dialog.threads, dialog.context, dialog.vision.backend, dialog.vision.precision)
        right = (dialog.temperature, dialog.tokens, dialog.seed, dialog.kept.folder, dialog.kept.most)
        fields = (*left, *right)
        for column in (left, right):
            assert len({field.mapTo(dialog, QPoint()).x() for field in column}) == 1
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

    def test_a_choice_of_engine_and_folder_loads_the_model_again_with_it(self, desk: Desk, tmp_path: Path) -> None:
        dialog = self.opened(desk)
        dialog.vision.backend.setCurrentIndex(BACKENDS.index("onnxruntime"))
        dialog.kept.keep.setChecked(True)
        dialog.kept.folder.setText(str(tmp_path / "kept"))
        dialog.kept.most.setValue(5)
        dialog.accept()
        desk.qtbot.waitUntil(lambda: len(desk.workers.started) == 2)
        asked = desk.worker.last(m.OpenBundle)
        assert asked.settings is not None
        assert asked.settings.vision.backend == "onnxruntime"
        assert asked.store == m.StoreFolder(os.fsencode(tmp_path / "kept"), 5 << 20)
        kept = desk.window.places.preferences
        desk.qtbot.waitUntil(lambda: preferences.load(kept).store_mb == 5)

    def test_what_is_kept_is_counted_and_forgotten(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = desk.folder / "images"
        monkeypatch.setenv(STORE_VARIABLE, str(folder))
        label = Label("features", "0" * 16, "0" * 64, "a test")
        assert ImageStore(folder).put(label, [np.zeros(2_000_000, dtype=np.uint8)])
        dialog = self.opened(desk)
        desk.qtbot.waitUntil(dialog.kept.forget_button.isEnabled)
        assert dialog.kept.forget_button.text() == "Forget kept images (2.0 MB)"
        desk.qtbot.mouseClick(dialog.kept.forget_button, LEFT)
        desk.qtbot.waitUntil(lambda: dialog.kept.forget_button.text() == "Forget kept images (0.0 MB)")
        assert not dialog.kept.forget_button.isEnabled()
        assert not ImageStore(folder).holds(label)
        dialog.reject()

    def test_another_folder_is_counted_when_it_was_typed(self, desk: Desk) -> None:
        label = Label("features", "0" * 16, "0" * 64, "a test")
        ImageStore(desk.folder / "mine").put(label, [np.zeros(7_000_000, dtype=np.uint8)])
        dialog = self.opened(desk)
        dialog.kept.folder.setText(str(desk.folder / "mine"))
        dialog.kept.folder.editingFinished.emit()
        desk.qtbot.waitUntil(lambda: "7.0 MB" in dialog.kept.forget_button.text())
        dialog.kept.show_usage(Path("/elsewhere"), 9, 9_000_000)  # what was asked about the folder before
        assert "7.0 MB" in dialog.kept.forget_button.text()
        dialog.reject()

    def opened(self, desk: Desk) -> SettingsDialog:
        desk.press(KEY.Key_Comma, CONTROL)
        dialog = desk.window.findChild(SettingsDialog)
        assert dialog is not None
        return dialog


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


def test_what_the_store_has_to_say_is_said(desk: Desk) -> None:
    desk.worker.say(m.Noted(1, "the photo is not kept for another day: No space left on device"))
    desk.qtbot.waitUntil(desk.window.notice.isVisible)
    assert "No space left" in desk.window.notice.words.text()


def test_a_model_that_is_gone_is_said_with_a_way_on(desk: Desk, tmp_path: Path) -> None:
    desk.window.controller.use_model(tmp_path / "gone")
    desk.qtbot.waitUntil(lambda: len(desk.workers.started) == 2)
    desk.worker.say(m.Failed(desk.worker.last(m.OpenBundle).id, "there is no bundle at gone", "Choose another."))
    desk.qtbot.waitUntil(desk.window.notice.isVisible)
    assert desk.window.notice.button.text() == "Choose a model …"
