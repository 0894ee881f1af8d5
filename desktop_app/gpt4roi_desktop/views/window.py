"""The window: puts canvas, list and chat together, and turns actions into edits and calls. Keeps no state."""

from functools import partial
from pathlib import Path

import msgspec
from PySide6.QtCore import QSettings, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QKeySequence
from PySide6.QtWidgets import QApplication, QMainWindow, QWidget

from gpt4roi_desktop import edits
from gpt4roi_desktop.controller import Controller
from gpt4roi_desktop.keymap import Keys
from gpt4roi_desktop.model_process import Launch
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.preferences import Theme
from gpt4roi_desktop.session import Question, Session
from gpt4roi_desktop.views import actions, box_keys, clipboard, icons, layout, menus, theme
from gpt4roi_desktop.views.actions import Spec
from gpt4roi_desktop.views.answer_table import AnswerTable
from gpt4roi_desktop.views.box_commands import BoxCommands
from gpt4roi_desktop.views.bridge import Bridge
from gpt4roi_desktop.views.canvas import Canvas
from gpt4roi_desktop.views.chat import Chat
from gpt4roi_desktop.views.dialogs import Dialogs
from gpt4roi_desktop.views.files import Files
from gpt4roi_desktop.views.keyboard import Keyboard
from gpt4roi_desktop.views.notice_bar import NoticeBar
from gpt4roi_desktop.views.pixels import Levels, levels_of
from gpt4roi_desktop.views.region_list import RegionList
from gpt4roi_desktop.views.sight_panel import SightPanel
from gpt4roi_desktop.views.status_line import StatusLine
from gpt4roi_desktop.views.theme_menu import ThemeMenu
from gpt4roi_desktop.views.undo import Edits
from gpt4roi_desktop.workspace import Change
from gpt4roi_runtime.errors import Gpt4RoiError

_KEEP_AFTER_MS = 800
_NEED_BOXES = ("copy", "duplicate", "delete", "lock", "hide", "up", "down")
_NEED_PHOTO = ("next", "previous", "save_session", "export", "draw", "zoom_in", "zoom_out", "fit", "actual", "all")


