"""Opens, saves, exports and remembers files for the window: dialogs, recent photos, the folder's others."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QSettings
from PySide6.QtWidgets import QFileDialog, QMainWindow, QMenu

from gpt4roi_desktop import exports, replay, session_file, surveys
from gpt4roi_desktop.controller import Controller
from gpt4roi_desktop.photo_file import SUFFIXES, is_there, neighbour
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.session import Session
from gpt4roi_desktop.views import clipboard
from gpt4roi_desktop.views.bridge import Bridge
from gpt4roi_desktop.workspace import Notice
from gpt4roi_runtime.errors import Gpt4RoiError

_MOST_RECENT = 10
_PHOTOS = " ".join(f"*{suffix}" for suffix in SUFFIXES)


class Files(QObject):
    """What the menu of files does.

    Attributes:
        recent: The menu of photos that were open.
    """

    def __init__(
        self, window: QMainWindow, controller: Controller, bridge: Bridge, settings: QSettings, places: Places
    ) -> None:
        super().__init__(window)
        self._window = window
        self._controller = controller
        self._bridge = bridge
        self._settings = settings
        self._places = places
        self.recent = QMenu(self.tr("Open &recent"), window)
        self.recent.aboutToShow.connect(self._fill_recent)

    def open_path(self, path: Path) -> None:
        """Open a photo, or a session with its photo."""
        if path.name.endswith(session_file.SUFFIX):
            self.open_session(path)
        else:
            self._controller.open_photo(path)

    def browse(self, step: int) -> None:
        """The next or previous photo of the folder."""
        session = self._controller.session
        if session is None:
            return

        def then(path: Path | None) -> None:
            if path is not None:
                self.open_path(path)
            else:
                self._window.statusBar().showMessage(self.tr("there is no further photo in this folder"), 4000)

        self._bridge.aside(partial(neighbour, session.photo.path, step), then, self.tell)

    def open_session(self, path: Path) -> None:
        """Open a session and the photo it is about, which may lie beside it."""
        try:
            session = session_file.load(path)
        except Gpt4RoiError as error:
            self.tell(error)
            return
        photo = session.photo.path
        beside = path.parent / photo.name
        self._controller.open_photo(photo if is_there(photo) or not is_there(beside) else beside, session)

    def ask_photo(self) -> None:
        """Choose a photo."""
        self._ask_file(
            QFileDialog.getOpenFileName, self.tr("Open a photo"), self.tr("Photos") + f" ({_PHOTOS})", self.open_path
        )

    def ask_session(self) -> None:
        """Choose a session."""
        kinds = self.tr("Sessions") + f" (*{session_file.SUFFIX})"
        self._ask_file(QFileDialog.getOpenFileName, self.tr("Open a session"), kinds, self.open_session)

    def ask_session_target(self) -> None:
        """Choose where to save the session."""

        def save(path: Path) -> None:
            if not path.name.endswith(session_file.SUFFIX):
                path = path.with_name(path.name + session_file.SUFFIX)
            self._write(path, lambda: session_file.save(path, self._session()))

        kinds = self.tr("Sessions") + f" (*{session_file.SUFFIX})"
        self._ask_file(QFileDialog.getSaveFileName, self.tr("Save the session"), kinds, save)

    def ask_export(self) -> None:
        """Choose where to export to, and what."""
        kinds = {
            self.tr("Table of questions (*.csv)"): ".csv",
            self.tr("JSON with everything (*.json)"): ".json",
            self.tr("JSON, a line a box (*.jsonl)"): ".jsonl",
            self.tr("COCO captions (*.coco.json)"): ".coco.json",
            self.tr("labelme (*.labelme.json)"): ".labelme.json",
            self.tr("Report (*.md)"): ".md",
            self.tr("Photo with boxes (*.png *.jpg *.webp)"): ".png",
        }
        session = self._session()
        target = str(session.photo.path.with_suffix(""))
        name, kind = QFileDialog.getSaveFileName(self._window, self.tr("Export"), target, ";;".join(kinds))
        if name:
            chosen = kinds.get(kind, "")
            self.export(exports.with_ending(Path(name), chosen), chosen)

    def export(self, path: Path, chosen: str = "") -> None:
        """Write boxes and answers for other programs, as the name's ending says, or as was chosen."""
        pixels = self._controller.pixels
        if pixels is not None:
            self._write(path, lambda: exports.export(path, self._session(), pixels, chosen))

    def ask_survey_target(self, survey_id: int) -> None:
        """Choose where to export a survey to, and what; without one, the replay."""
        session = self._session()
        survey = next((one for one in session.of_kind("survey") if one.id == survey_id), None)
        kinds = {
            self.tr("Table (*.csv)"): ".csv",
            self.tr("JSON (*.json)"): ".json",
            self.tr("JSON, a line a box (*.jsonl)"): ".jsonl",
            self.tr("COCO captions (*.coco.json)"): ".coco.json",
            self.tr("Text (*.txt)"): ".txt",
        }
        if survey is None:
            kinds = dict(list(kinds.items())[:1])
        target = str(session.photo.path.with_suffix(""))
        name, kind = QFileDialog.getSaveFileName(self._window, self.tr("Export answers"), target, ";;".join(kinds))
        if not name:
            return
        chosen = kinds.get(kind, "")
        path = Path(name) if Path(name).suffix else Path(name + chosen)
        if survey is None:
            self._write(path, lambda: replay.export(path, session))
        else:
            self._write(path, partial(surveys.export, path, session, survey, chosen))

    def _ask_file(
        self, ask: Callable[..., tuple[str, str]], title: str, kinds: str, then: Callable[[Path], None]
    ) -> None:
        session = self._controller.session
        folder = str(session.photo.path.parent) if session is not None else ""
        name, _ = ask(self._window, title, folder, kinds)
        if name:
            then(Path(name))

    def _write(self, path: Path, write: Callable[[], None]) -> None:
        self._bridge.aside(
            write,
            lambda _: self._window.statusBar().showMessage(self.tr("wrote {0}").format(path.name), 4000),
            self.tell,
        )

    def remember(self, path: Path) -> None:
        """Put a photo at the head of the recent ones."""
        recent = [str(path), *(name for name in self._recent() if name != str(path))]
        self._settings.setValue("recent", recent[:_MOST_RECENT])

    def _recent(self) -> list[str]:
        """Photos that were open, the last one first."""
        stored = self._settings.value("recent", [])
        names = [stored] if isinstance(stored, str) else stored
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

    def last_photo(self) -> Path | None:
        """What was open when the window was last closed, if it is still there."""
        return next((path for path in map(Path, self._recent()[:1]) if is_there(path)), None)

    def _fill_recent(self) -> None:
        self.recent.clear()
        for name in self._recent():
            path = Path(name)
            action = self.recent.addAction(path.name)
            action.setToolTip(name)
            action.triggered.connect(partial(self._open_recent, path))

    def _open_recent(self, path: Path, *_: object) -> None:
        self.open_path(path)

    def paste(self) -> None:
        """Open the photo on the clipboard."""
        try:
            photo = clipboard.pasted_photo(self._places)
        except Gpt4RoiError as error:
            self.tell(error)
            return
        if photo is None:
            words = self.tr("there is neither a box nor a photo on the clipboard")
            self._window.statusBar().showMessage(words, 4000)
        else:
            self.open_path(photo)

    def tell(self, error: Gpt4RoiError) -> None:
        """Say in the window what went wrong."""
        self._controller.tell(Notice(error.problem, error.advice))

    def _session(self) -> Session:
        session = self._controller.session
        assert session is not None  # noqa: S101 - the action is off without one
        return session
