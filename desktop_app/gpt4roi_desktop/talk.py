"""What becomes of questions: pure functions from a session to the next, and what the model is told. Knows no model.

A question holds chips. Only here do they become ``<regionN>`` and boxes, so the two can never disagree.
"""

import re
from dataclasses import dataclass, replace

from gpt4roi_desktop.session import (
    Asked,
    Chip,
    Dialogue,
    Exchange,
    Question,
    Session,
    Setup,
    State,
    Timing,
    chips_of,
)
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.prompt import Turn

_REGION_WORD = re.compile(r"<?\bregion ?([1-9]\d{0,3})\b>?", re.IGNORECASE)
"""How a model names a region in an answer: ``region1``, ``Region 1``, ``<region1>``."""


@dataclass(frozen=True)
class Prompt:
    """What the model is given: the question, the boxes by number, and the turns it should remember."""

    question: str
    regions: dict[int, Box]
    history: tuple[Turn, ...]


def ask(session: Session, question: Question) -> tuple[Session, int]:
    """A new exchange, waiting, in the last dialogue; the question box is empty again.

    Returns:
        The session, and the exchange's id.
    """
    new = Exchange(session.next_id, question, meant_by(session, question))
    last = session.dialogues[-1]
    dialogues = (*session.dialogues[:-1], replace(last, exchanges=(*last.exchanges, new)))
    return replace(session, dialogues=dialogues, draft=(), next_id=new.id + 1), new.id


def insert(session: Session, dialogue: Dialogue, n_ids: int) -> Session:
    """A dialogue before the one that is going on; it took ``n_ids`` ids."""
    *earlier, last = session.dialogues
    return replace(session, dialogues=(*earlier, dialogue, last), next_id=session.next_id + n_ids)


def begin_dialogue(session: Session) -> Session:
    """An empty dialogue at the end; nothing changes where the last one is empty."""
    if not session.dialogues[-1].exchanges:
        return session
    return replace(session, dialogues=(*session.dialogues, Dialogue(session.next_id)), next_id=session.next_id + 1)


def again(session: Session, exchange_id: int) -> Session:
    """An exchange as if it were asked now, with the boxes as they are now; a replay's stay as they were."""
    exchange = session.exchange(exchange_id)
    if exchange is None:
        return session
    asked = exchange.asked if exchange.of else meant_by(session, exchange.question)
    return _with(session, Exchange(exchange.id, exchange.question, asked, of=exchange.of))


def start(session: Session, exchange_id: int) -> Session:
    """An exchange that the model is asked now: its boxes are those of when it was asked, its numbers those of now.

    The model is told today's numbers, so ``region1`` in its answer has to be read by them; a replay tells its own.
    """
    exchange = session.exchange(exchange_id)
    if exchange is None:
        return session
    asked = tuple(
        each if exchange.of else replace(each, number=session.number_of(each.region_id) or each.number)
        for each in exchange.asked
    )
    return _with(session, replace(exchange, asked=asked, state="streaming"))


def hear(session: Session, exchange_id: int, text: str) -> Session:
    """More text of an answer; it is streaming from now on."""
    exchange = session.exchange(exchange_id)
    if exchange is None:
        return session
    return _with(session, replace(exchange, answer=exchange.answer + text, state="streaming"))


def finish(session: Session, exchange_id: int, answer: str, timing: Timing, setup: Setup | None = None) -> Session:
    """An answer that is complete, and what gave it."""
    exchange = session.exchange(exchange_id)
    if exchange is None:
        return session
    return _with(session, replace(exchange, answer=answer, state="done", timing=timing, setup=setup))


def end(session: Session, exchange_id: int, state: State, problem: str = "", advice: str = "") -> Session:
    """An exchange in another state, with its reason; what was answered so far stays."""
    exchange = session.exchange(exchange_id)
    if exchange is None:
        return session
    return _with(session, replace(exchange, state=state, problem=problem, advice=advice))


def requeue(session: Session, exchange_id: int) -> Session:
    """An exchange that waits again, about the same boxes; its half answer and its trouble are forgotten."""
    exchange = session.exchange(exchange_id)
    if exchange is None:
        return session
    return _with(session, replace(exchange, answer="", state="queued", problem="", advice=""))


