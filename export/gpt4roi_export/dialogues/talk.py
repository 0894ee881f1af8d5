"""Exchanges that no region's facts answer: a region without a box, the whole picture, the unknowable, manners.

Does not know in which order a dialogue asks.
"""

from gpt4roi_export.dialogues import wordings
from gpt4roi_export.dialogues.desk import Desk, Draft, plain
from gpt4roi_export.dialogues.kinds import one_of
from gpt4roi_export.dialogues.single import surely_named
from gpt4roi_export.dialogues.words import listed, with_article

_MOST_NUMBERS = 9

DRAW_A_BOX = "Draw a box around a thing and ask about it; I only see what is in the boxes."
HELLO = "Hello! Draw a box around a thing and ask me what it is."
CAN_DO = (
    "I can say what is in a box, which color it has, how big it is and where it is, and I can compare and count boxes."
)
WELCOME = "You are welcome."
CANNOT_TELL = "I cannot tell that from the picture."


def missing(desk: Desk) -> Draft | None:
    """A region without a box."""
    there = len(desk.scene.regions)
    if there >= _MOST_NUMBERS:
        return None
    absent = plain(desk.rng.randint(there + 1, min(_MOST_NUMBERS, there + 3)))
    if desk.chance(0.15):
        thing = desk.pick(tuple(desk.index.of_kind) if desk.chance(0.4) else desk.index.names)
        question = desk.word(wordings.MISSING_NAME, absent=absent, x=one_of(thing))
    else:
        question = desk.word(wordings.MISSING, absent=absent)
    return Draft("missing", question, f"There is no {absent}; {marked(desk.known)}.")


def marked(known: tuple[int, ...]) -> str:
    """Which regions a dialogue has shown so far: "only region1 and region2 are marked"."""
    if not known:
        return "no region is marked"
    return f"only {listed([plain(number) for number in sorted(known)])} {'is' if len(known) == 1 else 'are'} marked"


def image(desk: Desk) -> Draft | None:
    """The whole picture: what has been shown of it, or a hint to draw a box."""
    question = desk.word(wordings.IMAGE)
    if not desk.known:
        return Draft("image", question, DRAW_A_BOX)
    if not all(surely_named(desk.region(number)) for number in desk.known):
        return None
    parts = [f"{plain(number)} is {with_article(desk.region(number).name or '')}" for number in sorted(desk.known)]
    return Draft("image", question, f"I see what is in the boxes: {listed(parts)}.")


def beyond(desk: Desk) -> Draft | None:
    """What neither the picture's names nor its colors tell."""
    number = desk.one()
    if number is None:
        return None
    return Draft("beyond", desk.about(wordings.BEYOND, number).question, CANNOT_TELL, number)


def greeting(desk: Desk) -> Draft | None:
    """A greeting opens a dialogue."""
    return None if desk.known else Draft("talk", desk.word(wordings.GREETING), HELLO)


def help_wanted(desk: Desk) -> Draft | None:
    """What can you do?"""
    return Draft("talk", desk.word(wordings.HELP), CAN_DO)


def thanks(desk: Desk) -> Draft | None:
    """Thanks close a dialogue."""
    return Draft("talk", desk.word(wordings.THANKS), WELCOME) if desk.known else None
