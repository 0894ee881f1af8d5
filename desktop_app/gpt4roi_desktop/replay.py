"""A session's questions asked once more, as they were, and what is different in the answers. Knows no model.

Boxes are those that were asked about, wherever they are now; earlier turns are the replay's own.
"""

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path

from gpt4roi_desktop import talk
from gpt4roi_desktop.session import Chip, Dialogue, Exchange, Session
from gpt4roi_desktop.talk import Prompt
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.prompt import Turn
from gpt4roi_runtime.storage import written_aside


@dataclass(frozen=True)
class Pair:
    """An answer then and now; ``then`` is None where the exchange is gone."""

    then: Exchange | None
    now: Exchange

    @property
    def is_same(self) -> bool | None:
        """Whether both say the same; None while that is not known."""
        if self.then is None or self.then.state != "done" or self.now.state != "done":
            return None
        return self.then.answer == self.now.answer


def begin(session: Session) -> Session:
    """Every question that was answered, waiting once more; an older replay makes room."""
    kept = tuple(dialogue for dialogue in session.dialogues if dialogue.kind != "replay")
    session = replace(session, dialogues=kept)
    for original in session.of_kind("talk"):
        rows = tuple(each for each in original.exchanges if each.state == "done")
        if rows:
            first = session.next_id + 1
            again = tuple(
                Exchange(first + place, each.question, each.asked, of=each.id) for place, each in enumerate(rows)
            )
            session = talk.insert(session, Dialogue(session.next_id, again, "replay"), 1 + len(again))
    return session


def pairs(session: Session) -> tuple[Pair, ...]:
    """Every question of the replay, with both answers."""
    originals = {each.id: each for each in session.exchanges()}
    return tuple(
        Pair(originals.get(now.of), now) for dialogue in session.of_kind("replay") for now in dialogue.exchanges
    )


def prompt_of(session: Session, exchange_id: int) -> Prompt | None:
    """What the model is given for an exchange of a replay, with the boxes and numbers of then."""
    dialogue = session.dialogue_of(exchange_id)
    exchange = session.exchange(exchange_id)
    if dialogue is None or exchange is None:
        return None
    numbers = {asked.region_id: asked.number for asked in exchange.asked}
    boxes = {asked.region_id: asked.box for asked in exchange.asked}
    turns = [turn for turn in talk.answered_before(dialogue, exchange_id) if _joins(turn, numbers, boxes)]
    return Prompt(
        question=_as_text(exchange, numbers),
        regions={numbers[region_id]: box for region_id, box in boxes.items()},
        history=tuple(Turn(_as_text(turn, numbers), _renumbered(turn, numbers)) for turn in turns),
    )


def as_csv(session: Session) -> str:
    """A row a question: both answers, whether they are the same, both models and times."""
    file = io.StringIO(newline="")
    table = csv.writer(file)
    table.writerow(
        ["question", "then", "now", "same", "bundle_then", "bundle_now", "first_text_then", "first_text_now"]
    )
    for pair in pairs(session):
        numbers = {asked.region_id: asked.number for asked in pair.now.asked}
        both = (pair.then, pair.now)
        table.writerow(
            [
                _as_text(pair.now, numbers),
                *("" if each is None else each.answer for each in both),
                "" if pair.is_same is None else pair.is_same,
                *("" if each is None or each.setup is None else each.setup.bundle_id for each in both),
                *("" if each is None or each.timing is None else each.timing.first_text_s for each in both),
            ]
        )
    return file.getvalue()


def export(path: Path, session: Session) -> None:
    """Write the comparison as CSV; the file appears whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    with written_aside(path) as file:
        file.write(as_csv(session).encode("utf-8", "replace"))


def _joins(turn: Exchange, numbers: dict[int, int], boxes: dict[int, Box]) -> bool:
    """Take a turn's regions in, unless it is about another box of the same region."""
    if any(boxes.get(asked.region_id, asked.box) != asked.box for asked in turn.asked):
        return False
    for asked in turn.asked:
        if asked.region_id not in numbers:
            taken = set(numbers.values())
            free = (number for number in range(1, len(taken) + 2) if number not in taken)
            numbers[asked.region_id] = asked.number if asked.number not in taken else next(free)
            boxes[asked.region_id] = asked.box
    return True


def _as_text(exchange: Exchange, numbers: dict[int, int]) -> str:
    return "".join(
        token if isinstance(token, str) else f"<region{numbers.get(token.region_id, '?')}>"
        for token in exchange.question
    )


def _renumbered(turn: Exchange, numbers: dict[int, int]) -> str:
    return "".join(
        f"region{numbers[part.region_id]}" if isinstance(part, Chip) else part for part in talk.answer_parts(turn)
    )
