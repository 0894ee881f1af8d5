"""The settings: colours, how engines run, how answers are written, what is kept. Keeps nothing itself."""

import msgspec
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from gpt4roi_desktop import preferences as limits
from gpt4roi_desktop.engines import Engine, vision_engines
from gpt4roi_desktop.preferences import Preferences, Theme
from gpt4roi_desktop.views import actions
from gpt4roi_desktop.views.kept_images_group import KeptImagesGroup
from gpt4roi_desktop.views.vision_fields import VisionFields
from gpt4roi_runtime.errors import Gpt4RoiError

_THEMES: tuple[Theme, ...] = ("system", "light", "dark")


class SettingsDialog(QDialog):
    """A form of all preferences; ``taken`` tells them. What cannot be is said in it, and it stays open.

    Args:
        preferences: As they are.
        engines: That could run the vision half; None looks which are installed.
        parent: The window.
    """

    taken = Signal(object)

    def __init__(
        self, preferences: Preferences, *, engines: tuple[Engine, ...] | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Settings"))
        self._preferences = preferences
        recommended = self.tr("as recommended")
        self.theme = QComboBox()
        for words in (self.tr("As the system"), self.tr("Light"), self.tr("Dark")):
            self.theme.addItem(words)
        self.threads = _number(0, limits.MAX_THREADS, recommended)
        self.context = _number(limits.MIN_CONTEXT - 1, limits.MAX_CONTEXT, recommended)
        self.context.setSingleStep(256)
        self.vision = VisionFields(vision_engines() if engines is None else engines, self)
        self.kept = KeptImagesGroup()
        self.temperature = QDoubleSpinBox()
        self.temperature.setRange(-0.1, limits.MAX_TEMPERATURE)
        self.temperature.setSingleStep(0.1)
        self.temperature.setDecimals(1)
        self.temperature.setSpecialValueText(recommended)
        self.tokens = _number(0, limits.MAX_ANSWER, recommended)
        self.seed = QSpinBox()
        self.seed.setRange(0, (1 << 31) - 1)
        self.refused = QLabel()
        self._lay_out()
        self.show_preferences(preferences)

    def _lay_out(self) -> None:
        self.refused.setObjectName("warning")
        self.refused.setWordWrap(True)
        self.refused.setTextFormat(Qt.TextFormat.PlainText)
        self.refused.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.refused.setAccessibleName(self.tr("What cannot be"))
        self.refused.hide()
        window = self._group(self.tr("Window"), ((self.tr("&Colours"), self.theme),))
        columns = QHBoxLayout()
        for groups in ((window, self._engines()), (self._answers(), self.kept)):
            column = QVBoxLayout()
            for group in groups:
                column.addWidget(group)
            column.addStretch(1)
            columns.addLayout(column)
        whole = QVBoxLayout(self)
        whole.addLayout(columns)
        whole.addWidget(self.refused)
        whole.addWidget(self._buttons())
        _align(self.findChildren(QLabel))

    def _engines(self) -> QGroupBox:
        group = self._group(
            self.tr("Engines"),
            (
                (self.tr("&Threads"), self.threads),
                (self.tr("Conte&xt, in rows"), self.context),
                (self.tr("&Vision engine"), self.vision.backend),
                (self.tr("Its &precision"), self.vision.precision),
            ),
        )
        note = QLabel(self.tr("The model is loaded again when these change."))
        note.setObjectName("faint")
        for each in (self.vision.note, note):
            if each is not None:
                _form(group).addRow(each)
        return group

    def _answers(self) -> QGroupBox:
        return self._group(
            self.tr("Answers"),
            (
                (self.tr("T&emperature"), self.temperature),
                (self.tr("&Most tokens"), self.tokens),
                (self.tr("&Seed"), self.seed),
            ),
        )

    def _group(self, title: str, rows: tuple[tuple[str, QWidget], ...]) -> QGroupBox:
        group = QGroupBox(title)
        form = QFormLayout(group)
        form.setHorizontalSpacing(24)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for words, field in rows:
            field.setAccessibleName(words.replace("&", ""))
            field.setMinimumWidth(210)
            form.addRow(words, field)
        return group

    def _buttons(self) -> QDialogButtonBox:
        kinds = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel | kinds.RestoreDefaults)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        buttons.button(kinds.RestoreDefaults).clicked.connect(self._restore)
        return actions.without_icons(buttons)

    def _restore(self) -> None:
        self.show_preferences(Preferences())
        self.kept.count()

    def show_preferences(self, preferences: Preferences) -> None:
        """Fill the form."""
        self.theme.setCurrentIndex(_THEMES.index(preferences.theme))
        for field in (self.threads, self.context, self.tokens):
            field.setValue(field.minimum())
        if preferences.n_threads is not None:
            self.threads.setValue(preferences.n_threads)
        if preferences.context_length is not None:
            self.context.setValue(preferences.context_length)
        if preferences.max_tokens is not None:
            self.tokens.setValue(preferences.max_tokens)
        self.temperature.setValue(-0.1 if preferences.temperature is None else preferences.temperature)
        self.seed.setValue(min(preferences.seed, self.seed.maximum()))
        self.vision.show_vision(preferences.vision())
        self.kept.show_kept(keep=preferences.keep_images, folder=preferences.store, most_mb=preferences.store_mb)

    def chosen(self) -> Preferences:
        """The preferences as the form says; what it does not show stays.

        Raises:
            SettingsError: Two of them do not go together, or nothing can be kept in the folder.
            EngineMissingError: The chosen engine is not installed.
        """
        temperature, vision = self.temperature.value(), self.vision.chosen()
        return msgspec.structs.replace(
            self._preferences,
            theme=_THEMES[self.theme.currentIndex()],
            n_threads=_or_none(self.threads),
            context_length=_or_none(self.context),
            temperature=None if temperature < 0 else temperature,
            max_tokens=_or_none(self.tokens),
            seed=self.seed.value(),
            vision_backend=vision.backend,
            vision_precision=vision.precision,
            keep_images=self.kept.keep.isChecked(),
            store=self.kept.chosen_folder(),
            store_mb=self.kept.most.value(),
        )

    def accept(self) -> None:
        """Take the choices, or say why they cannot be taken."""
        try:
            chosen = self.chosen()
        except Gpt4RoiError as error:
            self.refused.setText(f"{error.problem[:1].upper()}{error.problem[1:]}.\n{error.advice}")
            self.refused.show()
            self.adjustSize()
        else:
            self.taken.emit(chosen)
            super().accept()


def _align(labels: list[QLabel]) -> None:
    """The fields of a column below one another."""
    named = [label for label in labels if label.buddy() is not None]
    widest = max(label.sizeHint().width() for label in named)
    for label in named:
        label.setMinimumWidth(widest)


def _number(least: int, most: int, recommended: str) -> QSpinBox:
    """A number whose least value stands for none."""
    field = QSpinBox()
    field.setRange(least, most)
    field.setSpecialValueText(recommended)
    return field


def _or_none(field: QSpinBox) -> int | None:
    return None if field.value() == field.minimum() else field.value()


def _form(group: QGroupBox) -> QFormLayout:
    layout = group.layout()
    assert isinstance(layout, QFormLayout)  # noqa: S101 - made above
    return layout
