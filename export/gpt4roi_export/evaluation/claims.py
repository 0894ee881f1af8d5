"""What an answer claims: names, colors, places, numbers, yes or no, read out of its words. Knows no truth.

Written for the answers that a model was taught, and for other models' as far as they speak plainly.
"""

import re

from gpt4roi_export.dialogues.words import NUMBERS
from gpt4roi_export.scene import COLORS

_UNSURE = re.compile(r"not (?:quite |really )?(?:sure|certain)|do not know|don't know", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.,;:!?](?:\s|$)")
_ARTICLE = re.compile(r"^(?:a pair of|pairs of|a kind of|a type of|an?|the|some) (?=\S)")
_PREDICATE = re.compile(
    r"\b(?:region\d+|it|this|that|there|they)\s+(?:is|are|may be|might be|could be|shows?|looks like)\s+"
)
_SAINT = re.compile(r"\bst\. ")
_REGION = re.compile(r"\bregion\s?(\d+)")
_OF_REGION = re.compile(
    r"region(\d+)\s+(?:is|may be)\s+(.+?)(?=,?\s+(?:and|but|while)\s+region\d+|[,;]\s+region\d+|[.;](?:\s|$)|$)"
)
_SIDE = re.compile(
    r"region(\d+) is (?:directly |just )?(?:to the |on the )?(left|right|above|below)(?: of)? region(\d+)"
)
_FURTHER = re.compile(r"region(\d+) is (?:further (left|right|down|up)|(higher|lower)|the (\w+)most)")
_BIGGER = re.compile(r"region(\d+) (?:is|looks) (?:the )?(bigger|larger|smaller)")
_COMPARATIVES = frozenset({"bigger", "larger", "smaller"})
_SIZES = {
    "small": "small", "little": "small", "tiny": "small",
    "medium": "medium", "medium-sized": "medium",
    "large": "large", "big": "large", "huge": "large",
}  # fmt: skip
_PLACE_WORDS = {"top": "top", "upper": "top", "bottom": "bottom", "lower": "bottom", "left": "left", "right": "right"}
_OTHER_END = {"right": "left", "below": "above"}
_UP = {"up": "up", "higher": "up", "top": "up", "down": "down", "lower": "down", "bottom": "down"}


def normalised(text: str) -> str:
    """Small letters, American spelling, no hyphens, no full stop in "St.", single spaces."""
    text = text.lower().replace("grey", "gray").replace("colour", "color").replace("-", " ")
    return " ".join(_SAINT.sub("st ", text).split())


def bare(name: str) -> str:
    """A name as it is compared: without article, "a pair of" and punctuation."""
    text = normalised(name).strip(" .,;:!?\"'")
    while (shorter := _ARTICLE.sub("", text)) != text:
        text = shorter
    return text


def is_unsure(answer: str) -> bool:
    """Whether the answer says that it is not certain."""
    return _UNSURE.search(answer) is not None


def name(answer: str) -> str:
    """What the answer calls the thing: "heron" where it says that it may be a heron."""
    text = normalised(answer)
    predicate = _PREDICATE.search(text)
    if predicate is not None:
        text = text[predicate.end() :]
    elif is_unsure(text):
        return ""
    return bare(_SENTENCE_END.split(text)[0])


def names(answer: str) -> dict[int, str]:
    """What the answer calls each region."""
    found: dict[int, str] = {}
    for number, what in _OF_REGION.findall(normalised(answer)):
        if what not in _COMPARATIVES:
            found.setdefault(int(number), bare(what))
    return found


def regions(answer: str) -> frozenset[int]:
    """The regions that the answer mentions."""
    return frozenset(map(int, _REGION.findall(normalised(answer))))


def without_color(what: str) -> tuple[str, str | None]:
    """A bare name without the color before it, and the color."""
    first, _, rest = what.partition(" ")
    return (bare(rest), first) if rest and first in COLORS else (what, None)


def colors(answer: str) -> frozenset[str]:
    """The basic colors that the answer mentions."""
    return frozenset(re.findall(r"[a-z]+", normalised(answer))) & frozenset(COLORS)


def place(answer: str) -> frozenset[str]:
    """The words of a place: "top" and "left", or "center"."""
    words = re.findall(r"[a-z]+", normalised(answer))
    found = frozenset(_PLACE_WORDS[word] for word in words if word in _PLACE_WORDS)
    if found:
        return found
    return frozenset({"center"}) if {"center", "middle", "centre"} & set(words) else frozenset()


def size(answer: str) -> str | None:
    """How big the answer calls the thing: "small", "medium" or "large"."""
    words = re.findall(r"[a-z]+", normalised(answer))
    return next((_SIZES[word] for word in words if word in _SIZES), None)


def yes_or_no(answer: str) -> bool | None:
    """Whether the answer begins with yes or no; None for neither."""
    begin = normalised(answer)
    if re.match(r"(?:yes|yeah|right|correct)\b", begin):
        return True
    return False if re.match(r"(?:no|not|nope)\b", begin) and not is_unsure(begin) else None


def side(answer: str) -> tuple[int, str, int] | tuple[int, str] | None:
    """Which region is where: (1, "left", 2) for "region1 is to the left of region2" and for its reverse.

    "region1 is further left", and "region1 is higher up", come out as (1, "left") and (1, "up").
    """
    text = normalised(answer)
    if found := _SIDE.search(text):
        first, where, second = int(found[1]), found[2], int(found[3])
        return (second, _OTHER_END[where], first) if where in _OTHER_END else (first, where, second)
    if found := _FURTHER.search(text):
        where = next(word for word in found.groups()[1:] if word is not None)
        return int(found[1]), _UP.get(where, where)
    return None


def bigger(answer: str, numbers: frozenset[int]) -> int | str | None:
    """The region that is said to be the bigger one of two, or "same".

    Args:
        answer: What was said.
        numbers: The regions that were asked about.
    """
    text = normalised(answer)
    if "same size" in text or "equally" in text:
        return "same"
    found = _BIGGER.search(text)
    if found is None:
        return None
    if found[2] != "smaller":
        return int(found[1])
    others = numbers - {int(found[1])}
    return next(iter(others)) if len(others) == 1 else None


def count(answer: str) -> int | None:
    """The number that the answer begins with."""
    first = re.match(r"(?:there (?:is|are) )?(\w+)", normalised(answer))
    if first is None:
        return None
    if first[1].isdigit():
        return int(first[1])
    word = "none" if first[1] in ("no", "zero") else first[1]
    return NUMBERS.index(word) if word in NUMBERS else None
