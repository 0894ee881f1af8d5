"""The settings: colours, how engines run, how answers are written. Keeps nothing; the caller reads ``chosen``."""

import msgspec
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QLabel,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from gpt4roi_desktop import preferences as limits
from gpt4roi_desktop.preferences import Preferences, Theme
from gpt4roi_desktop.views import actions

_THEMES: tuple[Theme, ...] = ("system", "light", "dark")


class SettingsDialog(QDialog):
    """A form of all preferences.

    Args:
        preferences: As they are.
        parent: The window.
    """

    def __init__(self, preferences: Preferences, *, parent: QWidget | None = None) -> None:
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
        self.temperature = QDoubleSpinBox()
        self.temperature.setRange(-0.1, limits.MAX_TEMPERATURE)
        self.temperature.setSingleStep(0.1)
        self.temperature.setDecimals(1)
        self.temperature.setSpecialValueText(recommended)
        self.tokens = _number(0, limits.MAX_ANSWER, recommended)
        self.seed = QSpinBox()
        self.seed.setRange(0, (1 << 31) - 1)
        whole = QVBoxLayout(self)
        whole.addWidget(self._group(self.tr("Window"), ((self.tr("&Colours"), self.theme),)))
        whole.addWidget(self._engines())
        whole.addWidget(self._answers())
        whole.addWidget(self._buttons())
        self._align()
        self.show_preferences(preferences)

    def _engines(self) -> QGroupBox:
        group = self._group(
            self.tr("Engines"), ((self.tr("&Threads"), self.threads), (self.tr("Conte&xt, in rows"), self.context))
        )
        note = QLabel(self.tr("The model is loaded again when these change."))
        note.setObjectName("faint")
        _form(group).addRow(note)
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
            field.setMinimumWidth(180)
            form.addRow(words, field)
        return group

    def _align(self) -> None:
        """Fields of all groups below one another."""
        labels = [label for label in self.findChildren(QLabel) if label.buddy() is not None]
        widest = max(label.sizeHint().width() for label in labels)
        for label in labels:
            label.setMinimumWidth(widest)

    def _buttons(self) -> QDialogButtonBox:
        kinds = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel | kinds.RestoreDefaults)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        buttons.button(kinds.RestoreDefaults).clicked.connect(lambda: self.show_preferences(Preferences()))
        return actions.without_icons(buttons)

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

    def chosen(self) -> Preferences:
        """The preferences as the form says; what it does not show stays."""
        temperature = self.temperature.value()
        return msgspec.structs.replace(
            self._preferences,
            theme=_THEMES[self.theme.currentIndex()],
            n_threads=_or_none(self.threads),
            context_length=_or_none(self.context),
            temperature=None if temperature < 0 else temperature,
            max_tokens=_or_none(self.tokens),
            seed=self.seed.value(),
        )


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
