"""Colours and spacing, light and dark, as the system says. Knows no widget of ours."""

from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

from gpt4roi_desktop import preferences


@dataclass(frozen=True)
class Theme:
    """The colours of one scheme, as ``#rrggbb``."""

    ground: str
    panel: str
    raised: str
    line: str
    text: str
    faint: str
    accent: str
    on_accent: str
    danger: str
    warning_ground: str
    warning_line: str
    canvas: str


LIGHT = Theme(
    ground="#f4f5f7",
    panel="#ffffff",
    raised="#eef0f3",
    line="#d9dde3",
    text="#1d2430",
    faint="#5f6b7a",
    accent="#2458c5",
    on_accent="#ffffff",
    danger="#b3261e",
    warning_ground="#fff4dc",
    warning_line="#e6c36f",
    canvas="#dfe2e7",
)
DARK = Theme(
    ground="#1b1e24",
    panel="#23272f",
    raised="#2d323c",
    line="#3a414d",
    text="#e8ebf0",
    faint="#9aa5b4",
    accent="#6b9bff",
    on_accent="#10151e",
    danger="#ff8a80",
    warning_ground="#3b3320",
    warning_line="#6f5c2c",
    canvas="#14161a",
)


_WISH = "gpt4roi_theme"
"""The property of the application that holds what the user chose."""


def current() -> Theme:
    """The scheme that the user chose, or else the system's."""
    application = QGuiApplication.instance()
    wish = application.property(_WISH) if application is not None else None
    if wish in ("light", "dark"):
        return DARK if wish == "dark" else LIGHT
    return DARK if QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark else LIGHT


def apply(application: QApplication) -> None:
    """Dress the application now, and whenever the system changes its mind."""
    application.setStyle("Fusion")
    _dress(application)
    application.styleHints().colorSchemeChanged.connect(lambda _: _dress(application))


def choose(application: QApplication, wish: preferences.Theme) -> None:
    """Dress it as the user likes, or as the system does."""
    application.setProperty(_WISH, wish)
    _dress(application)


def _dress(application: QApplication) -> None:
    theme = current()
    application.setPalette(_palette(theme))
    application.setStyleSheet(_style_sheet(theme))


def _palette(theme: Theme) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    for which, colour in (
        (role.Window, theme.ground),
        (role.Base, theme.panel),
        (role.AlternateBase, theme.raised),
        (role.Button, theme.panel),
        (role.WindowText, theme.text),
        (role.Text, theme.text),
        (role.ButtonText, theme.text),
        (role.ToolTipBase, theme.raised),
        (role.ToolTipText, theme.text),
        (role.PlaceholderText, theme.faint),
        (role.Highlight, theme.accent),
        (role.HighlightedText, theme.on_accent),
        (role.Link, theme.accent),
    ):
        palette.setColor(which, QColor(colour))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, which, QColor(theme.faint).darker(110))
    return palette


