"""What happens when: opens photos, queues questions, keeps the model's process fed. Knows no Qt and no widget.

Everything here runs on one thread, the window's. What takes long is done ``aside`` or in the model's process, and comes
back through ``post``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from gpt4roi_desktop import preferences, replay, requests, surveys, talk
from gpt4roi_desktop.looking import Looking
from gpt4roi_desktop.photo_file import OpenedPhoto, read_photo
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.session import Exchange, Kind, Question, Session, Setup, Timing, chipped, chips_of
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import Gpt4RoiError, QuestionError
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.prompt import check_dialogue
from gpt4roi_runtime.vision.proposals import Proposal
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.faults import how_it_ended

T = TypeVar("T")
Stage = Literal["idle", "loading", "reading", "encoding", "ready", "answering", "proposing", "no_model", "dead"]
Change = Literal["session", "photo", "status", "proposals", "notice", "sight", "preferences"]
Remedy = Literal["", "restart", "choose_model"]


@dataclass(frozen=True)
class Notice:
    """Something to tell in the window: what, what to do, and the button that does it."""

    problem: str
    advice: str = ""
    remedy: Remedy = ""


class Worker(Protocol):
    """The model's process, as ``WorkerProcess`` is it."""

    def send(self, request: m.Request, photo: RgbImage | None = None) -> None:
        """Send a request; returns at once."""

    def close(self) -> None:
        """End the process."""


class Threads(Protocol):
    """How the controller leaves its thread and comes back."""

    def post(self, call: Callable[[], None]) -> None:
        """Run a call on the controller's thread, soon; may be used from any thread."""

    def aside(self, work: Callable[[], T], then: Callable[[T], None], failed: Callable[[Gpt4RoiError], None]) -> None:
        """Run ``work`` on another thread, then ``then`` or ``failed`` on the controller's."""


Launch = Callable[[Callable[[m.Event], None]], Worker]


