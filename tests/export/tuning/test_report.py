import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from gpt4roi_export.tuning.report import Log, Report, Smoothed, StepFacts, TerminalReport, on_terminal
from gpt4roi_runtime.errors import OutputError


def facts(step: int, loss: float = 2.0) -> StepFacts:
    return StepFacts("words", step, loss, {"name": loss / 2}, 1.0, 0.5, 100, 20, 0.5)


def test_smoothed_means_start_unbiased_and_forget() -> None:
    smoothed = Smoothed()
    smoothed.add({"loss": 4.0})
    assert smoothed.means() == {"loss": 4.0}
    smoothed.add({"name": 1.0})
    assert smoothed.means() == {"loss": 4.0, "name": 1.0}
    for _ in range(200):
        smoothed.add({"loss": 2.0})
    assert smoothed.means()["loss"] == pytest.approx(2.0, abs=1e-3)


def test_the_log_is_a_line_a_step(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.step(facts(1))
    Log(tmp_path / "log.jsonl").step(facts(2, loss=1.0))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"], line["by_task"]) for line in lines] == [
        (1, 2.0, {"name": 1.0}),
        (2, 1.0, {"name": 0.5}),
    ]


def test_a_log_that_cannot_be_written_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        Log(tmp_path / "none" / "log.jsonl").step(facts(1))


def test_the_bar_shows_losses_speed_and_what_was_done_before() -> None:
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=200)
    columns = "{task.description} {task.completed} {task.total} {task.fields[losses]} {task.fields[speed]}"
    with Progress(columns, console=console) as bar:
        report = TerminalReport(console, bar)
        assert isinstance(report, Report)
        report.begin("words", 10, 3)
        report.note("careful [now]")
        report.step(facts(4))
    shown = screen.getvalue()
    assert "careful [now]" in shown
    assert "words 4 10 loss 2.000 name 1.000 200 tokens/s" in shown


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with on_terminal() as report:
        report.begin("words", 10, 0)
        report.step(facts(1))
        report.note("done")
    assert capsys.readouterr().err == "done\n"
