"""Measures how long a new user of the desktop app waits: from the start of its process to the first answer.

    .venv/bin/python bench/first_answer.py --runs 5               # without a screen
    .venv/bin/python bench/first_answer.py --runs 5 --screen      # on the one that is there

Each run is `gpt4roi app` in a process of its own, with nothing remembered: neither settings nor the engines' self-test.
The app opens its sample photo; as soon as that is shown a box is drawn round the shuttle, and "What is it?" is pressed,
both by mouse. The model is still loading then, so the question waits for it. Quote medians from a quiet machine.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpt4roi_desktop.model_process import Launch
    from gpt4roi_desktop.places import Places
    from gpt4roi_desktop.views.window import Window
    from gpt4roi_desktop.workspace import Change

MOMENTS = {
    "window": "the window is painted",
    "photo": "the sample photo is shown",
    "asked": "the question is asked",
    "text": "first text of the answer is painted",
    "end": "the answer is complete",
}
SHUTTLE = ((360, 5), (460, 280))
PATIENCE_S = 120.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--screen", action="store_true", help="show the window")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        be_the_app()
    else:
        show([once(screen=options.screen) for _ in range(options.runs)], screen=options.screen)


def once(*, screen: bool) -> dict[str, float]:
    """Seconds from the start of a process to each moment."""
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"XDG_STATE_HOME": f"{folder}/state", "XDG_CACHE_HOME": f"{folder}/cache"}
        if not screen:
            env["QT_QPA_PLATFORM"] = "offscreen"
        started_s = time.monotonic()
        command = [sys.executable, __file__, "--child"]
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, timeout=PATIENCE_S, check=False)  # noqa: S603
        if done.returncode or not Path(folder, "state").is_dir():
            sys.exit("the app did not answer, or kept its settings elsewhere; what it said stands above")
    return {moment: at_s - started_s for moment, at_s in json.loads(done.stdout).items()}


def be_the_app() -> None:
    """Run `gpt4roi app` with a hand at its window; prints the moments on the machine's clock."""
    from gpt4roi_desktop import app
    from gpt4roi_runtime.__main__ import main as gpt4roi

    moments: dict[str, float] = {}
    vars(app)["Window"] = watched(moments)
    sys.argv[1:] = ["app"]
    try:
        gpt4roi()
    finally:
        print(json.dumps(moments))


def watched(moments: dict[str, float]) -> "type[Window]":
    """The app's window, with a hand that asks; it notes the moments and closes itself."""
    from PySide6.QtCore import QEvent, QObject, QPointF, Qt, QTimer
    from PySide6.QtTest import QTest

    from gpt4roi_desktop.views.window import Window

    def see(moment: str) -> bool:
        """Note a moment, the first time."""
        return moments.setdefault(moment, now_s := time.monotonic()) == now_s

    class Watched(Window):
        def __init__(self, launch: "Launch", places: "Places") -> None:
            super().__init__(launch, places)
            self.canvas.viewport().installEventFilter(self)
            self.canvas.zoomed.connect(self.ask_about_the_shuttle, Qt.ConnectionType.QueuedConnection)

        def eventFilter(self, canvas: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
            if event.type() == QEvent.Type.Paint:
                QTimer.singleShot(0, lambda: see("window"))
            return super().eventFilter(canvas, event)

        def ask_about_the_shuttle(self) -> None:
            self.canvas.zoomed.disconnect()
            see("photo")
            start, end = (self.canvas.mapFromScene(QPointF(*at)) for at in SHUTTLE)
            view, left = self.canvas.viewport(), Qt.MouseButton.LeftButton
            QTest.mousePress(view, left, pos=start)
            QTest.mouseMove(view, end)
            QTest.mouseRelease(view, left, pos=end)
            QTest.mouseClick(self.chat.what, left)
            see("asked")

        def _changed(self, change: "Change") -> None:
            super()._changed(change)
            session = self.controller.session
            for exchange in () if session is None else session.exchanges():
                if exchange.answer and "text" not in moments:
                    self.chat.repaint()
                    see("text")
                if exchange.state == "done" and see("end"):
                    QTimer.singleShot(0, self.close)

    return Watched


def show(runs: list[dict[str, float]], *, screen: bool) -> None:
    """Print a table."""
    import PySide6
    from rich.console import Console
    from rich.table import Table

    from gpt4roi_runtime.backends.distributions import installed_onnxruntimes, version_of
    from gpt4roi_runtime.backends.processor import usable_cores

    table = Table(title=f"a new user's first answer, seconds from process start; {len(runs)} runs")
    for heading in ("until", "median", "min", "max"):
        table.add_column(heading, justify="left" if heading == "until" else "right")
    for moment, words in MOMENTS.items():
        values = [run[moment] for run in runs]
        table.add_row(words, *(f"{value:.2f}" for value in (statistics.median(values), min(values), max(values))))
    console = Console()
    console.print(table)
    versions = (f"Python {platform.python_version()}", f"PySide6 {PySide6.__version__}", *installed_onnxruntimes())
    console.print(f"{platform.system()} {platform.machine()}, {usable_cores()} cores, {'a' if screen else 'no'} screen")
    console.print(", ".join((*versions, f"llama-cpp-python {version_of('llama-cpp-python')}")), highlight=False)


if __name__ == "__main__":
    main()