def prompt_of(session: Session, exchange_id: int) -> Prompt | None:
    """What the model is given for an exchange, or None where a region of the question was deleted.

    The boxes are those of when it was asked: what is recorded must be what the model saw, however long it waited.
    """
    exchange = session.exchange(exchange_id)
    if exchange is None:
        return None
    ids = chips_of(exchange.question)
    if any(session.number_of(region_id) is None for region_id in ids):
        return None
    turns = memory(session, exchange_id)
    for turn in turns:
        ids += chips_of(turn.question)
    numbers = {region_id: session.number_of(region_id) for region_id in ids}
    boxes = _boxes_for(session, exchange)
    return Prompt(
        question=as_text(session, exchange.question),
        regions={number: boxes[region_id] for region_id, number in numbers.items() if number is not None},
        history=tuple(Turn(as_text(session, turn.question), renamed(session, turn)) for turn in turns),
    )


def memory(session: Session, exchange_id: int) -> tuple[Exchange, ...]:
    """The earlier turns of an exchange's dialogue that still hold.

    A turn about a box that was moved or deleted since is left out: its answer is about something else. A survey's
    questions know nothing of one another.
    """
    dialogue = session.dialogue_of(exchange_id)
    exchange = session.exchange(exchange_id)
    if dialogue is None or exchange is None or dialogue.kind == "survey":
        return ()
    boxes = _boxes_for(session, exchange)
    return tuple(turn for turn in answered_before(dialogue, exchange_id) if _holds(turn, boxes))


def answered_before(dialogue: Dialogue, exchange_id: int) -> tuple[Exchange, ...]:
    """The exchanges of a dialogue that were answered and stand before one."""
    ids = [exchange.id for exchange in dialogue.exchanges]
    earlier = dialogue.exchanges[: ids.index(exchange_id)]
    return tuple(turn for turn in earlier if turn.state == "done" and turn.answer)


def as_text(session: Session, question: Question) -> str:
    """A question as the model reads it."""
    return "".join(
        token if isinstance(token, str) else f"<region{session.number_of(token.region_id)}>" for token in question
    )


def renamed(session: Session, exchange: Exchange) -> str:
    """An answer whose ``region1`` follows the region it meant then to the number it has now."""
    return "".join(
        part if isinstance(part, str) else f"region{session.number_of(part.region_id) or '?'}"
        for part in answer_parts(exchange)
    )


def renumbered(answer: str, then: int, now: int) -> str:
    """An answer that calls a region ``now`` where the model, which knew it as ``then``, called it that."""

    def now_called(word: re.Match[str]) -> str:
        return word[0].replace(word[1], str(now)) if int(word[1]) == then else word[0]

    return _REGION_WORD.sub(now_called, answer)


def answer_parts(exchange: Exchange) -> Question:
    """An answer as text and chips."""
    ids = {asked.number: asked.region_id for asked in exchange.asked}
    parts: list[str | Chip] = []
    place = 0
    for word in _REGION_WORD.finditer(exchange.answer):
        region_id = ids.get(int(word[1]))
        if region_id is not None:
            parts += [exchange.answer[place : word.start()], Chip(region_id)]
            place = word.end()
    return (*parts, exchange.answer[place:])


def meant_by(session: Session, question: Question) -> tuple[Asked, ...]:
    """What the chips of a question stand for now."""
    mentioned = chips_of(question)
    return tuple(
        Asked(region.id, number, region.box)
        for number, region in enumerate(session.regions, 1)
        if region.id in mentioned
    )


def _boxes_for(session: Session, exchange: Exchange) -> dict[int, Box]:
    """Boxes by region: an exchange's own as they were when it was asked, the others as they are."""
    now = {region.id: region.box for region in session.regions}
    return now | {asked.region_id: asked.box for asked in exchange.asked}


def _holds(turn: Exchange, boxes: dict[int, Box]) -> bool:
    return all(boxes.get(asked.region_id) == asked.box for asked in turn.asked)


def _with(session: Session, exchange: Exchange) -> Session:
    dialogues = tuple(
        replace(
            dialogue,
            exchanges=tuple(exchange if old.id == exchange.id else old for old in dialogue.exchanges),
        )
        for dialogue in session.dialogues
    )
    return replace(session, dialogues=dialogues)
