"""Whether images stay on disk, where and how much of it; tells what is to be counted or forgotten. Touches no file."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from gpt4roi_desktop import preferences as limits
from gpt4roi_desktop.kept_images import checked_folder, folder_of


class KeptImagesGroup(QGroupBox):
    """A part of the settings' form.

    ``count_wanted`` and ``forget_wanted`` name a folder; ``show_usage`` is the answer to both.
    """

    count_wanted = Signal(object)
    forget_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTitle(self.tr("Images on disk"))
        self.keep = QCheckBox(self.tr("&Keep images on disk"))
        self.keep.setAccessibleName(self.tr("Keep images on disk"))
        self.folder = QLineEdit()
        self.folder.setPlaceholderText(str(folder_of("")))
        self.folder.setMaxLength(limits.MAX_PATH)
        self.folder.setMinimumWidth(180)
        self.folder.setAccessibleName(self.tr("Folder of kept images"))
        self.choose_button = QPushButton("…")
        self.choose_button.setAccessibleName(self.tr("Choose the folder of kept images"))
        self.choose_button.setToolTip(self.tr("Choose a folder"))
        self.most = QSpinBox()
        self.most.setRange(1, limits.MAX_STORE_MB)
        self.most.setSingleStep(256)
        self.most.setSuffix(" MiB")
        self.most.setAccessibleName(self.tr("Most MiB on disk"))
        self.forget_button = QPushButton()
        self._counted: object = None
        self._lay_out()
        self._show_waiting()
        self.folder.editingFinished.connect(self._leave_folder)
        self.choose_button.clicked.connect(self._ask_folder)
        self.forget_button.clicked.connect(self._forget)

    def _lay_out(self) -> None:
        note = QLabel(
            self.tr("A photo that was open before is then ready at once. What is kept tells what the photo shows.")
        )
        note.setObjectName("faint")
        note.setWordWrap(True)
        across = QHBoxLayout()
        across.addWidget(self.folder, 1)
        across.addWidget(self.choose_button)
        form = QFormLayout(self)
        form.setHorizontalSpacing(24)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(self.keep)
        form.addRow(note)
        label = QLabel(self.tr("&Folder"))
        label.setBuddy(self.folder)
        form.addRow(label, across)
        form.addRow(self.tr("At m&ost"), self.most)
        form.addRow(self.forget_button)

    def show_kept(self, *, keep: bool, folder: str, most_mb: int) -> None:
        """Fill the form."""
        self.keep.setChecked(keep)
        self.folder.setText(folder)
        self.most.setValue(most_mb)

    def chosen_folder(self) -> str:
        """The folder as it is remembered; empty is the usual one.

        Raises:
            SettingsError: Nothing could be kept there.
        """
        return checked_folder(self.folder.text())

    def count(self) -> None:
        """Ask how much is kept in the folder that the form names."""
        self._show_waiting()
        self._counted = self._named()
        self.count_wanted.emit(self._counted)

    def show_usage(self, folder: object, n_files: int, n_bytes: int) -> None:
        """How much is kept in a folder; of one that the form names no more, nothing."""
        if folder == self._named():
            self.forget_button.setEnabled(n_files > 0)
            self._say(self.tr("Forget kept images ({0:.1f} MB)").format(n_bytes / 1e6))

    def _leave_folder(self) -> None:
        """Count another folder; a field that was only passed must not take the button away from Tab."""
        if self._named() != self._counted:
            self.count()

    def _named(self) -> object:
        return folder_of(self.folder.text().strip()).expanduser()

    def _forget(self) -> None:
        self._show_waiting()
        self.forget_wanted.emit(self._named())

    def _show_waiting(self) -> None:
        self.forget_button.setEnabled(False)
        self._say(self.tr("Forget kept images"))

    def _say(self, words: str) -> None:
        self.forget_button.setText(words)
        self.forget_button.setAccessibleName(words)

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Choose a folder for kept images"))
        if folder:
            self.folder.setText(folder)
            self.count()
