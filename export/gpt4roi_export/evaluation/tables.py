"""A report as tables for a terminal; knows no engine and no file."""

from rich.table import Table

from gpt4roi_export.evaluation.compare import Difference
from gpt4roi_export.evaluation.report import Calibration, Report, Score

MARKS = {True: "yes", False: "no", None: ""}
"""How ``Score.reached`` is written."""

CONTROLS = {
    "blank": "names are right, although every region has the same rows",
    "shuffled": "names are right, although regions have others' rows",
    "swapped": "names are swapped where two regions' rows are",
}
"""What the share of each control experiment means; low, low and high is what a model that looks gives."""


def score_table(report: Report) -> Table:
    """One row for each suite and task."""
    table = Table("pictures", "task", "N", "right", "95 % interval", "target", "reached", title=report.bundle_name)
    for score in report.scores:
        target = "" if score.target is None else percent(score.target)
        table.add_row(score.suite, score.task, str(score.n), percent(score.share), interval(score), target, mark(score))
    return table


def control_table(report: Report) -> Table:
    """One row for each control experiment."""
    table = Table("pictures", "with", "share of answers whose", "N", "share", "95 % interval", title="controls")
    for score in report.controls:
        meaning = CONTROLS.get(score.task, "")
        table.add_row(score.suite, score.task, meaning, str(score.n), percent(score.share), interval(score))
    return table


def calibration_table(report: Report) -> Table:
    """How often names are right, by what the answer said of its certainty."""
    table = Table("pictures", "said", "N", "right", title="names, by stated certainty")
    for calibration in report.calibrations:
        for said, n, share in stated(calibration):
            table.add_row(calibration.suite, said, str(n), share)
    return table


def difference_table(differences: tuple[Difference, ...]) -> Table:
    """One row for each suite and task that two reports share."""
    table = Table("pictures", "task", "N", "first", "second", "difference", "95 % interval")
    for each in differences:
        low, high = f"{100 * each.low:+.1f}", f"{100 * each.high:+.1f}"
        table.add_row(
            each.suite,
            each.task,
            str(each.n),
            percent(each.first),
            percent(each.second),
            f"{100 * (each.second - each.first):+.1f}",
            f"{low} to {high}",
        )
    return table


def stated(calibration: Calibration) -> tuple[tuple[str, int, str], ...]:
    """What was said, how often, and the share of right names."""
    rows = (
        ("the name", calibration.n_sure, calibration.n_sure_right),
        ("I am not sure", calibration.n_unsure, calibration.n_unsure_right),
    )
    return tuple((said, n, percent(n_right / n) if n else "") for said, n, n_right in rows)


def mark(score: Score) -> str:
    """Whether the target was reached, in a word."""
    return MARKS[score.reached]


def percent(share: float) -> str:
    """A share as people write it."""
    return f"{100 * share:.1f} %"


def interval(score: Score) -> str:
    """The ends of the interval."""
    return f"{100 * score.low:.1f} to {100 * score.high:.1f}"
