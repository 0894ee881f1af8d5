"""What the writer of one exchange has before it: the scene, the dialogue so far, and its dice. Knows no task."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from gpt4roi_export.dialogues.names import NameIndex, wrong_name
from gpt4roi_export.dialogues.places import XyXy, fractions
from gpt4roi_export.dialogues.wordings import Phrasings, Wording
from gpt4roi_export.scene import RegionFacts, Scene

T = TypeVar("T")

_NOT_IT = re.compile(r"\b(?:it|this|that|in|of)\b|^\{a\}|\{all\}|\{b\}")
"""Where "it" cannot stand for the region: beside another "it", behind "in" (whose "it" is the box), at the start."""


@dataclass(frozen=True)
class Desk:
    """The material for one exchange.

    Attributes:
        scene: Everything that is known.
        index: Where wrong names come from.
        phrasings: Which wordings may be used.
        rng: The dice.
        known: Numbers of the regions that the dialogue has mentioned, in order; empty in a first turn.
        subject: The region that "it" would mean.
    """

    scene: Scene
    index: NameIndex
    phrasings: Phrasings
    rng: random.Random
    known: tuple[int, ...] = ()
    subject: int | None = None

    def region(self, number: int) -> RegionFacts:
        """What is known about ``<regionN>``."""
        return self.scene.regions[number - 1]

    def box(self, number: int) -> XyXy:
        """The region's box as fractions of the picture's sides."""
        return fractions(self.scene, self.region(number))

    def numbers(self, wanted: Callable[[RegionFacts], bool] = lambda _: True) -> list[int]:
        """The numbers of the regions that are as wanted."""
        return [number for number, region in enumerate(self.scene.regions, 1) if wanted(region)]

    def one(self, wanted: Callable[[RegionFacts], bool] = lambda _: True) -> int | None:
        """A region that is as wanted; in a later turn often the one that was spoken of."""
        numbers = self.numbers(wanted)
        if self.subject in numbers and self.chance(0.5):
            return self.subject
        return self.pick(numbers) if numbers else None

    def some(self, least: int, most: int, wanted: Callable[[RegionFacts], bool] = lambda _: True) -> list[int]:
        """That many different regions in any order; none if there are too few."""
        numbers = self.numbers(wanted)
        if len(numbers) < least:
            return []
        chosen = self.rng.sample(numbers, self.rng.randint(least, min(most, len(numbers))))
        # People list regions in order more often than not.
        return sorted(chosen) if self.chance(0.6) else chosen

    def pair(self, wanted: Callable[[RegionFacts], bool] = lambda _: True) -> tuple[int, int] | None:
        """Two different regions in any order; in a later turn often ones that were spoken of."""
        numbers = self.numbers(wanted)
        if len(numbers) < 2:
            return None
        spoken_of = [number for number in self.known if number in numbers]
        if len(spoken_of) > 1 and self.chance(0.4):
            numbers = spoken_of
        first, second = self.rng.sample(numbers, 2)
        if self.subject in numbers and self.subject != second and self.chance(0.4):
            first = self.subject
        return first, second

    def chance(self, share: float) -> bool:
        """True in that share of calls."""
        return self.rng.random() < share

    def pick(self, items: Sequence[T]) -> T:
        """One of them."""
        return self.rng.choice(items)

    def word(self, wording: Wording, **slots: str) -> str:
        """A question with its slots filled."""
        return self.pick(wording.of(self.phrasings)).format(**slots)

    def about(self, wording: Wording, number: int, **slots: str) -> "Asked":
        """A question about one region; "it" stands for the region that was spoken of, where that is English."""
        ways = wording.of(self.phrasings)
        with_it = [way for way in ways if not _NOT_IT.search(way)]
        if number == self.subject and with_it and self.chance(0.6):
            return Asked(self.pick(with_it).format(a="it", **slots), "it")
        return Asked(self.pick(ways).format(a=mention(number), **slots), f"region{number}")

    def wrong_name(self, number: int) -> str | None:
        """A name that is clearly not this region's, if one comes to mind."""
        others = [other.name for other in self.scene.regions if other.name is not None and other.sure]
        return wrong_name(self.region(number), others, self.index, self.rng)

    def at_turn(self, known: tuple[int, ...], subject: int | None) -> "Desk":
        """The same material after some turns."""
        return replace(self, known=known, subject=subject)


@dataclass(frozen=True)
class Asked:
    """A question about one region.

    Attributes:
        question: Its words.
        named: What the answer calls the region, as the question did: "region1", or "it".
    """

    question: str
    named: str


@dataclass(frozen=True)
class Draft:
    """One exchange, before it finds its place in a dialogue.

    Attributes:
        task: What is asked for.
        question: Every region is written ``<regionN>``.
        answer: Regions are written ``regionN``.
        subject: What "it" means next, if anything.
        again: Writes the answer to "And <region2>?", which asks the same of another region.
        why: Answers "Why?".
        sure: Answers "Are you sure?".
    """

    task: str
    question: str
    answer: str
    subject: int | None = None
    again: Callable[[Desk, int], "Draft | None"] | None = None
    why: str = ""
    sure: str = ""


Writer = Callable[[Desk], Draft | None]
"""Writes one exchange, or finds that the scene gives no occasion for it."""


def mention(number: int) -> str:
    """How a question writes a region."""
    return f"<region{number}>"


def plain(number: int) -> str:
    """How an answer writes a region."""
    return f"region{number}"
