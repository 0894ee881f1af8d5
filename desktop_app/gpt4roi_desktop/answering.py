"""The questions of a session on their way to the model, and its answers back: one request at a time. Knows no window.

What a person types goes before surveys and replays: a survey that is being answered makes way, keeps the rows that are
finished, and goes on with the others afterwards.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from gpt4roi_desktop import orders, talk
from gpt4roi_desktop.model_process import ModelProcess
from gpt4roi_desktop.orders import Order
from gpt4roi_desktop.session import Exchange, Kind, Session, Setup, State
from gpt4roi_desktop.workspace import Workspace
from gpt4roi_runtime.errors import Gpt4RoiError
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.faults import how_it_ended

_DELETED = ("a box of this question was deleted", "Ask again with other boxes.")
_DIED_TWICE = ("the model ended twice over this", "Ask it in other words, or restart the model.")
_GOES_ON = "Restart the model: it goes on with this box."


@dataclass
class _Running:
    """What is with the model.

    Attributes:
        order: What it was sent.
        unanswered: Exchanges by their place in it.
        cancelled: Whether it was told to stop.
        then: What becomes of those that have no answer when it has stopped.
    """

    order: Order
    unanswered: dict[int, int]
    cancelled: bool = False
    then: Literal["stopped", "queued"] = "stopped"


class Answering:
    """Asks what waits, in its order.

    Args:
        process: Who is asked.
        workspace: Has the session.

    Attributes:
        memory_bytes: Of the model's process when it last answered, 0 while unknown.
    """

    def __init__(self, process: ModelProcess, workspace: Workspace) -> None:
        self.memory_bytes = 0
        self._process = process
        self._workspace = workspace
        self._running: _Running | None = None
        self._died_at: set[int] = set()
        self._interrupted: set[int] = set()

    @property
    def running(self) -> int | None:
        """The exchange that is being answered; of several, the first that has no answer yet."""
        return None if self._running is None else next(iter(self._running.unanswered.values()), None)

    @property
    def busy(self) -> bool:
        """Whether the model is at it; for a moment also when every row has its answer."""
        return self._running is not None

    def go_on(self) -> None:
        """Send what is to be asked next, if the model is free for it."""
        while (session := self._workspace.session) is not None and self._process.has_photo and self._running is None:
            waiting = orders.next_waiting(session)
            if waiting is None:
                break
            self._send(session, waiting)
        self._make_way()
        self._workspace.notify("status")

    def stop(self, exchange_id: int) -> None:
        """Stop an answer, or take a waiting question out of the queue; what was answered stays.

        Rows that are answered side by side stop together.
        """
        if self._running is not None and exchange_id in self._running.unanswered.values():
            self._cancel(self._running, "stopped")
        else:
            self._set((exchange_id,), "stopped")

    def stop_kind(self, kind: Kind) -> None:
        """Stop everything of one kind of dialogue that waits or is being answered."""
        session = self._workspace.session
        self._stop_all(() if session is None else (each for one in session.of_kind(kind) for each in one.exchanges))

    def again(self, exchange_id: int) -> None:
        """The same question once more, in its old place."""
        session, running = self._workspace.session, self._running
        if session is None or (running is not None and exchange_id in running.unanswered.values()):
            return
        self._died_at.discard(exchange_id)
        self._workspace.replace(talk.again(session, exchange_id))
        self.go_on()

    def requeue(self) -> None:
        """What is being answered waits again: another model is to answer it."""
        self._set(self._give_up(), "queued")

    def resume(self) -> None:
        """Rows that the process died over wait again, about the same boxes: there is to be another process."""
        session = self._workspace.session
        rows = () if session is None else session.exchanges()
        self._set([each.id for each in rows if each.id in self._interrupted and each.state == "failed"], "queued")
        self._interrupted.clear()

    def leave(self) -> None:
        """Stop everything, as another photo is opened: what comes yet is about the old one."""
        session = self._workspace.session
        self._stop_all(() if session is None else session.exchanges())
        self._set(self._give_up(), "stopped")
        self._died_at.clear()  # another session gives the same ids to other questions
        self._interrupted.clear()

    # -- to the model --------------------------------------------------------------------------------------------

    def _send(self, session: Session, exchange: Exchange) -> None:
        order = orders.order_of(
            session, exchange, self._process.new_id(), self._workspace.preferences, apart=self._died_at
        )
        if order is None:
            self._set((exchange.id,), "failed", *_DELETED)
            return
        try:
            self._process.send(order.request, self._hear)
        except Gpt4RoiError as error:  # words that no message can hold
            self._set(order.exchange_ids, "failed", error.problem, error.advice)
            return
        self._running = _Running(order, dict(enumerate(order.exchange_ids)))
        for exchange_id in order.exchange_ids:
            session = talk.start(session, exchange_id)
        self._workspace.replace(session)

    def _make_way(self) -> None:
        """What a person typed does not wait for the rows of a survey."""
        session, running = self._workspace.session, self._running
        if session is None or running is None or not running.order.is_side_by_side or running.cancelled:
            return
        if orders.somebody_waits(session):
            self._cancel(running, "queued")

    def _cancel(self, running: _Running, then: Literal["stopped", "queued"]) -> None:
        running.then = then
        if not running.cancelled:
            running.cancelled = True
            self._process.cancel(running.order.request.id)

    def _give_up(self) -> tuple[int, ...]:
        """Hear no more of what is being answered; returns what has no answer."""
        running, self._running = self._running, None
        if running is None:
            return ()
        self._process.forget(running.order.request.id)
        return tuple(running.unanswered.values())

    # -- from the model ------------------------------------------------------------------------------------------

    def _hear(self, event: m.Event) -> None:
        session, running = self._workspace.session, self._running
        if session is None or running is None:
            return
        match event:
            case m.Text():
                self._workspace.replace(talk.hear(session, running.unanswered[0], event.text))
            case m.BoxAnswered():
                self._take(session, running, event.index, event.done)
            case m.Answered():
                self._take(session, running, 0, event.done)
                self._finish(event)
            case m.AllAnswered():
                self._finish(event)
            case m.Stopped():
                self._end(running.then)
            case m.Failed():
                self._end("failed", event.problem, event.advice)
            case m.Died():
                self._hear_death(running, f"the model's process {how_it_ended(event)}")

    def _take(self, session: Session, running: _Running, place: int, done: Done) -> None:
        """An answer that is complete."""
        exchange = session.exchange(running.unanswered.pop(place, 0))
        if exchange is not None:
            order = running.order
            answer, timing = order.answer_for(exchange, done), order.timing_of(done)
            self._workspace.replace(talk.finish(session, exchange.id, answer, timing, self._setup()))

    def _finish(self, event: m.Answered | m.AllAnswered) -> None:
        self.memory_bytes = event.memory_bytes
        self._end("stopped")

    def _end(self, state: State, problem: str = "", advice: str = "") -> None:
        """Nothing more comes of the request; what has no answer is in this state from now on."""
        self._set(self._give_up(), state, problem, advice)
        self.go_on()

    def _hear_death(self, running: _Running, problem: str) -> None:
        """What has no answer is asked once more, rows each alone, so that only the culprit is given up next time."""
        unanswered = self._give_up()
        if len(unanswered) == 1 and unanswered[0] in self._died_at:
            self._set(unanswered, "failed", *_DIED_TWICE)
        elif running.order.is_side_by_side:
            self._interrupted.update(unanswered)
            self._set(unanswered, "failed", problem, _GOES_ON)
        else:
            self._set(unanswered, "queued")
        self._died_at.update(unanswered)

    # -- in the session ------------------------------------------------------------------------------------------

    def _stop_all(self, exchanges: Iterable[Exchange]) -> None:
        for exchange in exchanges:
            if exchange.state in ("queued", "streaming"):
                self.stop(exchange.id)

    def _set(self, exchange_ids: Iterable[int], state: State, problem: str = "", advice: str = "") -> None:
        """Another state for exchanges; what waits again forgets what was answered so far."""
        session = self._workspace.session
        if session is None:
            return
        for exchange_id in exchange_ids:
            if state == "queued":
                session = talk.requeue(session, exchange_id)
            else:
                session = talk.end(session, exchange_id, state, problem, advice)
        self._workspace.replace(session)

    def _setup(self) -> Setup | None:
        model, chosen = self._process.opened, self._workspace.preferences
        if model is None:
            return None
        engines = f"{model.vision_engine} + {model.language_engine}"
        return Setup(model.bundle_id, model.name, engines, model.n_threads, chosen.temperature, chosen.max_tokens)
