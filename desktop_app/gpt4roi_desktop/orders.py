"""What is asked next, as one request: a question, or all rows of a survey that wait; and its answers, read back.

Knows no process. Rows are asked about ``<region1>`` each, so that they can be answered side by side: what the model
calls by that name is given the row's own number again.
"""

from collections.abc import Collection
from dataclasses import dataclass

from gpt4roi_desktop import replay, requests, surveys, talk
from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.session import Exchange, Session, Timing
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.worker import messages as m


@dataclass(frozen=True)
class Order:
    """A request and what it is about.

    Attributes:
        request: As the model's process takes it.
        exchange_ids: In the order of the request's boxes, if it has many.
    """

    request: m.Ask | m.AskEach
    exchange_ids: tuple[int, ...]

    @property
    def is_side_by_side(self) -> bool:
        """Whether rows are answered side by side; their answers come whole."""
        return isinstance(self.request, m.AskEach)

    def answer_for(self, exchange: Exchange, done: Done) -> str:
        """The answer with the number that the exchange's region has in the session."""
        if not self.is_side_by_side:
            return done.answer
        return talk.renumbered(done.answer, surveys.REGION_OF_A_ROW, exchange.asked[0].number)

    def timing_of(self, done: Done) -> Timing:
        """What an answer took."""
        n_steps, seconds = done.n_answer_tokens - 1, done.seconds
        rate = n_steps / seconds["decode"] if n_steps > 0 and seconds["decode"] > 0 else None
        whole_s = sum(seconds.get(stage, 0.0) for stage in ("regions", "rows", "prefill", "decode"))
        first_text_s = whole_s if self.is_side_by_side else seconds.get("first_text")
        return Timing(first_text_s, rate, done.n_answer_tokens, done.n_prompt_rows)


def next_waiting(session: Session) -> Exchange | None:
    """The question to be answered next: what a person typed goes before surveys and replays."""
    waiting = [
        (dialogue.kind != "talk", each)
        for dialogue in session.dialogues
        for each in dialogue.exchanges
        if each.state == "queued"
    ]
    return min(waiting, key=lambda one: one[0], default=(False, None))[1]


def somebody_waits(session: Session) -> bool:
    """Whether a question that a person typed is waiting."""
    return any(each.state == "queued" for dialogue in session.of_kind("talk") for each in dialogue.exchanges)


def order_of(
    session: Session, exchange: Exchange, request_id: int, chosen: Preferences, apart: Collection[int]
) -> Order | None:
    """An exchange as a request, with those that can be answered beside it.

    Args:
        session: Has the exchange.
        exchange: Waits.
        request_id: For the request.
        chosen: How answers are written.
        apart: Rows to be answered each alone.

    Returns:
        None where a region of the question was deleted.
    """
    rows = surveys.side_by_side(session, exchange.id, apart)
    if rows is not None:
        return Order(requests.ask_each(request_id, rows, chosen), rows.row_ids)
    prompt = (replay if exchange.of else talk).prompt_of(session, exchange.id)
    return None if prompt is None else Order(requests.ask(request_id, prompt, chosen), (exchange.id,))
