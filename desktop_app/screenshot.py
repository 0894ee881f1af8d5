"""Takes the README's picture of the app: a real window, two drawn boxes, questions with chips, streamed answers.

    python desktop_app/screenshot.py [--output docs/desktop.png] [--dark]

Where no screen is there it starts Xvfb. Everything is done with mouse and keys, as a person would.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PySide6.QtCore import QDeadlineTimer, QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from gpt4roi_desktop.app import sample_photo
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.views import theme
from gpt4roi_desktop.views.window import Window
from gpt4roi_runtime import Box, default_bundle
from gpt4roi_runtime.worker.process import WorkerProcess

PATIENCE_MS = 60_000
BOXES = (Box(360, 5, 460, 280), Box(280, 345, 511, 511))
SIZE = (1240, 800)


@contextmanager
def screen() -> Iterator[None]:
    """The screen that is there, or one of our own."""
    if os.environ.get("DISPLAY") or os.environ.get("QT_QPA_PLATFORM"):
        yield
        return
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        sys.exit("no screen, and no Xvfb: apt install xvfb")
    reading, writing = os.pipe()
    command = [xvfb, "-displayfd", str(writing), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)  # noqa: S603 - found above
    os.close(writing)
    try:
        with os.fdopen(reading) as display:
            os.environ["DISPLAY"] = f":{display.readline().strip()}"
        yield
    finally:
        server.terminate()
        server.wait()


def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait for something, or end with its name."""
    patience = QDeadlineTimer(PATIENCE_MS)
    while not holds():
        if patience.hasExpired():
            sys.exit(f"waited in vain for: {what}")
        QTest.qWait(10)


def draw(window: Window, box: Box) -> None:
    """Drag from corner to corner."""
    canvas = window.canvas
    start, end = (canvas.mapFromScene(QPointF(x, y)) for x, y in ((box.x1, box.y1), (box.x2, box.y2)))
    view, left = canvas.viewport(), Qt.MouseButton.LeftButton
    QTest.mousePress(view, left, pos=start)
    for step in (1, 2, 3):
        QTest.mouseMove(view, start + (end - start) * step / 3)
    QTest.mouseRelease(view, left, pos=end)


def answered(window: Window, count: int) -> bool:
    """So many questions have their answer."""
    session = window.controller.session
    return session is not None and sum(each.state == "done" for each in session.exchanges()) == count


def act(window: Window) -> None:
    """Two boxes, three questions."""
    controller, chat = window.controller, window.chat
    until("photo and model", lambda: controller.stage == "ready" and not window.canvas.scene().sceneRect().isEmpty())
    for box in BOXES:
        draw(window, box)
    session = controller.session
    assert session is not None  # noqa: S101 - it is ready
    assert [region.box for region in session.regions] == list(BOXES)  # noqa: S101 - drawn as meant
    QTest.keyClick(window.canvas, Qt.Key.Key_1)
    QTest.mouseClick(chat.what, Qt.MouseButton.LeftButton)
    until("the first answer", lambda: answered(window, 1))
    QTest.keyClick(window.canvas, Qt.Key.Key_2)
    QTest.mouseClick(chat.describe, Qt.MouseButton.LeftButton)
    until("the second answer", lambda: answered(window, 2))
    QTest.mouseClick(chat.begin_button, Qt.MouseButton.LeftButton)
    type_about(window, "What are ", 1, " and ", 2, "?")
    QTest.keyClick(chat.box, Qt.Key.Key_Return)
    until("the third answer", lambda: answered(window, 3))
    type_about(window, "Which is bigger, ", 1, " or ", 2, "?")


def type_about(window: Window, *words: str | int) -> None:
    """Type a question; a number is chosen from the menu that ``@`` opens."""
    box = window.chat.box
    box.setFocus()
    for word in words:
        if isinstance(word, str):
            QTest.keyClicks(box, word.strip(" ") if word.startswith(" ") else word)
            if word.startswith(" "):
                QTest.keyClick(box, Qt.Key.Key_Space) if word.endswith(" ") else None
            continue
        QTest.keyClicks(box, "@")
        assert box.menu is not None  # noqa: S101 - it has just opened
        QTest.keyClicks(box.menu, str(word))
        until("the menu to close", lambda: box.menu is None)


def main() -> int:
    """Take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/desktop.png"))
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    with screen(), tempfile.TemporaryDirectory() as folder:
        application = QApplication([])
        theme.apply(application)
        window = Window(WorkerProcess, Places(Path(folder)))
        window.choose_theme("dark" if options.dark else "light")
        window.resize(*SIZE)
        window.show()
        window.move(QPoint(0, 0))
        window.activateWindow()
        QTest.qWaitForWindowActive(window)
        window.controller.open_model(default_bundle())
        window.files.open_path(sample_photo())
        act(window)
        QTest.qWait(300)  # one more paint: there is no signal for "everything is on the screen"
        window.grab().save(str(options.output))
        window.close()
        window.bridge.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
