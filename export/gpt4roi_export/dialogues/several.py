"""Exchanges about two to five regions: where, how big, how different, the same, how many, which of them.

Does not know in which order a dialogue asks.
"""

from collections.abc import Sequence

from gpt4roi_export.dialogues import places, wordings
from gpt4roi_export.dialogues.desk import Desk, Draft, mention, plain
from gpt4roi_export.dialogues.kinds import one_of, several_of
from gpt4roi_export.dialogues.names import fits, is_wrong
from gpt4roi_export.dialogues.places import OPPOSITE, Side
from gpt4roi_export.dialogues.single import colorful, named, surely_named
from gpt4roi_export.dialogues.words import NUMBERS, capitalized, colored, listed, plural, with_article
from gpt4roi_export.scene import COLORS, RegionFacts

SIDES: dict[Side, str] = {
    "left of": "to the left of",
    "right of": "to the right of",
    "above": "above",
    "below": "below",
}
MORE: dict[Side, str] = {
    "left of": "further left",
    "right of": "further right",
    "above": "higher up",
    "below": "further down",
}
MOST: dict[Side, tuple[str, ...]] = {
    "left of": ("leftmost", "furthest left", "the one on the far left"),
    "right of": ("rightmost", "furthest right", "the one on the far right"),
    "above": ("at the top", "the topmost one", "highest up"),
    "below": ("at the bottom", "the lowest one", "furthest down"),
}
_SIZE = {"bigger": "bigger", "smaller": "smaller"}
_CLEARLY_LARGEST = 1.6


def relation(desk: Desk) -> Draft | None:
    """Where is one, seen from the other?"""
    pair = desk.pair()
    true = None if pair is None else places.relation(desk.scene, *map(desk.region, pair))
    if pair is None or true is None:
        return None
    a, b = pair
    question = desk.word(wordings.RELATION, a=mention(a), b=mention(b))
    return Draft("relation", question, f"{plain(a)} is {SIDES[true]} {plain(b)}.")


def yes_no_relation(desk: Desk) -> Draft | None:
    """Is one to the left of the other?"""
    pair = desk.pair()
    true = None if pair is None else places.relation(desk.scene, *map(desk.region, pair))
    if pair is None or true is None:
        return None
    a, b = pair
    # "Is it above?" of what is on the left is only asked where it is as high as the other.
    across = [side for side in SIDES if places.is_level(desk.box(a), desk.box(b), side)]
    guess = desk.pick((true, true, true, OPPOSITE[true], OPPOSITE[true], *across))
    question = desk.word(wordings.YES_NO_RELATION, a=mention(a), b=mention(b), side=SIDES[guess])
    yes = "Yes" if guess == true else "No"
    return Draft("relation", question, f"{yes}, {plain(a)} is {SIDES[true]} {plain(b)}.")


def bigger(desk: Desk) -> Draft | None:
    """Which is bigger?"""
    return _which(desk, wordings.BIGGER, "bigger")


def smaller(desk: Desk) -> Draft | None:
    """Which is smaller?"""
    return _which(desk, wordings.SMALLER, "smaller")


def yes_no_bigger(desk: Desk) -> Draft | None:
    """Is one bigger than the other?"""
    return _yes_no_size(desk, wordings.YES_NO_BIGGER, "bigger")


def yes_no_smaller(desk: Desk) -> Draft | None:
    """Is one smaller than the other?"""
    return _yes_no_size(desk, wordings.YES_NO_SMALLER, "smaller")


def _compared(desk: Desk) -> tuple[int, int, str] | None:
    """Two regions, and how the first's size compares with the second's; None where people would disagree."""
    pair = desk.pair()
    found = None if pair is None else places.bigger(*map(desk.box, pair))
    return None if pair is None or found is None else (*pair, found)


def _which(desk: Desk, wording: wordings.Wording, wanted: str) -> Draft | None:
    """Which of two is as wanted, "bigger" or "smaller"?"""
    compared = _compared(desk)
    if compared is None:
        return None
    a, b, found = compared
    question = desk.word(wording, a=mention(a), b=mention(b))
    if found == "same":
        return Draft("bigger", question, "They are about the same size.")
    return Draft("bigger", question, f"{plain(a if found == wanted else b)} is {wanted}.")