class Window(QMainWindow):
    """One photo, its regions, the talk about them."""

    def __init__(self, launch: Launch, places: Places) -> None:
        super().__init__()
        self.places = places
        self.settings = QSettings(str(places.settings), QSettings.Format.IniFormat)
        self.bridge = Bridge(self)
        self.controller = Controller(launch, self.bridge, places, self._changed)
        self.edits = Edits(self.controller, self)
        self.files = Files(self, self.controller, self.bridge, self.settings, places)
        self.dialogs = Dialogs(self, self.controller, self.bridge, self.files, places)
        self.canvas, self.chat, self.list = Canvas(), Chat(), RegionList()
        self.regions = layout.Regions(self.list)
        self.notice, self.status = NoticeBar(), StatusLine()
        self.sight, self.answers = SightPanel(self), AnswerTable(self)
        self.boxes = BoxCommands(self.controller, self.edits, self._mention, self)
        self._keep = QTimer(self, singleShot=True, interval=_KEEP_AFTER_MS)
        self._keep.timeout.connect(self.controller.keep)
        self.setCentralWidget(layout.with_side(self.canvas, layout.side_of(self.regions, self.chat), self.notice))
        self.setStatusBar(self.status)
        self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.sight)
        self.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, self.answers)
        self.sight.hide()
        self.answers.hide()
        self._add_actions()
        self._connect_canvas()
        self._connect_talk()
        self.setWindowTitle("GPT4RoI")
        self.setWindowIcon(icons.logo())
        self.resize(1240, 800)
        for name, restore in (("geometry", self.restoreGeometry), ("state", self.restoreState)):
            remembered = self.settings.value(name)
            if remembered is not None:
                restore(remembered)
        self._dress()
        self._show_all()
        self.canvas.setFocus()

    # -- what can be done ----------------------------------------------------------------------------------------

    def _add_actions(self) -> None:
        self.themes = ThemeMenu(self)
        self.themes.chosen.connect(self.choose_theme)
        self.actions_by_name = actions.make(self, self._specs())
        self.actions_by_name |= box_keys.undo_actions(self, self.edits.stack, self.tr("&Undo"), self.tr("&Redo"))
        self.actions_by_name["sight"] = actions.panel(self, self.sight, "Ctrl+I", "grid")
        self.actions_by_name["answers"] = actions.panel(self, self.answers, "Ctrl+T", "table")
        box_keys.add_digits(self, self.boxes)
        box_keys.add_arrows(self.canvas, self.boxes)
        menus.fill_menu_bar(self, self.actions_by_name, {"recent": self.files.recent, "themes": self.themes})
        self.addToolBar(menus.toolbar(self.actions_by_name))
        self.keyboard = Keyboard(self.actions_by_name, (self.canvas,), self, self.dialogs.open)
        self.keyboard.chosen.connect(self.choose_keys)

    def _specs(self) -> tuple[Spec, ...]:
        canvas, controller, boxes, key = self.canvas, self.controller, self.boxes, QKeySequence.StandardKey
        return (
            Spec("open", self.tr("&Open photo …"), self.files.ask_photo, (key.Open,), "open"),
            Spec("camera", self.tr("&Camera …"), self.dialogs.camera, ("Ctrl+K",), "camera"),
            Spec("next", self.tr("&Next photo of the folder"), partial(self.files.browse, 1), ("PgDown",)),
            Spec("previous", self.tr("&Previous photo of the folder"), partial(self.files.browse, -1), ("PgUp",)),
            Spec("open_session", self.tr("Open &session …"), self.files.ask_session, ("Ctrl+Shift+O",)),
            Spec("save_session", self.tr("&Save session as …"), self.files.ask_session_target, (key.Save,)),
            Spec("export", self.tr("&Export …"), self.files.ask_export, ("Ctrl+E",)),
            Spec("quit", self.tr("&Quit"), self.close, ("Ctrl+Q",)),
            Spec("copy", self.tr("&Copy"), boxes.copy, (key.Copy,)),
            Spec("paste", self.tr("&Paste boxes or photo"), self.paste, (key.Paste,)),
            Spec("duplicate", self.tr("D&uplicate"), boxes.duplicate, ("Ctrl+D",)),
            Spec("delete", self.tr("&Delete"), boxes.delete, ("Delete", "Backspace")),
            Spec("all", self.tr("Select &all"), boxes.select_all, (key.SelectAll,)),
            Spec("lock", self.tr("&Lock or unlock"), boxes.lock, ("L",)),
            Spec("hide", self.tr("&Hide or show"), boxes.hide, ("H",)),
            Spec("up", self.tr("Number one &up"), partial(boxes.renumber, -1), ("Ctrl+Up",)),
            Spec("down", self.tr("Number one d&own"), partial(boxes.renumber, 1), ("Ctrl+Down",)),
            Spec("draw", self.tr("Draw a &box"), canvas.draw_next, ("R",), "box"),
            Spec("suggest", self.tr("&Suggest boxes"), controller.propose, ("G",), "suggest"),
            Spec("adopt", self.tr("&Adopt all suggestions"), boxes.adopt_all, ("Shift+G",)),
            Spec("zoom_in", self.tr("Zoom &in"), partial(canvas.zoom_by, 1.25), ("Ctrl++", "Ctrl+=", "+"), "zoom_in"),
            Spec("zoom_out", self.tr("Zoom &out"), partial(canvas.zoom_by, 0.8), ("Ctrl+-", "-"), "zoom_out"),
            Spec("fit", self.tr("&Fit"), canvas.fit, ("F", "Ctrl+F"), "fit"),
            Spec("actual", self.tr("&100 %"), canvas.actual_size, ("Ctrl+0",)),
            Spec("question", self.tr("Go to the &question"), self.chat.box.setFocus, ("/",)),
            Spec("photo", self.tr("Go to the &photo"), canvas.setFocus, ("F6",)),
            Spec("cancel", self.tr("S&top or deselect"), self.cancel, ("Esc",)),
            Spec("dialogue", self.tr("&New dialogue"), controller.new_dialogue, ("Ctrl+N",)),
            Spec("each", self.tr("Ask the question about &every box"), self.ask_typed_of_each, ("Ctrl+Return",)),
            Spec("replay", self.tr("&Replay the session"), self.replay),
            Spec("model", self.tr("&Choose a model …"), self.dialogs.choose_model),
            Spec("settings", self.tr("&Settings …"), self.dialogs.settings, ("Ctrl+,",)),
            Spec("help", self.tr("&Keyboard and mouse"), lambda: self.keyboard.show_sheet(), ("?", "F1"), "help"),
            Spec("keys", self.tr("&Change the keys …"), lambda: self.keyboard.change()),
        )

    def _connect_canvas(self) -> None:
        canvas, boxes = self.canvas, self.boxes
        canvas.box_drawn.connect(boxes.draw)
        canvas.boxes_reshaped.connect(boxes.reshape)
        canvas.region_clicked.connect(boxes.click)
        canvas.ground_clicked.connect(lambda: boxes.choose([]))
        canvas.proposal_clicked.connect(boxes.adopt)
        canvas.cycled.connect(boxes.cycle)
        canvas.files_dropped.connect(lambda paths: self.files.open_path(Path(paths[0])))
        canvas.zoomed.connect(self.status.show_zoom)
        self.list.chosen.connect(boxes.choose)
        self.list.lock_clicked.connect(lambda region_id: boxes.lock({region_id}))
        self.list.eye_clicked.connect(lambda region_id: boxes.hide({region_id}))

    def _connect_talk(self) -> None:
        chat, controller = self.chat, self.controller
        for source in (self.list.hovered, chat.hovered):
            source.connect(self.canvas.light)
        chat.asked.connect(self.ask)
        chat.asked_each.connect(self.ask_each)
        self.answers.region_chosen.connect(lambda region_id: self.boxes.choose([region_id]))
        self.answers.stopped.connect(controller.stop_kind)
        self.answers.export_wanted.connect(self.files.ask_survey_target)
        chat.drafted.connect(lambda question: self.boxes.change(partial(edits.write, draft=question)))
        chat.stopped.connect(controller.stop)
        chat.asked_again.connect(controller.ask_again)
        chat.edited.connect(self.edit_question)
        chat.dialogue_begun.connect(controller.new_dialogue)
        self.sight.watched.connect(lambda watched: controller.looking.watch(watched=watched))
        self.notice.closed.connect(lambda: controller.tell(None))
        self.notice.remedied.connect(self._remedy)
        application = QApplication.instance()
        assert isinstance(application, QApplication)  # noqa: S101 - or there would be no window
        application.focusChanged.connect(self._focus_changed)

    # -- what is shown -------------------------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        """Show what the controller says is new."""
        match change:
            case "photo":
                self._show_photo()
            case "proposals":
                self.canvas.show_proposals(self.controller.proposals)
            case "preferences":
                self._dress()
            case "notice":
                self.notice.show_notice(self.controller.notice)
            case "session":
                self._keep.start()
        self.sight.show_looking(self.controller.looking, self.controller.session)
        if change != "notice":
            self._show_all()

    def _dress(self) -> None:
        chosen = self.controller.preferences.theme
        self.keyboard.use(self.controller.preferences.shortcuts)
        self.themes.tick(chosen)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            theme.choose(application, chosen)

    def _show_all(self) -> None:
        session = self.controller.session
        self.canvas.show_session(session)
        self.list.show_session(session, self.controller.looking.grid)
        self.regions.show_list(filled=session is not None and bool(session.regions))
        self.chat.show_session(session, self.controller.running)
        self.answers.show_session(session)
        self.status.show_status(self.controller)
        self._allow(session)

    def _allow(self, session: Session | None) -> None:
        by_name = self.actions_by_name
        for name in _NEED_BOXES:
            by_name[name].setEnabled(session is not None and bool(session.selected))
        for name in _NEED_PHOTO:
            by_name[name].setEnabled(session is not None)
        by_name["suggest"].setEnabled(self.controller.can_propose)
        by_name["each"].setEnabled(session is not None and bool(session.regions))
        answered = session is not None and any(each.state == "done" for each in session.exchanges() if not each.of)
        by_name["replay"].setEnabled(answered)
        by_name["adopt"].setEnabled(bool(self.controller.proposals))

    def _show_photo(self) -> None:
        session, pixels = self.controller.session, self.controller.pixels
        if session is None or pixels is None:
            return
        self.edits.stack.clear()
        self.setWindowTitle(f"{session.photo.path.name} - GPT4RoI")
        self.files.remember(session.photo.path)

        def show(levels: Levels) -> None:
            if pixels is self.controller.pixels:
                self.canvas.show_photo(levels)

        self.bridge.aside(partial(levels_of, pixels), show, self.files.tell)

    # -- questions -----------------------------------------------------------------------------------------------

    def _mention(self, region_id: int) -> None:
        self.chat.box.insert_chip(region_id)
        self.chat.box.setFocus()

    def _focus_changed(self, old: QWidget | None, new: QWidget | None) -> None:
        if new is not None:
            typed = bool(self.chat.box.toPlainText().strip())
            self.boxes.typing = new is self.canvas and old is self.chat.box and typed

    def paste(self) -> None:
        """Boxes that were copied, or else a photo."""
        if not self.boxes.paste():
            self.files.paste()

    def ask(self, question: Question) -> None:
        """Ask; what cannot be asked is said, and stays in the box."""
        try:
            self.controller.ask(question)
        except Gpt4RoiError as error:
            self.files.tell(error)

    def ask_each(self, question: Question) -> None:
        """Ask about every box, and show the table that fills."""
        try:
            survey_id = self.controller.ask_each(question)
        except Gpt4RoiError as error:
            self.files.tell(error)
        else:
            self.answers.choose(survey_id)

    def ask_typed_of_each(self) -> None:
        """The question in the box, about every box in turn."""
        self.ask_each(self.chat.box.question())

    def replay(self) -> None:
        """Ask everything once more, and show both answers side by side."""
        self.controller.replay()
        self.answers.choose_replay()

    def edit_question(self, exchange_id: int) -> None:
        """A question that was asked, in the box again, to be asked differently."""
        exchange = None if self.controller.session is None else self.controller.session.exchange(exchange_id)
        if exchange is not None:
            self.boxes.change(partial(edits.write, draft=exchange.question))
            self.chat.box.setFocus()

    def cancel(self) -> None:
        """Esc: the nearest thing that can be given up."""
        session = self.controller.session
        if self.canvas.is_busy:
            self.canvas.abandon()
        elif self.controller.running is not None:
            self.controller.stop(self.controller.running)
        elif self.controller.proposals:
            self.controller.drop_proposals()
        elif self.chat.box.hasFocus():
            self.canvas.setFocus()
        elif session is not None:
            self.boxes.choose([])

    def choose_theme(self, chosen: Theme) -> None:
        """Light, dark, or as the system is; remembered."""
        self.controller.prefer(msgspec.structs.replace(self.controller.preferences, theme=chosen))

    def choose_keys(self, shortcuts: dict[str, Keys]) -> None:
        """Other keys for some actions; remembered."""
        self.controller.prefer(msgspec.structs.replace(self.controller.preferences, shortcuts=shortcuts))

    def _remedy(self, remedy: str) -> None:
        if remedy == "restart":
            self.controller.restart()
        elif remedy == "choose_model":
            self.dialogs.choose_model()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 - Qt's name
        """Remember everything, end the model's process; what takes long is left to ``bridge.join``."""
        self.settings.setValue("geometry", self.saveGeometry())
        self.settings.setValue("state", self.saveState())
        self._keep.stop()
        self.dialogs.close()
        self.hide()
        self.controller.close()
        self.bridge.close()
        clipboard.let_go()
        super().closeEvent(event)
