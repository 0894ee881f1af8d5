"""A report as a model card in Markdown: what the model is made of, and how well it does. Knows no engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_export.evaluation.report import Report, Score
from gpt4roi_export.evaluation.tables import CONTROLS, interval, mark, percent, stated
from gpt4roi_runtime.storage import written_aside


@dataclass(frozen=True)
class Source:
    """Something the model was made from or measured with.

    Attributes:
        what: What was taken from it.
        origin: Its package and version.
        licence: SPDX identifier, or where it is written.
    """

    what: str
    origin: str
    licence: str


@dataclass(frozen=True)
class CardFacts:
    """What a report does not know.

    Attributes:
        summary: What the model is, in a few sentences.
        sources: What it was made from.
        seeds: By what they were used for.
        commands: How to make and measure it again, one a line.
        limits: What it cannot do, one sentence each.
    """

    summary: str
    sources: Sequence[Source]
    seeds: Mapping[str, int]
    commands: Sequence[str]
    limits: Sequence[str]


def write_model_card(path: Path, report: Report, facts: CardFacts, gallery: Sequence[Path] = ()) -> None:
    """Write the card; the file appears whole or not at all.

    Args:
        path: The Markdown file.
        report: The measurement.
        facts: Everything else.
        gallery: Sheets of wrong answers; those beside or below the card are linked.

    Raises:
        OutputError: The file cannot be written.
    """
    with written_aside(path) as file:
        file.write(model_card(report, facts, _links(path.parent, gallery)).encode())


def model_card(report: Report, facts: CardFacts, gallery: Sequence[str] = ()) -> str:
    """The card's text.

    Args:
        report: The measurement.
        facts: Everything else.
        gallery: Links to sheets of wrong answers.
    """
    parts = [
        f"# {report.bundle_name}",
        facts.summary,
        "## Made from",
        _table(("what", "from", "licence"), [(each.what, each.origin, each.licence) for each in facts.sources]),
        "## Made again",
        "Seeds: " + ", ".join(f"{use} {seed}" for use, seed in facts.seeds.items()) + ".",
        "\n".join(["```", *facts.commands, "```"]),
        "## Measured",
        f"Bundle `{report.bundle_id}`, seed {report.seed}, up to {report.n_per_task} questions for each task, worded "
        "in ways that training never used, answered greedily through the runtime. Intervals are Wilson's at 95 %.",
        _scores(report.scores),
        *_controls(report),
        *_certainty(report),
        "## Cannot",
        "\n".join(f"- {limit}" for limit in facts.limits),
    ]
    if gallery:
        parts += ["## Wrong answers", "\n\n".join(f"![wrong answers]({link})" for link in gallery)]
    return "\n\n".join(parts) + "\n"


def _scores(scores: Sequence[Score]) -> str:
    rows = [
        (
            score.suite,
            score.task,
            str(score.n),
            percent(score.share),
            interval(score),
            "" if score.target is None else percent(score.target),
            mark(score),
        )
        for score in scores
    ]
    return _table(("pictures", "task", "N", "right", "95 % interval", "target", "reached"), rows)


def _controls(report: Report) -> list[str]:
    if not report.controls:
        return []
    rows = [
        (score.suite, score.task, CONTROLS.get(score.task, ""), str(score.n), percent(score.share), interval(score))
        for score in report.controls
    ]
    intro = "Whether answers come from the regions: asked again with spoiled rows."
    return [intro, _table(("pictures", "rows", "share of answers whose", "N", "share", "95 % interval"), rows)]


def _certainty(report: Report) -> list[str]:
    rows = [
        (calibration.suite, said, str(n), share)
        for calibration in report.calibrations
        for said, n, share in stated(calibration)
    ]
    intro = "How often a name is right, by what the answer says of its own certainty."
    return [intro, _table(("pictures", "said", "N", "right"), rows)] if rows else []


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _links(folder: Path, gallery: Sequence[Path]) -> list[str]:
    return [sheet.relative_to(folder).as_posix() for sheet in gallery if sheet.is_relative_to(folder)]
