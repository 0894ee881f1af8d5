"""The nouns of a session: a photo, its numbered regions, the dialogues about them. Knows no Qt and no model.

Everything is frozen: a change is a new session, made by the functions in ``edits`` and ``talk``. A region keeps its id
for ever; its number, which people and the model see, is its place in the list.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpt4roi_runtime.geometry import Box

_MENTION = re.compile(r"<region([1-9]\d{0,3})>", re.ASCII)

State = Literal["queued", "streaming", "done", "stopped", "failed"]
Kind = Literal["talk", "survey", "replay"]
"""Of a dialogue: typed one after another; one question asked of every region; an earlier dialogue once more."""


@dataclass(frozen=True)
class Photo:
    """The picture that a session is about.

    Attributes:
        path: Where it lies.
        sha256: Of the file's bytes, 64 hex digits.
        width_px: Width as a person sees it (EXIF orientation applied).
        height_px: Its height.
    """

    path: Path
    sha256: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Region:
    """A box with an identity; ``locked`` keeps it from being moved or deleted, ``hidden`` from being painted."""

    id: int
    box: Box
    locked: bool = False
    hidden: bool = False


@dataclass(frozen=True)
class Chip:
    """A mention of a region, by id: it follows the region's number."""

    region_id: int


Question = tuple[str | Chip, ...]
"""Text and chips in the order they were typed."""


@dataclass(frozen=True)
class Asked:
    """What a chip stood for when the question was asked."""

    region_id: int
    number: int
    box: Box


@dataclass(frozen=True)
class Timing:
    """What an answer took.

    Attributes:
        first_text_s: Seconds from the question to the first text; None if there was none. Of a survey's row, whose text
            comes as a whole: until it came, from when the model turned to the rows that it answered side by side.
        tokens_per_s: Decoding rate; None where too few tokens came to tell.
        n_answer_tokens: Tokens decoded.
        n_prompt_rows: Rows prefilled.
    """

    first_text_s: float | None
    tokens_per_s: float | None
    n_answer_tokens: int
    n_prompt_rows: int


@dataclass(frozen=True)
class Setup:
    """What gave an answer, so that it can be had again.

    Attributes:
        bundle_id: Of the model.
        bundle_name: Its name.
        engines: Of both halves, in words.
        n_threads: That were used.
        temperature: That was asked for; None is the bundle's own.
        max_tokens: That was asked for; None is the bundle's own.
    """

    bundle_id: str
    bundle_name: str
    engines: str
    n_threads: int
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class Exchange:
    """A question and what became of it; ``problem`` and ``advice`` belong to the state ``failed``.

    Attributes:
        id: Its identity.
        question: Text and chips.
        asked: What the chips stood for when it was asked.
        answer: So far.
        state: What is going on.
        problem: Why it failed.
        advice: What to do about that.
        timing: What the answer took.
        setup: What gave it.
        of: Id of the exchange that this one repeats, or 0.
    """

    id: int
    question: Question
    asked: tuple[Asked, ...] = ()
    answer: str = ""
    state: State = "queued"
    problem: str = ""
    advice: str = ""
    timing: Timing | None = None
    setup: Setup | None = None
    of: int = 0


@dataclass(frozen=True)
class Dialogue:
    """Questions that build on one another; those of a survey do not."""

    id: int
    exchanges: tuple[Exchange, ...] = ()
    kind: Kind = "talk"


@dataclass(frozen=True)
class Session:
    """All that is known about one photo.

    Attributes:
        photo: What it is about.
        regions: In the order of their numbers, which begin at 1.
        selected: Ids of the selected regions.
        draft: The question that is being typed.
        dialogues: Never empty; the last is a talk, the one that a question joins.
        next_id: Greater than every id that was ever given, so that none comes back as something else.
    """

    photo: Photo
    regions: tuple[Region, ...] = ()
    selected: frozenset[int] = frozenset()
    draft: Question = ()
    dialogues: tuple[Dialogue, ...] = (Dialogue(1),)
    next_id: int = 2

    def number_of(self, region_id: int) -> int | None:
        """A region's number, or None where it was deleted."""
        return next((number for number, region in enumerate(self.regions, 1) if region.id == region_id), None)

    def region(self, region_id: int) -> Region | None:
        """A region by its id, or None where it was deleted."""
        return next((region for region in self.regions if region.id == region_id), None)

    def exchange(self, exchange_id: int) -> Exchange | None:
        """An exchange by its id."""
        return next((each for each in self.exchanges() if each.id == exchange_id), None)

    def exchanges(self) -> tuple[Exchange, ...]:
        """All exchanges of all dialogues, in the order they were asked."""
        return tuple(exchange for dialogue in self.dialogues for exchange in dialogue.exchanges)

    def of_kind(self, kind: Kind) -> tuple[Dialogue, ...]:
        """The dialogues of one kind, in their order."""
        return tuple(dialogue for dialogue in self.dialogues if dialogue.kind == kind)

    def dialogue_of(self, exchange_id: int) -> Dialogue | None:
        """The dialogue that an exchange belongs to."""
        return next((one for one in self.dialogues if any(each.id == exchange_id for each in one.exchanges)), None)

    def selection(self) -> tuple[Region, ...]:
        """The selected regions in the order of their numbers."""
        return tuple(region for region in self.regions if region.id in self.selected)


def chips_of(question: Question) -> tuple[int, ...]:
    """Ids of the regions that a question mentions, each once, in order."""
    return tuple(dict.fromkeys(token.region_id for token in question if isinstance(token, Chip)))


def tidied(question: Question) -> Question:
    """The same question with neighbouring texts as one, and without empty ones."""
    tokens: list[str | Chip] = []
    for token in question:
        if isinstance(token, str) and tokens and isinstance(tokens[-1], str):
            tokens[-1] += token
        elif token != "":
            tokens.append(token)
    return tuple(tokens)


def with_chips(text: str, session: Session) -> Question:
    """Typed text as a question: every ``<regionN>`` whose N exists becomes a chip."""
    tokens: list[str | Chip] = []
    place = 0
    for mention in _MENTION.finditer(text):
        number = int(mention[1])
        if number <= len(session.regions):
            tokens += [text[place : mention.start()], Chip(session.regions[number - 1].id)]
            place = mention.end()
    return tidied((*tokens, text[place:]))


def chipped(question: Question, session: Session) -> Question:
    """A question whose typed ``<regionN>`` are chips too."""
    tokens: list[str | Chip] = []
    for token in question:
        tokens += with_chips(token, session) if isinstance(token, str) else (token,)
    return tidied(tuple(tokens))
