"""One question asked of every region: how it is laid out, and its answers as a file. Knows no model and no table.

A survey is a dialogue of its own kind: a row is an exchange, and no row knows of another.
"""

from pathlib import Path

from gpt4roi_desktop import talk
from gpt4roi_desktop.interchange import photo_of
from gpt4roi_desktop.session import Chip, Dialogue, Exchange, Question, Session, chips_of
from gpt4roi_runtime import captions
from gpt4roi_runtime.captions import Caption, Layout
from gpt4roi_runtime.errors import OutputError, QuestionError
from gpt4roi_runtime.storage import written_aside

LAYOUTS: dict[str, Layout] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".coco.json": "coco",
    ".txt": "text",
}
"""Endings of a survey's file."""


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


def _caption(session: Session, row: Exchange) -> Caption:
    asked = row.asked[0]
    number = session.number_of(asked.region_id) or asked.number
    n_tokens = 0 if row.timing is None else row.timing.n_answer_tokens
    return Caption(number, asked.box.xyxy, row.answer, row.state, n_tokens)