def _style_sheet(theme: Theme) -> str:
    return f"""
    QToolBar {{ background: {theme.panel}; border: 0; border-bottom: 1px solid {theme.line}; padding: 4px 8px;
        spacing: 2px; }}
    QToolBar::separator {{ background: {theme.line}; width: 1px; margin: 6px 6px; }}
    QToolButton {{ border: 1px solid transparent; border-radius: 6px; padding: 5px 8px; }}
    QToolButton#small {{ padding: 3px; border-radius: 5px; }}
    QToolButton#link {{ padding: 0 4px; border-radius: 4px; color: {theme.accent}; text-decoration: underline; }}
    QToolButton:hover:enabled {{ background: {theme.raised}; }}
    QToolButton:pressed, QToolButton:checked {{ background: {theme.raised}; border-color: {theme.line}; }}
    QToolButton:focus {{ border-color: {theme.accent}; }}
    QMenuBar {{ background: {theme.panel}; }}
    QMenuBar::item {{ padding: 4px 10px; background: transparent; }}
    QMenuBar::item:selected {{ background: {theme.raised}; border-radius: 4px; }}
    QMenu {{ background: {theme.panel}; border: 1px solid {theme.line}; padding: 4px; }}
    QMenu::item {{ padding: 5px 28px 5px 16px; border-radius: 4px; }}
    QMenu::item:selected {{ background: {theme.accent}; color: {theme.on_accent}; }}
    QMenu::item:disabled {{ color: {theme.faint}; }}
    QMenu::separator {{ height: 1px; background: {theme.line}; margin: 4px 8px; }}
    QStatusBar {{ background: {theme.panel}; border-top: 1px solid {theme.line}; color: {theme.faint}; }}
    QStatusBar::item {{ border: 0; }}
    QStatusBar QLabel {{ color: {theme.faint}; padding: 2px 6px; }}
    QSplitter::handle {{ background: {theme.line}; }}
    QSplitter::handle:horizontal {{ width: 1px; }}
    QSplitter::handle:vertical {{ height: 1px; }}
    #side, #side QScrollArea, #talk {{ background: {theme.panel}; border: 0; }}
    QLabel#heading {{ color: {theme.faint}; font-weight: 600; }}
    QLabel#faint {{ color: {theme.faint}; }}
    QLabel#warning {{ background: {theme.warning_ground}; border: 1px solid {theme.warning_line}; border-radius: 6px;
        padding: 6px 10px; }}
    #paneltitle {{ background: {theme.panel}; }}
    QMainWindow::separator {{ background: {theme.line}; width: 1px; height: 1px; }}
    QLabel#failed {{ color: {theme.danger}; }}
    QListView#framed, QTextBrowser#framed {{ border: 1px solid {theme.line}; border-radius: 6px; padding: 4px; }}
    QListView#framed::item {{ padding: 6px 8px; border-radius: 4px; }}
    QListView#framed::item:selected {{ background: {theme.raised}; color: {theme.text}; }}
    QListView {{ background: {theme.panel}; border: 0; outline: 0; }}
    QTableView {{ background: {theme.panel}; alternate-background-color: {theme.ground}; border: 0;
        border-top: 1px solid {theme.line}; selection-background-color: {theme.raised};
        selection-color: {theme.text}; }}
    QTableView::item {{ padding: 5px 10px; }}
    QHeaderView {{ background: {theme.panel}; }}
    QHeaderView::section {{ background: {theme.panel}; color: {theme.faint}; border: 0;
        border-bottom: 1px solid {theme.line}; padding: 6px 13px; font-weight: 600; }}
    QToolButton::menu-indicator {{ image: none; }}
    QFrame#question {{ background: {theme.raised}; border-radius: 10px; }}
    QFrame#ask {{ background: {theme.panel}; border: 1px solid {theme.line}; border-radius: 10px; }}
    QFrame#ask[focused="true"] {{ border: 1px solid {theme.accent}; }}
    QTextEdit#box {{ background: transparent; border: 0; }}
    QPushButton {{ background: {theme.panel}; border: 1px solid {theme.line}; border-radius: 6px; padding: 5px 12px; }}
    QPushButton:hover:enabled {{ background: {theme.raised}; }}
    QPushButton:pressed {{ background: {theme.line}; }}
    QPushButton:focus {{ border-color: {theme.accent}; }}
    QPushButton:disabled {{ color: {theme.faint}; background: {theme.ground}; }}
    QPushButton#primary {{ background: {theme.accent}; color: {theme.on_accent}; border-color: {theme.accent}; }}
    QPushButton#primary:disabled {{ background: {theme.raised}; color: {theme.faint}; border-color: {theme.line}; }}
    QPushButton#quick {{ border-radius: 11px; padding: 3px 12px; min-height: 16px; }}
    QFrame#notice {{ background: {theme.warning_ground}; border: 0; border-bottom: 1px solid {theme.warning_line}; }}
    QProgressBar {{ background: {theme.raised}; border: 0; border-radius: 2px; max-height: 4px; min-height: 4px; }}
    QProgressBar::chunk {{ background: {theme.accent}; border-radius: 2px; }}
    QScrollBar:vertical {{ background: transparent; width: 10px; margin: 0; }}
    QScrollBar::handle:vertical {{ background: {theme.line}; border-radius: 4px; min-height: 28px; margin: 1px; }}
    QScrollBar:horizontal {{ background: transparent; height: 10px; margin: 0; }}
    QScrollBar::handle:horizontal {{ background: {theme.line}; border-radius: 4px; min-width: 28px; margin: 1px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
    QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
    QToolTip {{ background: {theme.raised}; color: {theme.text}; border: 1px solid {theme.line}; padding: 3px; }}
    """
