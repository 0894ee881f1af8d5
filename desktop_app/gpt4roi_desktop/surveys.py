"""One question asked of every region: how it is laid out, and its answers as a file. Knows no model and no table.

A survey is a dialogue of its own kind: a row is an exchange, and no row knows of another. So the model can answer all
rows side by side: a question with one place for a box. A question that names several boxes has no such place: a survey
refuses it, and it is asked by itself, one after another with those that wait.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_desktop import talk
from gpt4roi_desktop.interchange import photo_of
from gpt4roi_desktop.session import Chip, Dialogue, Exchange, Question, Session, chips_of
from gpt4roi_runtime import captions
from gpt4roi_runtime.captions import Caption, Layout
from gpt4roi_runtime.errors import OutputError, QuestionError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.storage import written_aside

LAYOUTS: dict[str, Layout] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".coco.json": "coco",
    ".txt": "text",
}
"""Endings of a survey's file."""


@dataclass(frozen=True)
class SideBySide:
    """Rows of a survey as one request.

    Attributes:
        question: Mentions ``<region1>`` and no other, whatever numbers the regions have.
        row_ids: The rows.
        boxes: Of every row, as it was when the question was asked.
    """

    question: str
    row_ids: tuple[int, ...]
    boxes: tuple[Box, ...]


REGION_OF_A_ROW = 1
"""The number that every row's region has in its own prompt."""


def ask_each(session: Session, question: Question) -> tuple[Session, int]:
    """A survey whose rows wait; the box that the question mentions stands for each region in turn.

    Hidden regions are left out, as nobody sees what their rows are about; locked ones are asked about as any other.

    Returns:
        The session, and the survey's id.

    Raises:
        QuestionError: There is no region, all are hidden, or the question mentions none or several.
    """
    if not session.regions:
        raise QuestionError("there is no box to ask about", "Draw one, or let boxes be suggested.")
    shown = [region for region in session.regions if not region.hidden]
    if not shown:
        raise QuestionError("every box is hidden", "Show those that are meant: choose them in the list and press H.")
    if len(chips_of(question)) != 1:
        raise QuestionError(
            "a question to all boxes has to mention one box", "Mention one with @; it stands for each in turn."
        )
    survey_id = session.next_id
    rows = tuple(_row(session, survey_id + place, about(question, region.id)) for place, region in enumerate(shown, 1))
    return talk.insert(session, Dialogue(survey_id, rows, "survey"), 1 + len(rows)), survey_id


def side_by_side(session: Session, row_id: int, apart: Collection[int] = ()) -> SideBySide | None:
    """A waiting row and all others of its survey that wait and can be answered beside it.

    Args:
        session: Has the row.
        row_id: The row.
        apart: Rows to be answered each alone.

    Returns:
        None where it is no survey's row, its region was deleted, or its question does not mention one region alone, as
        it may be in a stranger's file: such a row is asked by itself.
    """
    survey, first = session.dialogue_of(row_id), session.exchange(row_id)
    if survey is None or survey.kind != "survey" or first is None or not _is_about_one_region(session, first):
        return None
    rows = [
        row
        for row in survey.exchanges
        if row.id == row_id
        or (
            row.state == "queued"
            and not {row_id, row.id} & set(apart)
            and _is_about_one_region(session, row)
            and about(row.question, 0) == about(first.question, 0)
        )
    ]
    question = "".join(token if isinstance(token, str) else f"<region{REGION_OF_A_ROW}>" for token in first.question)
    return SideBySide(question, tuple(row.id for row in rows), tuple(row.asked[0].box for row in rows))


def about(question: Question, region_id: int) -> Question:
    """The same question about another region."""
    return tuple(Chip(region_id) if isinstance(token, Chip) else token for token in question)


def wording(survey: Dialogue) -> str:
    """A survey's question with a place for the box."""
    if not survey.exchanges:
        return ""
    return "".join(token if isinstance(token, str) else "<region>" for token in survey.exchanges[0].question)


def captions_of(session: Session, survey: Dialogue) -> tuple[Caption, ...]:
    """The rows, with the boxes that were asked about and the numbers that they have now."""
    return tuple(_caption(session, row) for row in survey.exchanges if row.asked)


def as_text(session: Session, survey: Dialogue, layout: Layout) -> str:
    """A survey as the content of a file."""
    return captions.as_file(captions_of(session, survey), layout, photo_of(session), wording(survey))


def export(path: Path, session: Session, survey: Dialogue, chosen: str = "") -> None:
    """Write a survey; the file appears whole or not at all.

    Args:
        path: Ends in one of ``LAYOUTS``.
        session: What the survey belongs to.
        survey: What to write.
        chosen: The ending that was meant, where a name may stand for several.

    Raises:
        OutputError: Another ending, or it cannot be written.
    """
    ending = max((each for each in LAYOUTS if path.name.lower().endswith(each)), key=len, default="")
    if not ending:
        raise OutputError(f"{path.name} has an ending of no known kind", f"Use one of {', '.join(LAYOUTS)}.")
    layout = LAYOUTS[chosen if chosen in LAYOUTS and chosen.endswith(ending) else ending]
    content = as_text(session, survey, layout)
    with written_aside(path) as file:
        file.write(content.encode("utf-8", "replace"))


def _row(session: Session, row_id: int, question: Question) -> Exchange:
    return Exchange(row_id, question, talk.meant_by(session, question))


def _is_about_one_region(session: Session, row: Exchange) -> bool:
    ids = chips_of(row.question)
    return len(ids) == 1 and [asked.region_id for asked in row.asked] == [*ids] and session.region(ids[0]) is not None


def _caption(session: Session, row: Exchange) -> Caption:
    asked = row.asked[0]
    number = session.number_of(asked.region_id) or asked.number
    n_tokens = 0 if row.timing is None else row.timing.n_answer_tokens
    return Caption(number, asked.box.xyxy, row.answer, row.state, n_tokens)
