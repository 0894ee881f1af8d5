"""Which names are right, wrong or too near to be either; knows no wording and no regions' boxes."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpt4roi_export.dialogues.kinds import are_near
from gpt4roi_export.scene import RegionFacts
from gpt4roi_export.vocabulary import Vocabulary

_SAY_LITTLE = frozenset({"and", "or", "of", "the"})
_NOT_WHAT_THEY_END_IN = frozenset({"guinea pig"})
_TRIES = 8


@dataclass(frozen=True, repr=False)  # too long for anyone to read
class NameIndex:
    """All names, and which of them are alike.

    Attributes:
        names: Every name.
        kind_of: The kind of every name.
        of_kind: The names of every kind.
        accepted: Names that are right, too, where the name is.
    """

    names: tuple[str, ...]
    kind_of: Mapping[str, str]
    of_kind: Mapping[str, tuple[str, ...]]
    accepted: Mapping[str, frozenset[str]]


def index_names(vocabulary: Vocabulary, accepted: Mapping[str, Sequence[str]]) -> NameIndex:
    """The index of a vocabulary.

    Args:
        vocabulary: Names and kinds.
        accepted: For names that have such, other names that are right where they are.
    """
    kind_of = dict(zip(vocabulary.names, vocabulary.kinds, strict=True))
    of_kind: dict[str, list[str]] = {}
    for name, kind in kind_of.items():
        of_kind.setdefault(kind, []).append(name)
    return NameIndex(
        vocabulary.names,
        kind_of,
        {kind: tuple(members) for kind, members in of_kind.items()},
        {name: frozenset(others) for name, others in accepted.items()},
    )


def fits(guess: str, region: RegionFacts, index: NameIndex) -> bool:
    """Whether ``guess`` is the region's name or kind, or a broader name: a "brown bear" is a "bear"."""
    if guess in (region.name, region.kind):
        return True
    name = region.name or ""
    ends_so = name.endswith(f" {guess}") and name not in _NOT_WHAT_THEY_END_IN
    return ends_so and index.kind_of.get(guess) == region.kind


def is_wrong(guess: str, region: RegionFacts, index: NameIndex) -> bool:
    """Whether ``guess`` is clearly not what the region is.

    A "mud turtle" is no "box turtle", but calling a "Siberian husky" a "husky" is not wrong, nor is any dog's name for
    what is only known as a "dog".
    """
    if region.name is None or fits(guess, region, index):
        return False
    ours, theirs = _words(region.name), _words(guess)
    alike = (
        ours <= theirs
        or theirs <= ours
        or guess in index.accepted.get(region.name, ())
        or region.name in index.accepted.get(guess, ())
        or index.kind_of.get(guess) == region.name
        or (guess in index.of_kind and region.kind is not None and are_near(guess, region.kind))
    )
    return not alike


def wrong_name(region: RegionFacts, others: Sequence[str], index: NameIndex, rng: random.Random) -> str | None:
    """A name that is clearly not the region's: one of ``others``, one of the same kind, any, or another kind.

    Returns:
        None if none was found in a few tries.
    """
    roll = rng.random()
    if roll < 0.35:
        pool = tuple(others)
    elif roll < 0.6 and region.kind is not None:
        pool = index.of_kind.get(region.kind, ())
    elif roll < 0.8:
        pool = tuple(index.of_kind)  # "Is it a dog?" is what people ask
    else:
        pool = index.names
    for _ in range(_TRIES if pool else 0):
        guess = rng.choice(pool)
        if is_wrong(guess, region, index):
            return guess
    return None


def _words(name: str) -> frozenset[str]:
    return frozenset(name.lower().replace("-", " ").split()) - _SAY_LITTLE
