"""The window: puts canvas, list and chat together, and turns actions into edits and calls. Keeps no state."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QSettings, Qt, QTimer
from PySide6.QtGui import QAction, QActionGroup, QCloseEvent, QKeySequence
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QMenu,
    QSplitter,
    QToolBar,
    QVBoxLayout,
    QWidget,
)

from gpt4roi_desktop import edits
from gpt4roi_desktop.controller import Change, Controller, Launch
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.session import Question, Session
from gpt4roi_desktop.views import actions, clipboard, icons, theme
from gpt4roi_desktop.views.actions import Spec
from gpt4roi_desktop.views.bridge import Bridge
from gpt4roi_desktop.views.canvas import Canvas
from gpt4roi_desktop.views.chat import Chat
from gpt4roi_desktop.views.files import Files
from gpt4roi_desktop.views.notice_bar import NoticeBar
from gpt4roi_desktop.views.pixels import levels_of
from gpt4roi_desktop.views.region_list import RegionList
from gpt4roi_desktop.views.shortcuts import ShortcutSheet
from gpt4roi_desktop.views.status_line import StatusLine
from gpt4roi_desktop.views.undo import Edits
from gpt4roi_runtime.errors import Gpt4RoiError
from gpt4roi_runtime.geometry import Box

_KEEP_AFTER_MS = 800


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
        self.canvas, self.chat, self.list = Canvas(), Chat(), RegionList()
        self.notice, self.status = NoticeBar(), StatusLine()
        self.suggestions = QLabel()
        self._from_text = False
        self._keep = QTimer(self, singleShot=True, interval=_KEEP_AFTER_MS)
        self._keep.timeout.connect(self.controller.keep)
        self.actions_by_name = actions.make(self, self._specs())
        self._undo_actions()
        self._lay_out()
        self._fill_menus()
        self._fill_toolbar()
        self._connect()
        self.setWindowTitle("GPT4RoI")
        self.setWindowIcon(icons.logo())
        self.resize(1240, 800)
        geometry = self.settings.value("geometry")
        if geometry is not None:
            self.restoreGeometry(geometry)
        self._show_all()
        self.canvas.setFocus()

    # -- looks ---------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        heading = QLabel(self.tr("Regions"))
        heading.setObjectName("heading")
        self.empty = QLabel(self.tr("Drag on the photo to draw a box."))
        self.empty.setObjectName("faint")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        upper = QWidget()
        upper.setObjectName("talk")
        column = QVBoxLayout(upper)
        column.setContentsMargins(0, 10, 0, 4)
        column.setSpacing(4)
        row = QHBoxLayout()
        row.setContentsMargins(16, 0, 16, 0)
        row.addWidget(heading)
        column.addLayout(row)
        column.addWidget(self.empty, 1)
        column.addWidget(self.list, 1)
        side = QSplitter(Qt.Orientation.Vertical)
        side.setObjectName("side")
        side.addWidget(upper)
        side.addWidget(self.chat)
        side.setStretchFactor(1, 1)
        side.setSizes([170, 600])
        side.setChildrenCollapsible(False)
        across = QSplitter(Qt.Orientation.Horizontal)
        across.addWidget(self.canvas)
        across.addWidget(side)
        across.setStretchFactor(0, 1)
        across.setSizes([840, 400])
        across.setChildrenCollapsible(False)
        side.setMinimumWidth(340)
        whole = QWidget()
        down = QVBoxLayout(whole)
        down.setContentsMargins(0, 0, 0, 0)
        down.setSpacing(0)
        down.addWidget(self.notice)
        down.addWidget(across, 1)
        self.setCentralWidget(whole)
        self.setStatusBar(self.status)

    def _specs(self) -> tuple[Spec, ...]:
        canvas, controller, key = self.canvas, self.controller, QKeySequence.StandardKey
        return (
            Spec("open", self.tr("&Open photo …"), self.files.ask_photo, (key.Open,), "open"),
            Spec("next", self.tr("&Next photo of the folder"), partial(self.files.browse, 1), ("PgDown",)),
            Spec("previous", self.tr("&Previous photo of the folder"), partial(self.files.browse, -1), ("PgUp",)),
            Spec("open_session", self.tr("Open &session …"), self.files.ask_session, ("Ctrl+Shift+O",)),
            Spec("save_session", self.tr("&Save session as …"), self.files.ask_session_target, (key.Save,)),
            Spec("export", self.tr("&Export …"), self.files.ask_export, ("Ctrl+E",)),
            Spec("quit", self.tr("&Quit"), self.close, ("Ctrl+Q",)),
            Spec("copy", self.tr("&Copy"), self.copy, (key.Copy,)),
            Spec("paste", self.tr("&Paste boxes or photo"), self.paste, (key.Paste,)),
            Spec("duplicate", self.tr("D&uplicate"), self._edit(self.tr("duplicate"), edits.duplicate), ("Ctrl+D",)),
            Spec("delete", self.tr("&Delete"), self.delete, ("Delete", "Backspace")),
            Spec("all", self.tr("Select &all"), self._edit("", edits.select_all), (key.SelectAll,)),
            Spec("lock", self.tr("&Lock or unlock"), partial(self.lock, None), ("L",)),
            Spec("hide", self.tr("&Hide or show"), partial(self.hide_regions, None), ("H",)),
            Spec("up", self.tr("Number one &up"), partial(self.renumber, -1), ("Ctrl+Up",)),
            Spec("down", self.tr("Number one d&own"), partial(self.renumber, 1), ("Ctrl+Down",)),
            Spec("draw", self.tr("Draw a &box"), canvas.draw_next, ("R",), "box"),
            Spec("suggest", self.tr("&Suggest boxes"), controller.propose, ("G",), "suggest"),
            Spec("adopt", self.tr("&Adopt all suggestions"), self.adopt_all, ("Shift+G",)),
            Spec("zoom_in", self.tr("Zoom &in"), partial(canvas.zoom_by, 1.25), ("Ctrl++", "Ctrl+=", "+"), "zoom_in"),
            Spec("zoom_out", self.tr("Zoom &out"), partial(canvas.zoom_by, 0.8), ("Ctrl+-", "-"), "zoom_out"),
            Spec("fit", self.tr("&Fit"), canvas.fit, ("F", "Ctrl+F"), "fit"),
            Spec("actual", self.tr("&100 %"), canvas.actual_size, ("Ctrl+0",)),
            Spec("question", self.tr("Go to the &question"), self.chat.box.setFocus, ("/",)),
            Spec("photo", self.tr("Go to the &photo"), canvas.setFocus, ("F6",)),
            Spec("cancel", self.tr("S&top or deselect"), self.cancel, ("Esc",)),
            Spec("dialogue", self.tr("&New dialogue"), controller.new_dialogue, ("Ctrl+N",)),
            Spec("model", self.tr("&Choose a model …"), self.files.ask_model),
            Spec("help", self.tr("&Keyboard and mouse"), self.show_keys, ("?", "F1"), "help"),
        )

    def _undo_actions(self) -> None:
        stack, standard = self.edits.stack, QKeySequence.StandardKey
        undo, redo = stack.createUndoAction(self, self.tr("&Undo")), stack.createRedoAction(self, self.tr("&Redo"))
        undo.setShortcut(QKeySequence(standard.Undo))
        redo.setShortcuts([QKeySequence("Ctrl+Shift+Z"), QKeySequence("Ctrl+Y")])
        for name, action in (("undo", undo), ("redo", redo)):
            action.setIcon(icons.icon(name))
            self.actions_by_name[name] = action
            self.addAction(action)
        for number in range(1, 10):
            choose = QAction(self)
            choose.setShortcut(QKeySequence(str(number)))
            choose.triggered.connect(partial(self._number_pressed, number))
            self.addAction(choose)
        for key, dx, dy in (("Left", -1, 0), ("Right", 1, 0), ("Up", 0, -1), ("Down", 0, 1)):
            for prefix, step in (("", 1), ("Shift+", 10)):
                push = QAction(self.canvas)
                push.setShortcut(QKeySequence(prefix + key))
                push.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)  # arrows walk in lists and text
                push.triggered.connect(partial(self._nudge, dx * step, dy * step))
                self.canvas.addAction(push)

    def _groups(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (
            (
                self.tr("&File"),
                ("open", "recent", "next", "previous", "-", "open_session", "save_session", "export", "-", "quit"),
            ),
            (
                self.tr("&Edit"),
                ("undo", "redo", "-", "copy", "paste", "duplicate", "delete", "-", "all", "lock", "hide", "up", "down"),
            ),
            (self.tr("&Boxes"), ("draw", "suggest", "adopt")),
            (self.tr("&View"), ("zoom_in", "zoom_out", "fit", "actual", "-", "question", "photo", "-", "themes")),
            (self.tr("&Model"), ("dialogue", "cancel", "-", "model")),
            (self.tr("&Help"), ("help",)),
        )

    def _fill_menus(self) -> None:
        self.themes = self._theme_menu()
        for title, names in self._groups():
            menu = self.menuBar().addMenu(title)
            for name in names:
                if name == "-":
                    menu.addSeparator()
                elif name in ("recent", "themes"):
                    menu.addMenu(self.files.recent if name == "recent" else self.themes)
                else:
                    menu.addAction(self.actions_by_name[name])

    def _theme_menu(self) -> QMenu:
        menu = QMenu(self.tr("&Theme"), self)
        group = QActionGroup(self)
        chosen = self.settings.value("theme", "system")
        wishes: tuple[tuple[theme.Wish, str], ...] = (
            ("system", self.tr("&As the system")),
            ("light", self.tr("&Light")),
            ("dark", self.tr("&Dark")),
        )
        for wish, words in wishes:
            action = group.addAction(words)
            action.setCheckable(True)
            action.setChecked(wish == chosen)
            action.triggered.connect(partial(self.choose_theme, wish))
            menu.addAction(action)
            if wish == chosen != "system":
                self.choose_theme(wish)
        return menu

    def choose_theme(self, wish: theme.Wish, *_: object) -> None:
        """Light, dark, or as the system is; remembered."""
        self.settings.setValue("theme", wish)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            theme.choose(application, wish)
        self.canvas.viewport().update()

    def _fill_toolbar(self) -> None:
        bar = QToolBar(self.tr("Tools"))
        bar.setMovable(False)
        bar.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        short = {"open": self.tr("Open"), "draw": self.tr("Draw"), "suggest": self.tr("Suggest boxes")}
        for name in ("open", "-", "undo", "redo", "-", "draw", "suggest", "-", "zoom_out", "zoom_in", "fit", "actual"):
            if name == "-":
                bar.addSeparator()
                continue
            action = self.actions_by_name[name]
            if name in short:
                action.setIconText(short[name])
            bar.addAction(action)
            button = bar.widgetForAction(action)
            button.setAccessibleName(action.text().replace("&", ""))
            if name not in ("open", "draw", "suggest", "actual"):
                button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)  # type: ignore[attr-defined]
        room = QWidget()
        room.setSizePolicy(room.sizePolicy().Policy.Expanding, room.sizePolicy().Policy.Preferred)
        bar.addWidget(room)
        bar.addAction(self.actions_by_name["help"])
        bar.widgetForAction(self.actions_by_name["help"]).setToolButtonStyle(  # type: ignore[attr-defined]
            Qt.ToolButtonStyle.ToolButtonIconOnly
        )
        self.addToolBar(bar)

    def _connect(self) -> None:
        canvas, chat, controller = self.canvas, self.chat, self.controller
        canvas.box_drawn.connect(self._drawn)
        canvas.boxes_reshaped.connect(self._reshaped)
        canvas.region_clicked.connect(self._region_clicked)
        canvas.ground_clicked.connect(lambda: self._change(partial(edits.select, ids=())))
        canvas.proposal_clicked.connect(self.adopt)
        canvas.cycled.connect(lambda step: self._change(partial(edits.cycle, step=step)))
        canvas.files_dropped.connect(lambda paths: self.files.open_path(Path(paths[0])))
        canvas.zoomed.connect(self.status.show_zoom)
        self.list.chosen.connect(lambda ids: self._change(partial(edits.select, ids=ids)))
        self.list.lock_clicked.connect(lambda region_id: self.lock({region_id}))
        self.list.eye_clicked.connect(lambda region_id: self.hide_regions({region_id}))
        for source in (self.list.hovered, chat.hovered):
            source.connect(canvas.light)
        chat.asked.connect(self.ask)
        chat.drafted.connect(lambda question: self._change(partial(edits.write, draft=question)))
        chat.stopped.connect(controller.stop)
        chat.asked_again.connect(controller.ask_again)
        chat.edited.connect(self.edit_question)
        chat.dialogue_begun.connect(controller.new_dialogue)
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
            case "notice":
                self.notice.show_notice(self.controller.notice)
            case "session":
                self._keep.start()
        if change in ("session", "photo", "status", "proposals"):
            self._show_all()

    def _show_all(self) -> None:
        session = self.controller.session
        self.canvas.show_session(session)
        self.list.show_session(session)
        has_regions = session is not None and bool(session.regions)
        self.list.setVisible(has_regions)
        self.empty.setVisible(not has_regions)
        self.chat.show_session(session, self.controller.running)
        self.status.show_status(self.controller)
        self._allow(session)

    def _allow(self, session: Session | None) -> None:
        chosen = session is not None and bool(session.selected)
        by_name = self.actions_by_name
        for name in ("copy", "duplicate", "delete", "lock", "hide", "up", "down"):
            by_name[name].setEnabled(chosen)
        for name in (
            "next",
            "previous",
            "save_session",
            "export",
            "draw",
            "zoom_in",
            "zoom_out",
            "fit",
            "actual",
            "all",
        ):
            by_name[name].setEnabled(session is not None)
        by_name["suggest"].setEnabled(self.controller.can_propose)
        by_name["adopt"].setEnabled(bool(self.controller.proposals))

    def _show_photo(self) -> None:
        session, pixels = self.controller.session, self.controller.pixels
        if session is None or pixels is None:
            return
        self.edits.stack.clear()
        self.setWindowTitle(f"{session.photo.path.name} - GPT4RoI")
        self.files.remember(session.photo.path)

        def show(levels: object) -> None:
            if pixels is self.controller.pixels:
                self.canvas.show_photo(levels)  # type: ignore[arg-type]

        self.bridge.aside(partial(levels_of, pixels), show, lambda error: self.files.tell(error))

    # -- boxes ---------------------------------------------------------------------------------------------------

    def _change(self, change: Callable[[Session], Session]) -> None:
        """A change that undo is not about."""
        if self.controller.session is not None:
            self.controller.replace(change(self.controller.session))

    def _do(self, label: str, change: Callable[[Session], Session], kind: int = -1) -> None:
        try:
            self.edits.do(label, change, kind)
        except Gpt4RoiError as error:
            self.files.tell(error)

    def _edit(self, label: str, change: Callable[[Session], Session]) -> Callable[[], None]:
        return lambda: self._do(label, change)

    def _drawn(self, box: Box) -> None:
        self._do(self.tr("draw a box"), partial(edits.add, boxes=[box]))
        self._mention_selected()

    def _reshaped(self, boxes: dict[int, Box]) -> None:
        self._do(self.tr("move a box"), partial(edits.reshape, boxes=boxes))

    def _region_clicked(self, region_id: int, add: bool) -> None:  # noqa: FBT001 - a signal's slot
        if add:
            self._change(partial(edits.toggle, region_id=region_id))
            return
        self._change(partial(edits.select, ids=[region_id]))
        self._mention_selected()

    def _mention_selected(self) -> None:
        """A box that was clicked or drawn while a question was being typed belongs into the question."""
        session = self.controller.session
        if not self._from_text or session is None:
            return
        for region in session.selection():
            self.chat.box.insert_chip(region.id)
        self.chat.box.setFocus()

    def _focus_changed(self, old: QWidget | None, new: QWidget | None) -> None:
        if new is not None:
            self._from_text = new is self.canvas and old is self.chat.box and bool(self.chat.box.toPlainText().strip())

    def _number_pressed(self, number: int, *_: object) -> None:
        self._change(partial(edits.select_number, number=number))

    def _nudge(self, dx: int, dy: int, *_: object) -> None:
        self._do(self.tr("move a box"), partial(edits.nudge, dx=dx, dy=dy), Edits.NUDGE)

    def delete(self) -> None:
        """Delete the selected regions."""
        self._do(self.tr("delete"), lambda session: edits.delete(session, session.selected))

    def lock(self, ids: set[int] | None) -> None:
        """Lock or unlock some regions, or the selected ones."""
        self._do(self.tr("lock"), lambda session: edits.lock(session, ids or session.selected))

    def hide_regions(self, ids: set[int] | None) -> None:
        """Hide or show some regions, or the selected ones."""
        self._do(self.tr("hide"), lambda session: edits.hide(session, ids or session.selected))

    def renumber(self, step: int) -> None:
        """The selected region, one number up or down."""

        def change(session: Session) -> Session:
            selected = session.selection()
            if len(selected) != 1:
                return session
            return edits.renumber(session, selected[0].id, (session.number_of(selected[0].id) or 1) + step)

        self._do(self.tr("renumber"), change)

    def copy(self) -> None:
        """Copy the selected boxes."""
        session = self.controller.session
        if session is not None and session.selected:
            clipboard.copy_boxes([region.box for region in session.selection()])

    def paste(self) -> None:
        """Boxes that were copied, or else a photo."""
        boxes = clipboard.pasted_boxes()
        if boxes and self.controller.session is not None:
            self._do(self.tr("paste"), partial(edits.paste, boxes=boxes))
        else:
            self.files.paste()

    def adopt(self, place: int) -> None:
        """Make a box of a suggestion."""
        if place < len(self.controller.proposals):
            box = self.controller.take_proposal(place)
            self._do(self.tr("adopt a suggestion"), partial(edits.add, boxes=[box]))
            self._mention_selected()

    def adopt_all(self) -> None:
        """Make boxes of all suggestions."""
        boxes = [each.box for each in self.controller.proposals]
        self.controller.drop_proposals()
        self._do(self.tr("adopt the suggestions"), partial(edits.add, boxes=boxes))

    # -- questions -----------------------------------------------------------------------------------------------

    def ask(self, question: Question) -> None:
        """Ask; what cannot be asked is said, and stays in the box."""
        try:
            self.controller.ask(question)
        except Gpt4RoiError as error:
            self.files.tell(error)

    def edit_question(self, exchange_id: int) -> None:
        """A question that was asked, in the box again, to be asked differently."""
        exchange = None if self.controller.session is None else self.controller.session.exchange(exchange_id)
        if exchange is not None:
            self._change(partial(edits.write, draft=exchange.question))
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
            self._change(partial(edits.select, ids=()))

    def show_keys(self) -> None:
        """The sheet of keys."""
        groups = [
            (title.replace("&", ""), [self.actions_by_name[name] for name in names if name in self.actions_by_name])
            for title, names in self._groups()
        ]
        sheet = ShortcutSheet(groups, self)
        sheet.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        sheet.open()

    def _remedy(self, remedy: str) -> None:
        if remedy == "restart":
            self.controller.restart()
        elif remedy == "choose_model":
            self.files.ask_model()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 - Qt's name
        """Remember everything, end the model's process."""
        self.settings.setValue("geometry", self.saveGeometry())
        self._keep.stop()
        self.hide()
        self.controller.close()
        self.bridge.close()
        clipboard.let_go()
        super().closeEvent(event)
