"""The menu bar and the toolbar: which action stands where. Knows actions by their names and not what they do."""

from collections.abc import Mapping

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMainWindow, QMenu, QSizePolicy, QToolBar, QToolButton, QWidget

Group = tuple[str, tuple[str, ...]]
"""A menu's title, and the names of its actions; ``-`` is a line between them."""

_TOOLS: tuple[tuple[str, ...], ...] = (
    ("open", "camera"),
    ("undo", "redo"),
    ("draw", "suggest"),
    ("zoom_out", "zoom_in", "fit", "actual"),
    ("sight", "answers"),
)
"""Groups with a line between them."""

_WITH_WORDS = ("open", "draw", "suggest", "actual")


def groups() -> tuple[Group, ...]:
    """The menus in their order."""
    say = QCoreApplication.translate
    return (
        (
            say("Window", "&File"),
            (
                "open",
                "camera",
                "recent",
                "next",
                "previous",
                "-",
                "open_session",
                "save_session",
                "export",
                "-",
                "quit",
            ),
        ),
        (
            say("Window", "&Edit"),
            ("undo", "redo", "-", "copy", "paste", "duplicate", "delete", "-", "all", "lock", "hide", "up", "down"),
        ),
        (say("Window", "&Boxes"), ("draw", "suggest", "adopt")),
        (
            say("Window", "&View"),
            ("zoom_in", "zoom_out", "fit", "actual", "-", "question", "photo", "-", "sight", "answers", "-", "themes"),
        ),
        (say("Window", "&Model"), ("dialogue", "each", "replay", "cancel", "-", "model", "settings")),
        (say("Window", "&Help"), ("help", "keys")),
    )


def fill_menu_bar(window: QMainWindow, actions: Mapping[str, QAction], menus: Mapping[str, QMenu]) -> None:
    """Every group as a menu; ``menus`` are the entries that open a further one."""
    for title, names in groups():
        menu = window.menuBar().addMenu(title)
        for name in names:
            if name == "-":
                menu.addSeparator()
            elif name in menus:
                menu.addMenu(menus[name])
            else:
                menu.addAction(actions[name])


def toolbar(actions: Mapping[str, QAction]) -> QToolBar:
    """The tools over the photo, and help at the far end."""
    say = QCoreApplication.translate
    short = {"open": say("Window", "Open"), "draw": say("Window", "Draw"), "suggest": say("Window", "Suggest boxes")}
    bar = QToolBar(say("Window", "Tools"))
    bar.setObjectName("tools")
    bar.setMovable(False)
    bar.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
    for place, names in enumerate(_TOOLS):
        if place:
            bar.addSeparator()
        for name in names:
            if name in short:
                actions[name].setIconText(short[name])
            _add(bar, actions[name], words=name in _WITH_WORDS)
    room = QWidget()
    room.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
    bar.addWidget(room)
    _add(bar, actions["help"], words=False)
    return bar


def _add(bar: QToolBar, action: QAction, *, words: bool) -> None:
    bar.addAction(action)
    button = bar.widgetForAction(action)
    button.setAccessibleName(action.text().replace("&", ""))
    if isinstance(button, QToolButton) and not words:
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