class Controller:
    """One window's affairs.

    Attributes:
        session: The photo that is open and all about it, or None.
        pixels: Of that photo, uint8 ``[h w 3]``.
        proposals: Boxes that the detector offers on it.
        model: What the model said of itself, or None while there is none.
        notice: What to tell, or None.
        memory_bytes: Of the model's process, 0 while unknown.
        preferences: What the user chose for good.
        looking: What the model sees of the photo.
    """

    def __init__(self, launch: Launch, threads: Threads, places: Places, notify: Callable[[Change], None]) -> None:
        self.session: Session | None = None
        self.pixels: RgbImage | None = None
        self.proposals: tuple[Proposal, ...] = ()
        self.model: m.BundleOpened | None = None
        self.notice: Notice | None = None
        self.memory_bytes = 0
        self.preferences = preferences.load(places.preferences)
        self.looking = Looking(threads, lambda: notify("sight"))
        self._launch = launch
        self._threads = threads
        self._places = places
        self._notify = notify
        self._ids = count(1)
        self._worker: Worker | None = None
        self._bundle: Path | None = None
        self._bundle_request = 0
        self._image_request = 0
        self._image_ready = False
        self._n_opening = 0
        self._reading = False
        self._running: tuple[int, int] | None = None  # request, exchange
        self._proposing = 0
        self._died_at: set[int] = set()
        self._no_model = False
        self._switching = False

    # -- the model -----------------------------------------------------------------------------------------------

    def open_model(self, folder: Path) -> None:
        """Load a bundle, in a new process; the photo is encoded again behind it."""
        self._bundle = folder
        self.looking.open_bundle(folder)
        if self._running is not None and self.session is not None:
            self.replace(talk.requeue(self.session, self._running[1]))
        old, self._worker = self._worker, None
        self._drop_worker()
        if old is None:
            self.restart()
            return
        self._switching = True  # the old process first, so that never two models are in memory; it may take seconds
        self._threads.aside(old.close, lambda _: self._switched(), self._complain)
        self._notify("status")

    def _switched(self) -> None:
        self._switching = False
        self.restart()

    @property
    def bundle(self) -> Path | None:
        """Folder of the model that is open or being opened."""
        return self._bundle

    def use_model(self, folder: Path) -> None:
        """Load a bundle, and again the next time."""
        self.prefer(self.preferences.with_model(folder))
        self.open_model(folder)

    def prefer(self, chosen: Preferences) -> None:
        """Other preferences, remembered; a model that has to be loaded anew for them is."""
        old, self.preferences = self.preferences, chosen
        if chosen == old:
            return
        self._threads.aside(lambda: self._places.keep_preferences(chosen), lambda _: None, self._complain)
        self._notify("preferences")
        if chosen.engines() != old.engines() and self._bundle is not None:
            self.open_model(self._bundle)

    def _complain(self, error: Gpt4RoiError) -> None:
        self.tell(Notice(error.problem, error.advice))

    def restart(self) -> None:
        """Start the model's process, open bundle and photo again, go on with the questions that wait."""
        if self._bundle is None or self._worker is not None or self._switching:
            return
        self.tell(None)
        worker: Worker | None = None

        def hear(event: m.Event) -> None:
            self._threads.post(lambda: self._hear(worker, event))

        try:
            worker = self._launch(hear)
        except Gpt4RoiError as error:
            self.tell(Notice(error.problem, error.advice, "restart"))
            return
        self._worker, self._no_model = worker, False
        self._bundle_request = next(self._ids)
        worker.send(requests.open_bundle(self._bundle_request, self._bundle, self.preferences))
        self._notify("status")

    def close(self) -> None:
        """Remember the session and end the process, both aside: neither keeps the window waiting."""
        self.keep()
        self._drop_worker()

    # -- the photo -----------------------------------------------------------------------------------------------

    def open_photo(self, path: Path, resumed: Session | None = None) -> None:
        """Read a photo aside; what is known about it comes back with it.

        Args:
            path: The photo.
            resumed: A session to go on with; None takes the one that was kept for this photo, if any.
        """
        self.keep()  # before it is read back: the photo may be the one that is open
        self._n_opening += 1
        opening = self._n_opening
        self._reading = True
        self._notify("status")

        def read() -> tuple[OpenedPhoto, Session | None]:
            opened = read_photo(path)
            return opened, resumed or self._places.kept(opened.photo.sha256)

        def then(result: tuple[OpenedPhoto, Session | None]) -> None:
            if opening == self._n_opening:
                self._reading = False
                self._take(*result)

        def failed(error: Gpt4RoiError) -> None:
            if opening == self._n_opening:
                self._reading = False
                self.tell(Notice(error.problem, error.advice))
                self._notify("status")

        self._threads.aside(read, then, failed)

    def _take(self, opened: OpenedPhoto, known: Session | None) -> None:
        self._leave_photo()
        self.tell(None)
        self.pixels, self.proposals = opened.pixels, ()
        self.session = self._joined(opened, known)
        self.looking.open_photo(opened.photo, opened.pixels)
        self._image_ready = False
        self._notify("photo")
        self._notify("proposals")
        self._notify("session")
        self._send_image()

    def _joined(self, opened: OpenedPhoto, known: Session | None) -> Session:
        """What is known about a photo, if it is this photo."""
        if known is None:
            return Session(opened.photo)
        if known.photo.sha256 != opened.photo.sha256:
            self.tell(Notice(f"{opened.photo.path.name} is not the photo of that session", "It was opened without it."))
            return Session(opened.photo)
        return replace(known, photo=opened.photo)

    def _leave_photo(self) -> None:
        """Stop what is about the old photo, and remember it."""
        if self.session is not None:
            for exchange in self.session.exchanges():
                if exchange.state in ("queued", "streaming"):
                    self.stop(exchange.id)
            if self._running is not None:
                self.session = talk.end(self.session, self._running[1], "stopped")
        self.keep()
        self._running, self._proposing = None, 0

    def _send_image(self) -> None:
        if self._worker is None or self.model is None or self.pixels is None:
            self._notify("status")
            return
        height_px, width_px = self.pixels.shape[:2]
        self._image_ready, self._image_request = False, next(self._ids)
        self._worker.send(m.OpenImage(self._image_request, width_px, height_px), self.pixels)
        self._notify("status")

    # -- the session ---------------------------------------------------------------------------------------------

    def replace(self, session: Session) -> None:
        """Another state of the session, as made by ``edits``."""
        if session is not self.session:
            self.session = session
            self._notify("session")

    def keep(self) -> None:
        """Remember the session, aside; where that fails, say so and go on."""
        session = self.session
        if session is None or not self._worth_keeping(session):
            return
        self._threads.aside(lambda: self._places.keep(session), lambda _: None, self._complain)

    def _worth_keeping(self, session: Session) -> bool:
        """There is something in it, or something that was kept before must be forgotten."""
        return bool(session.regions or session.exchanges()) or self._places.autosaved(session.photo.sha256).exists()

    def new_dialogue(self) -> None:
        """The next question begins a dialogue of its own."""
        if self.session is not None:
            self.replace(talk.begin_dialogue(self.session))

    def tell(self, notice: Notice | None) -> None:
        """Show a notice, or take it away."""
        if notice != self.notice:
            self.notice = notice
            self._notify("notice")

    # -- questions -----------------------------------------------------------------------------------------------

    def ask(self, question: Question) -> int:
        """Ask now, or as soon as photo and model are ready.

        Returns:
            The exchange's id.

        Raises:
            InputError: There is no photo, or the question is empty or holds the model's own words.
        """
        if self.session is None:
            raise QuestionError("there is no photo to ask about", "Open one first.")
        question = chipped(question, self.session)
        numbers = [self.session.number_of(region_id) for region_id in chips_of(question)]
        check_dialogue([talk.as_text(self.session, question)], [number for number in numbers if number is not None])
        session, exchange_id = talk.ask(self.session, question)
        self.replace(session)
        self._pump()
        return exchange_id

    def ask_each(self, question: Question) -> int:
        """Ask about every region that is shown in turn; what is typed meanwhile goes before what still waits.

        Returns:
            The survey's id.

        Raises:
            InputError: There is no photo or no region that is shown, the question mentions none or several, or it
                holds the model's own words.
        """
        if self.session is None:
            raise QuestionError("there is no photo to ask about", "Open one first.")
        question = chipped(question, self.session)
        session, survey_id = surveys.ask_each(self.session, question)
        for number, region in enumerate(session.regions, 1):
            if not region.hidden:
                check_dialogue([talk.as_text(session, surveys.about(question, region.id))], [number])
        self.replace(session)
        self._pump()
        return survey_id

    def replay(self) -> None:
        """Ask everything that was answered once more, to compare."""
        if self.session is not None:
            self.stop_kind("replay")
            self.replace(replay.begin(self.session))
            self._pump()

    def stop_kind(self, kind: Kind) -> None:
        """Stop everything of one kind of dialogue that waits or is being answered."""
        session = self.session
        for dialogue in () if session is None else session.of_kind(kind):
            for exchange in dialogue.exchanges:
                if exchange.state in ("queued", "streaming"):
                    self.stop(exchange.id)

    def ask_again(self, exchange_id: int) -> None:
        """The same question once more, in its old place."""
        if self.session is None or (self._running is not None and self._running[1] == exchange_id):
            return
        self._died_at.discard(exchange_id)
        self.replace(talk.again(self.session, exchange_id))
        self._pump()

    def stop(self, exchange_id: int) -> None:
        """Stop an answer, or take a waiting question out of the queue; what was answered stays."""
        if self.session is None:
            return
        if self._running is not None and self._running[1] == exchange_id:
            if self._worker is not None:
                self._worker.send(m.Cancel(self._running[0]))
        else:
            self.replace(talk.end(self.session, exchange_id, "stopped"))

    @property
    def running(self) -> int | None:
        """The exchange that is being answered."""
        return None if self._running is None else self._running[1]

    def propose(self) -> None:
        """Ask the detector for boxes."""
        if self._worker is None or not self._image_ready or self._proposing:
            return
        self._proposing = next(self._ids)
        self._worker.send(m.Propose(self._proposing))
        self._notify("status")

    def take_proposal(self, place: int) -> Box:
        """A box that was offered, to be adopted; it is offered no longer."""
        taken = self.proposals[place]
        self.proposals = tuple(each for each in self.proposals if each is not taken)
        self._notify("proposals")
        return taken.box

    def drop_proposals(self) -> None:
        """Forget the boxes that were offered."""
        if self.proposals:
            self.proposals = ()
            self._notify("proposals")

    @property
    def can_propose(self) -> bool:
        """There is a detector and a photo for it."""
        return self._image_ready and self.model is not None and self.model.has_detector

    @property
    def stage(self) -> Stage:
        """What is going on, the nearest thing first."""
        facts: tuple[tuple[bool, Stage], ...] = (
            (self._reading, "reading"),
            (self._switching, "loading"),
            (self._no_model, "no_model"),
            (self._bundle is not None and self._worker is None, "dead"),
            (self._worker is None, "idle"),
            (self.model is None, "loading"),
            (self._running is not None, "answering"),
            (self._proposing > 0, "proposing"),
            (self.session is not None and not self._image_ready, "encoding"),
        )
        return next((stage for holds, stage in facts if holds), "ready")

    def _pump(self) -> None:
        """Send the next question, if the model is free for it."""
        while self.session is not None and self._worker is not None and self._image_ready and self._running is None:
            waiting = _next_waiting(self.session)
            if waiting is None:
                break
            maker = replay if waiting.of else talk
            prompt = maker.prompt_of(self.session, waiting.id)
            if prompt is None:
                deleted = "a box of this question was deleted"
                self.replace(talk.end(self.session, waiting.id, "failed", deleted, "Ask again with other boxes."))
                continue
            request = requests.ask(next(self._ids), prompt, self.preferences)
            self._running = (request.id, waiting.id)
            self._worker.send(request)
            self.replace(talk.start(self.session, waiting.id))
        self._notify("status")

    # -- what the process says -----------------------------------------------------------------------------------

    def _hear(self, worker: Worker | None, event: m.Event) -> None:
        if worker is not self._worker or worker is None:
            return  # a process that was given up
        match event:
            case m.BundleOpened():
                self.model = event
                self._send_image()
            case m.ImageOpened():
                if event.id == self._image_request:
                    self._image_ready = True
                    self._pump()
            case m.Proposed():
                self._hear_proposals(event)
            case m.Died():
                self._hear_death(event)
            case m.Failed():
                self._hear_failure(event)
            case m.Text() | m.Answered() | m.Stopped():
                self._hear_answer(event)

    def _hear_answer(self, event: m.Text | m.Answered | m.Stopped) -> None:
        if self.session is None or self._running is None or event.id != self._running[0]:
            return
        exchange_id = self._running[1]
        match event:
            case m.Text():
                self.replace(talk.hear(self.session, exchange_id, event.text))
                return
            case m.Answered():
                self.memory_bytes = event.memory_bytes
                answered = event.done
                self.replace(talk.finish(self.session, exchange_id, answered.answer, _timing(answered), self._setup()))
            case m.Stopped():
                self.replace(talk.end(self.session, exchange_id, "stopped"))
        self._running = None
        self._pump()

    def _hear_proposals(self, event: m.Proposed) -> None:
        if event.id != self._proposing:
            return
        self._proposing = 0
        self.proposals = tuple(Proposal(Box(*each.box), each.name, each.score) for each in event.found)
        if not self.proposals:
            self.tell(Notice("the detector found nothing that it is sure of", "Draw boxes by hand."))
        self._notify("proposals")
        self._notify("status")

    def _hear_failure(self, event: m.Failed) -> None:
        notice = Notice(event.problem, event.advice)
        if self._running is not None and event.id == self._running[0] and self.session is not None:
            self.replace(talk.end(self.session, self._running[1], "failed", event.problem, event.advice))
            self._running = None
            self._pump()
            return
        if event.id == self._proposing:
            self._proposing = 0
        elif event.id == self._bundle_request:
            self._no_model = True
            notice = Notice(event.problem, event.advice, "choose_model")
        elif event.id != self._image_request:
            return  # about a photo that was left
        self.tell(notice)
        self._notify("status")

    def _hear_death(self, event: m.Died) -> None:
        """Nothing is lost: session and photo are here, and the question that was being answered waits again."""
        if self._running is not None and self.session is not None:
            exchange_id = self._running[1]
            if exchange_id in self._died_at:
                advice = "Ask it in other words, or restart the model."
                self.replace(talk.end(self.session, exchange_id, "failed", "the model ended twice over this", advice))
            else:
                self._died_at.add(exchange_id)
                self.replace(talk.requeue(self.session, exchange_id))
        self._drop_worker()
        self.tell(
            Notice(
                f"the model's process {how_it_ended(event)}",
                "Your boxes and answers are safe. Restart it to go on.",
                "restart",
            )
        )
        self._notify("status")

    def _setup(self) -> Setup | None:
        model = self.model
        if model is None:
            return None
        engines = f"{model.vision_engine} + {model.language_engine}"
        chosen = self.preferences
        return Setup(model.bundle_id, model.name, engines, model.n_threads, chosen.temperature, chosen.max_tokens)

    def _drop_worker(self) -> None:
        worker, self._worker = self._worker, None
        self.model, self._image_ready, self._running, self._proposing = None, False, None, 0
        if worker is not None:
            self._threads.aside(worker.close, lambda _: None, self._complain)  # one that does not go takes seconds


def _next_waiting(session: Session) -> Exchange | None:
    """The question to be answered next: what a person typed goes before surveys and replays."""
    waiting = [
        (dialogue.kind != "talk", each)
        for dialogue in session.dialogues
        for each in dialogue.exchanges
        if each.state == "queued"
    ]
    return min(waiting, key=lambda one: one[0], default=(False, None))[1]


def _timing(done: Done) -> Timing:
    n_steps, decode_s = done.n_answer_tokens - 1, done.seconds["decode"]
    rate = n_steps / decode_s if n_steps > 0 and decode_s > 0 else None
    return Timing(done.seconds.get("first_text"), rate, done.n_answer_tokens, done.n_prompt_rows)
