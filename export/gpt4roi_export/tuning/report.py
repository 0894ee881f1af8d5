"""What a run tells while it goes: a bar on the terminal and a JSONL log. Does not know what is being tuned."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gpt4roi_runtime.errors import OutputError

_SMOOTHING = 0.95


@dataclass(frozen=True)
class StepFacts:
    """What happened in a step.

    Attributes:
        stage: Its stage.
        step: Steps of the stage that are done.
        loss: What was minimised.
        by_task: Parts of it.
        gradient_norm: Before clipping.
        rate_share: Share of the highest rates.
        n_rows: Rows the language model saw.
        n_answer_rows: Rows it was to say.
        seconds: Of the step.
    """

    stage: str
    step: int
    loss: float
    by_task: Mapping[str, float]
    gradient_norm: float
    rate_share: float
    n_rows: int
    n_answer_rows: int
    seconds: float


@runtime_checkable
class Report(Protocol):
    """Hears what a run does."""

    def note(self, text: str) -> None:
        """Something worth a line."""
        ...

    def begin(self, stage: str, n_steps: int, done: int) -> None:
        """A stage begins, or goes on after ``done`` steps."""
        ...

    def step(self, facts: StepFacts) -> None:
        """A step is done."""
        ...


class Quiet:
    """Says nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def begin(self, stage: str, n_steps: int, done: int) -> None:
        """Nothing."""

    def step(self, facts: StepFacts) -> None:
        """Nothing."""


class Smoothed:
    """Running means of named numbers; a name that is not there in a step keeps its mean."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float]] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """One step's numbers."""
        for name, value in values.items():
            total, weight = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = (_SMOOTHING * total + value, _SMOOTHING * weight + 1.0)

    def means(self) -> dict[str, float]:
        """Means, names in order."""
        return {name: total / weight for name, (total, weight) in sorted(self._sums.items())}


class TerminalReport:
    """A bar with smoothed losses; made by ``on_terminal``."""

    def __init__(self, console: Console, bar: Progress) -> None:
        self._console, self._bar = console, bar
        self._task = bar.add_task("", total=None, losses="", speed="")
        self._losses = Smoothed()
        self._rows, self._seconds, self._last_line_s = 0.0, 0.0, time.monotonic()

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(text, highlight=False, markup=False)

    def begin(self, stage: str, n_steps: int, done: int) -> None:
        """A bar for the stage."""
        self._losses = Smoothed()
        self._bar.reset(self._task, total=n_steps, completed=done, description=stage)

    def step(self, facts: StepFacts) -> None:
        """Move it."""
        self._losses.add({"loss": facts.loss, **facts.by_task})
        self._rows = _SMOOTHING * self._rows + facts.n_rows
        self._seconds = _SMOOTHING * self._seconds + facts.seconds
        speed = f"{self._rows / max(self._seconds, 1e-9):.0f} tokens/s"
        losses = " ".join(f"{name} {mean:.3f}" for name, mean in self._losses.means().items())
        self._bar.update(self._task, completed=facts.step, losses=losses, speed=speed)
        if not self._console.is_terminal and time.monotonic() - self._last_line_s > 30.0:
            self._last_line_s = time.monotonic()
            self.note(f"{facts.stage} step {facts.step}: {losses}, {speed}")


@contextmanager
def on_terminal() -> Iterator[TerminalReport]:
    """A report on the error stream; without a terminal, a line every half minute."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield TerminalReport(console, bar)


class Log:
    """A JSONL file with a line a step.

    Args:
        path: Lines are added to what is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def step(self, facts: StepFacts) -> None:
        """Add a line.

        Raises:
            OutputError: The disk refused.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(facts)) + "\n")
        except OSError as failed:
            raise OutputError(f"cannot write {self._path}: {failed.strerror}", "Free space, and resume.") from failed