def _yes_no_size(desk: Desk, wording: wordings.Wording, asked: str) -> Draft | None:
    """Is the first of two as asked, "bigger" or "smaller"?"""
    compared = _compared(desk)
    if compared is None:
        return None
    a, b, found = compared
    question = desk.word(wording, a=mention(a), b=mention(b))
    if found == "same":
        return Draft("bigger", question, "No, they are about the same size.")
    return Draft("bigger", question, f"{'Yes' if found == asked else 'No'}, {plain(a)} is {found}.")


def compare(desk: Desk) -> Draft | None:
    """How do two differ?"""
    pair = desk.pair(surely_named)
    if pair is None:
        return None
    a, b = pair
    first, second = desk.region(a), desk.region(b)
    if first.name is None or second.name is None:
        return None
    question = desk.word(wordings.COMPARE, a=mention(a), b=mention(b))
    found = places.bigger(desk.box(a), desk.box(b))
    ending = "" if found is None else " They are about the same size."
    if found in _SIZE:
        ending = f" {plain(a if found == 'bigger' else b)} is bigger."
    return Draft("compare", question, _difference(a, b, first, second) + ending)


def both(desk: Desk) -> Draft | None:
    """What are they?"""
    numbers = desk.some(2, 3, named)
    if not numbers:
        return None
    question = desk.word(wordings.BOTH, all=_all(numbers))
    parts = [f"{plain(number)} {_is(desk.region(number))}" for number in numbers]
    return Draft("both", question, f"{listed(parts)}.")


def same(desk: Desk) -> Draft | None:
    """Are they the same?"""
    pair = desk.pair(surely_named)
    if pair is None:
        return None
    a, b = pair
    first, second = desk.region(a), desk.region(b)
    if first.name is None or second.name is None:
        return None
    question = desk.word(wordings.SAME, a=mention(a), b=mention(b))
    each = f"{plain(a)} is {with_article(first.name)} and {plain(b)} is {with_article(second.name)}."
    if first.name == second.name:
        return Draft("same", question, f"Yes, both are {plural(first.name)}.")
    several = several_of(first.kind) if first.kind is not None and first.kind == second.kind else None
    if several is not None:
        return Draft("same", question, f"Not quite, both are {several}: {each}")
    if not (is_wrong(first.name, second, desk.index) and is_wrong(second.name, first, desk.index)):
        return None
    return Draft("same", question, f"No, {each}")


def count(desk: Desk) -> Draft | None:
    """How many are dogs?"""
    numbers = desk.some(2, 5, surely_named)
    if not numbers:
        return None
    target = _target(desk, numbers)
    if target is None:
        return None
    hits, several = _hits(desk, numbers, target), several_of(target)
    if hits is None or several is None:
        return None
    question = desk.word(wordings.COUNT, all=_all(numbers), xs=several)
    if not hits:
        return Draft("count", question, "None.")
    return Draft("count", question, f"{NUMBERS[len(hits)].capitalize()}: {listed(list(map(plain, hits)))}.")


def choose_name(desk: Desk) -> Draft | None:
    """Which is the dog?"""
    numbers = desk.some(2, 4, surely_named)
    target = _target(desk, numbers) if numbers else None
    hits = None if target is None else _hits(desk, numbers, target)
    if target is None or hits is None:
        return None
    question = desk.word(wordings.CHOOSE_NAME, **_lists(numbers), x=one_of(target))
    return Draft("choose", question, _chosen(hits))


def choose_color(desk: Desk) -> Draft | None:
    """Which is red?"""
    numbers = desk.some(2, 4, colorful)
    if not numbers:
        return None
    there = [desk.region(number).color for number in numbers]
    target = desk.pick([color for color in there if color is not None] if desk.chance(0.85) else COLORS)
    hits = [number for number in numbers if desk.region(number).color == target]
    question = desk.word(wordings.CHOOSE_COLOR, **_lists(numbers), color=target)
    return Draft("choose", question, _chosen(hits))


