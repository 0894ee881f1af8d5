"""Which engine runs the vision half, and in what precision; what is not installed cannot be chosen. Loads no engine."""

from collections.abc import Iterable

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QComboBox, QLabel

from gpt4roi_desktop.engines import Engine, check_installed
from gpt4roi_runtime.backends.vision_settings import BACKENDS, PRECISIONS, VisionSettings


class VisionFields(QObject):
    """Two choices and the words below them.

    Args:
        engines: That could run it.
        parent: The dialog.

    Attributes:
        backend: The choice of an engine.
        precision: Of what it multiplies in.
        note: How to install what is missing; None where nothing is.
    """

    def __init__(self, engines: tuple[Engine, ...], parent: QObject) -> None:
        super().__init__(parent)
        self._engines = engines
        self.backend, self.precision = QComboBox(), QComboBox()
        words = {each.name: each.words for each in engines}
        missing = {each.name for each in engines if each.install}
        for backend in BACKENDS:
            name = self.tr("as measured") if backend == "auto" else words.get(backend, backend)
            self.backend.addItem(self.tr("{0} (not installed)").format(name) if backend in missing else name)
        for words_of_it in (self.tr("as recommended"), "float32", "bfloat16"):
            self.precision.addItem(words_of_it)
        self.backend.setToolTip(
            self.tr("`gpt4roi doctor --tune` measures which is the fastest here; until then it is ONNX Runtime")
        )
        _disable(self.backend, (place for place, each in enumerate(BACKENDS) if each in missing))
        if "openvino" in missing:
            _disable(self.precision, (PRECISIONS.index("bf16"),))
        self.note = self._note()

    def _note(self) -> QLabel | None:
        lines = [f"{each.words}: {each.install}" for each in self._engines if each.install]
        if not lines:
            return None
        note = QLabel("\n".join(lines))
        note.setObjectName("faint")
        note.setTextFormat(Qt.TextFormat.PlainText)
        note.setWordWrap(True)
        note.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        note.setAccessibleName(self.tr("How to install what is missing"))
        return note

    def show_vision(self, vision: VisionSettings) -> None:
        """Fill the fields."""
        self.backend.setCurrentIndex(BACKENDS.index(vision.backend))
        self.precision.setCurrentIndex(PRECISIONS.index(vision.precision))

    def chosen(self) -> VisionSettings:
        """What the fields say.

        Raises:
            SettingsError: The two do not go together.
            EngineMissingError: It is not installed.
        """
        vision = VisionSettings(BACKENDS[self.backend.currentIndex()], PRECISIONS[self.precision.currentIndex()])
        check_installed(vision, self._engines)
        return vision


def _disable(field: QComboBox, places: Iterable[int]) -> None:
    model = field.model()
    assert isinstance(model, QStandardItemModel)  # noqa: S101 - as Qt makes it
    for place in places:
        model.item(place).setEnabled(False)
