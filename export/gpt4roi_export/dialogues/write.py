"""Dialogues of one to six turns about one scene, from what is known of it; does not know pictures or models."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from gpt4roi_export.dialogues import several, talk, wordings
from gpt4roi_export.dialogues.desk import Desk, Draft, mention, plain
from gpt4roi_export.dialogues.habits import as_typed
from gpt4roi_export.dialogues.mixes import EVERYTHING, Mix
from gpt4roi_export.dialogues.names import NameIndex
from gpt4roi_export.dialogues.wordings import Phrasings
from gpt4roi_export.scene import Exchange, Scene
from gpt4roi_runtime.prompt import mentions

_TRIES = 40  # of a scene that gives few occasions
_PLAIN = 0.5  # of later mentions are typed without the brackets


@dataclass(frozen=True)
class _Dialogue:
    """Where a dialogue stands: the regions that have been shown, and its last exchange."""

    known: tuple[int, ...] = ()
    last: Draft | None = None


def write_dialogues(
    scene: Scene,
    rng: random.Random,
    phrasings: Phrasings,
    index: NameIndex,
    n_dialogues: int = 5,
    mix: Mix = EVERYTHING,
) -> Scene:
    """The scene with dialogues about its regions.

    Args:
        scene: What is known; dialogues that it has are replaced.
        rng: The dice; the same seed writes the same dialogues.
        phrasings: Which wordings are used.
        index: All names, for questions about wrong ones.
        n_dialogues: How many, of one to six turns each.
        mix: What is asked, and how often.
    """
    desk = Desk(scene, index, phrasings, rng)
    dialogues = tuple(tuple(_dialogue(desk, mix)) for _ in range(n_dialogues))
    return msgspec.structs.replace(scene, dialogues=tuple(dialogue for dialogue in dialogues if dialogue))


def _dialogue(desk: Desk, mix: Mix) -> Iterator[Exchange]:
    (n_turns,) = desk.rng.choices(tuple(mix.turns), tuple(mix.turns.values()))
    so_far = _Dialogue()
    for _ in range(n_turns):
        subject = None if so_far.last is None else so_far.last.subject
        here = desk.at_turn(so_far.known, subject)
        draft = _next(here, so_far, mix)
        if draft is None:
            return
        yield Exchange(_typed(here, draft.question), draft.answer, draft.task)
        known = (*so_far.known, *(number for number in mentions(draft.question) if number not in so_far.known))
        so_far = _Dialogue(known, draft)


def _next(desk: Desk, so_far: _Dialogue, mix: Mix) -> Draft | None:
    follow_up = _follow_up(desk, so_far) if so_far.last is not None and desk.chance(mix.follow_ups) else None
    if follow_up is not None:
        return follow_up
    writers, weights = zip(*mix.writers, strict=True)
    for writer in desk.rng.choices(writers, weights, k=_TRIES):
        draft: Draft | None = writer(desk)
        if draft is not None:
            return draft
    return None


def _follow_up(desk: Desk, so_far: _Dialogue) -> Draft | None:
    """A turn that only makes sense behind the last one."""
    last = so_far.last
    if last is None:
        return None
    roll = desk.rng.random()
    if last.again is not None and roll < 0.45:
        return _again(desk, last)
    if last.why and roll < 0.6:
        return Draft("why", desk.word(wordings.WHY_NEXT), last.why, last.subject)
    if last.sure and roll < 0.75:
        return Draft("sure", desk.word(wordings.SURE_NEXT), last.sure, last.subject, why=last.why)
    if roll < 0.95:
        return several.order_next(desk)
    return talk.thanks(desk)


def _again(desk: Desk, last: Draft) -> Draft | None:
    """The same question about another region."""
    others = [number for number in desk.numbers() if number != last.subject]
    if not others or last.again is None:
        return None
    number = desk.pick(others)
    draft = last.again(desk, number)
    if draft is None:
        return None
    return replace(draft, question=desk.word(wordings.AND_NEXT, b=mention(number)))


def _typed(desk: Desk, question: str) -> str:
    """The question as typed: some people leave the brackets off where the region is known already."""

    def settled(match: re.Match[str]) -> str:
        number = int(match[1])
        return plain(number) if number in desk.known and desk.chance(_PLAIN) else match[0]

    return as_typed(re.sub(r"<region(\d+)>", settled, question), desk.rng)
