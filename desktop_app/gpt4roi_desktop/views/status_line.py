"""What is going on, in one line: stage, speed, memory, engines. Knows no cause."""

from PySide6.QtWidgets import QLabel, QProgressBar, QStatusBar, QWidget

from gpt4roi_desktop.controller import Controller
from gpt4roi_desktop.session import Timing

_BUSY = ("loading", "reading", "encoding", "answering", "proposing")


class StatusLine(QStatusBar):
    """The window's last line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeGripEnabled(False)
        self.stage = QLabel()
        self.stage.setAccessibleName(self.tr("Stage"))
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(72)
        self.bar.setAccessibleName(self.tr("Progress"))
        self.speed, self.zoom, self.engine = QLabel(), QLabel(), QLabel()
        self.speed.setAccessibleName(self.tr("Speed of the last answer"))
        self.zoom.setAccessibleName(self.tr("Zoom"))
        self.engine.setAccessibleName(self.tr("Engine"))
        self.addWidget(self.bar)
        self.addWidget(self.stage)
        for label in (self.speed, self.zoom, self.engine):
            self.addPermanentWidget(label)

    def show_status(self, controller: Controller) -> None:
        """What the controller is doing."""
        stage = controller.stage
        words = {
            "idle": "",
            "loading": self.tr("loading the model …"),
            "reading": self.tr("reading the photo …"),
            "encoding": self.tr("encoding the photo …"),
            "ready": self.tr("ready"),
            "answering": self.tr("answering …"),
            "proposing": self.tr("looking for things …"),
            "no_model": self.tr("no model"),
            "dead": self.tr("the model's process has ended"),
        }
        self.stage.setText(words[stage])
        self.bar.setVisible(stage in _BUSY)
        model = controller.model
        self.engine.setText(
            "" if model is None else f"{model.name}  ·  {model.vision_engine} + {model.language_engine}"
        )
        done = [] if controller.session is None else [each for each in controller.session.exchanges() if each.timing]
        self.speed.setText("" if not done else self._speed(done[-1].timing, controller.memory_bytes))

    def show_zoom(self, scale: float) -> None:
        """How large the photo is shown."""
        self.zoom.setText(f"{scale * self.devicePixelRatio():.0%}")

    def _speed(self, timing: Timing | None, memory_bytes: int) -> str:
        parts = []
        if timing is not None and timing.first_text_s is not None:
            parts.append(self.tr("first text {0:.2f} s").format(timing.first_text_s))
        if timing is not None and timing.tokens_per_s is not None:
            parts.append(self.tr("{0:.0f} tokens/s").format(timing.tokens_per_s))
        if memory_bytes:
            parts.append(self.tr("{0:.0f} MB").format(memory_bytes / 1e6))
        return "  ·  ".join(parts)