def choose_largest(desk: Desk) -> Draft | None:
    """Which is the largest?"""
    numbers = desk.some(2, 4)
    if not numbers:
        return None
    largest = desk.chance(0.6)
    ordered = sorted(numbers, key=lambda number: places.area(desk.box(number)), reverse=largest)
    first, second = (places.area(desk.box(number)) for number in ordered[:2])
    if max(first, second) / min(first, second) < _CLEARLY_LARGEST:
        return None
    most = desk.pick(("the largest", "the biggest", "largest") if largest else ("the smallest", "smallest"))
    question = desk.word(wordings.CHOOSE_MOST, **_lists(numbers), most=most)
    return Draft("choose", question, f"{plain(ordered[0])}.")


def choose_end(desk: Desk) -> Draft | None:
    """Which is leftmost?"""
    numbers = desk.some(2, 4)
    if not numbers:
        return None
    side = desk.pick(tuple(MOST))
    winner = [number for number in numbers if _beats(desk, number, numbers, side)]
    if not winner:
        return None
    question = desk.word(wordings.CHOOSE_MOST, **_lists(numbers), most=desk.pick(MOST[side]))
    return Draft("choose", question, f"{plain(winner[0])}.")


def order_next(desk: Desk) -> Draft | None:
    """Which of them is further left? Only where two have been spoken of, and no more."""
    if len(desk.known) != 2:
        return None
    a, b = desk.known
    if desk.chance(0.3):
        found = places.bigger(desk.box(a), desk.box(b))
        if found is None:
            return None
        question = desk.word(wordings.ORDER_NEXT, more=desk.pick(("bigger", "larger")))
        if found == "same":
            return Draft("bigger", question, "They are about the same size.")
        return Draft("bigger", question, f"{plain(a if found == 'bigger' else b)} is bigger.")
    side = desk.pick(tuple(MORE))
    first = places.along(desk.box(a), desk.box(b), side)
    if first is None:
        return None
    question = desk.word(wordings.ORDER_NEXT, more=MORE[side])
    return Draft("relation", question, f"{plain(a if first else b)} is {MORE[side]}.")


def _all(numbers: Sequence[int], last: str = "and") -> str:
    return listed([mention(number) for number in numbers], last)


def _lists(numbers: Sequence[int]) -> dict[str, str]:
    """Both ways to list regions to choose from: "of this and that", and "is it this or that"."""
    return {"all": _all(numbers), "any": _all(numbers, "or")}


def _is(region: RegionFacts) -> str:
    """The end of "region1 ...": only a name, and a color where it is known."""
    name = with_article(region.name or "")
    return f"is {name}" if region.sure else f"may be {name}"


def _difference(a: int, b: int, first: RegionFacts, second: RegionFacts) -> str:
    if first.name is None or second.name is None:
        return ""
    if first.name != second.name:
        return (
            f"{plain(a)} is {colored(first.name, first.color)} and {plain(b)} is {colored(second.name, second.color)}."
        )
    both_are = capitalized(f"both are {plural(first.name)}")
    if first.color is None or second.color is None:
        return f"{both_are}."
    if first.color == second.color:
        return f"{both_are}, and both are {first.color}."
    return f"{both_are}, but {plain(a)} is {first.color} and {plain(b)} is {second.color}."


def _target(desk: Desk, numbers: Sequence[int]) -> str | None:
    """A name or kind to look for among the regions: mostly one that is there."""
    there = desk.region(desk.pick(numbers))
    roll = desk.rng.random()
    if roll < 0.5:
        return there.name
    if roll < 0.75:
        return there.kind
    return desk.wrong_name(desk.pick(numbers))


def _hits(desk: Desk, numbers: Sequence[int], target: str) -> list[int] | None:
    """Which regions are the target; None where one of them is too near to say."""
    hits = [number for number in numbers if fits(target, desk.region(number), desk.index)]
    others = (desk.region(number) for number in numbers if number not in hits)
    return hits if all(is_wrong(target, region, desk.index) for region in others) else None


def _chosen(hits: Sequence[int]) -> str:
    return f"{listed(list(map(plain, hits)))}." if hits else "None of them."


def _beats(desk: Desk, number: int, rivals: Sequence[int], side: Side) -> bool:
    ours = desk.box(number)
    return all(rival == number or places.along(ours, desk.box(rival), side) is True for rival in rivals)
