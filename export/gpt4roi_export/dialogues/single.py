"""Exchanges about one region: its name, color, place, size, kind, and why it is called what it is called.

Does not know in which order a dialogue asks.
"""

from gpt4roi_export.dialogues import places, wordings
from gpt4roi_export.dialogues.desk import Asked, Desk, Draft, plain
from gpt4roi_export.dialogues.kinds import CATEGORIES, kind_facts, one_of
from gpt4roi_export.dialogues.names import fits, is_wrong
from gpt4roi_export.dialogues.words import capitalized, colored, with_article
from gpt4roi_export.scene import COLORS, RegionFacts


def named(region: RegionFacts) -> bool:
    """Whether a name can be asked for."""
    return region.name is not None


def surely_named(region: RegionFacts) -> bool:
    """Whether the name is known without doubt."""
    return region.name is not None and region.sure


def colorful(region: RegionFacts) -> bool:
    """Whether a color can be asked for."""
    return region.color is not None


def name(desk: Desk) -> Draft | None:
    """What is it?"""
    number = desk.one(named)
    return None if number is None else _name(desk, number, desk.about(wordings.NAME, number))


def describe(desk: Desk) -> Draft | None:
    """Name, kind, color, size and place, as far as they are known."""
    number = desk.one(named)
    return None if number is None else _describe(desk, number, desk.about(wordings.DESCRIBE, number))


def color(desk: Desk) -> Draft | None:
    """What color is it?"""
    number = desk.one(colorful)
    return None if number is None else _color(desk, number, desk.about(wordings.COLOR, number))


def position(desk: Desk) -> Draft | None:
    """Where is it?"""
    number = desk.one()
    return None if number is None else _position(desk, number, desk.about(wordings.POSITION, number))


def size(desk: Desk) -> Draft | None:
    """Is it large?"""
    number = desk.one()
    return None if number is None else _size(desk, number, desk.about(wordings.SIZE, number))


def kind(desk: Desk) -> Draft | None:
    """What kind of thing is it?"""
    number = desk.one(lambda region: surely_named(region) and region.kind is not None)
    return None if number is None else _kind(desk, number, desk.about(wordings.KIND, number))


def category(desk: Desk) -> Draft | None:
    """Is it an animal?"""
    number = desk.one(lambda region: surely_named(region) and kind_facts(region.kind) is not None)
    if number is None:
        return None
    region = desk.region(number)
    facts = kind_facts(region.kind)
    if facts is None or region.name is None:
        return None
    true = facts.category if facts.category is not None and desk.chance(0.5) else None
    asked_for = true or desk.pick([word for word in CATEGORIES if word != facts.category and word not in facts.unclear])
    asked = desk.about(wordings.CATEGORY, number, x=with_article(asked_for))
    return Draft(
        "kind", asked.question, f"{'No' if true is None else 'Yes'}, it is {with_article(region.name)}.", number
    )


def yes_no_name(desk: Desk) -> Draft | None:
    """Is it a dog?"""
    number = desk.one(named)
    if number is None:
        return None
    region = desk.region(number)
    roll = desk.rng.random()
    if roll < 0.4:
        guess = region.name
    elif roll < 0.5:
        guess = region.kind
    else:
        guess = desk.wrong_name(number)
    if guess is None or region.name is None:
        return None
    asked = desk.about(wordings.YES_NO_NAME, number, x=one_of(guess))
    return _yes_no_name(desk, number, guess, asked.question)


def yes_no_color(desk: Desk) -> Draft | None:
    """Is it red?"""
    number = desk.one(colorful)
    if number is None:
        return None
    true = desk.region(number).color
    guess = true if true is not None and desk.chance(0.45) else desk.pick([word for word in COLORS if word != true])
    asked = desk.about(wordings.YES_NO_COLOR, number, color=guess)
    answer = f"Yes, it is {true}." if guess == true else f"No, it is {true}."
    return Draft("yesno", asked.question, answer, number)


def yes_no_place(desk: Desk) -> Draft | None:
    """Is it on the left?"""
    number = desk.one()
    cell = None if number is None else places.cell(desk.box(number))
    if number is None or cell is None:
        return None
    true = places.place(desk.box(number))
    guess = true if true is not None and desk.chance(0.35) else desk.pick(places.PLACES)
    asked = desk.about(wordings.YES_NO_PLACE, number, place=guess)
    right = guess in places.true_places(cell)
    return Draft("yesno", asked.question, f"{'Yes' if right else 'No'}, it is {true}.", number)


def why(desk: Desk) -> Draft | None:
    """Why is it a dog? Sometimes it is none."""
    number = desk.one(surely_named)
    if number is None:
        return None
    region = desk.region(number)
    guess = desk.wrong_name(number) if desk.chance(0.15) else region.name
    if guess is None or region.name is None:
        return None
    asked = desk.about(wordings.WHY, number, x=one_of(guess))
    if fits(guess, region, desk.index):
        return Draft("why", asked.question, reason(region), number)
    answer = f"I do not think that it is {one_of(guess)}: it is {with_article(region.name)}."
    return Draft("why", asked.question, answer, number)


def reason(region: RegionFacts) -> str:
    """Why a region is called what it is called: only what is true of it or of its kind."""
    facts = kind_facts(region.kind)
    grounds = [] if facts is None else [f"it has {facts.signs}"]
    if region.color is not None:
        grounds.append(f"most of it is {region.color}")
    if not grounds:
        return "Because of its shape."
    return f"Because {' and '.join(grounds)}."


def _name(desk: Desk, number: int, asked: Asked) -> Draft | None:
    region = desk.region(number)
    if region.name is None:
        return None
    if region.sure:
        return Draft(
            "name",
            asked.question,
            f"{capitalized(asked.named)} is {with_article(region.name)}.",
            number,
            again=lambda later, other: _name(later, other, Asked("", plain(other))),
            why=reason(region),
            sure=f"Yes, it is {with_article(region.name)}.",
        )
    return Draft(
        "unsure",
        asked.question,
        f"I am not sure, it may be {with_article(region.name)}.",
        number,
        again=lambda later, other: _name(later, other, Asked("", plain(other))),
        why=f"It looks a little like {with_article(region.name)}, but it could be something else.",
        sure="No, it could also be something else.",
    )


def _describe(desk: Desk, number: int, asked: Asked) -> Draft | None:
    region = desk.region(number)
    if region.name is None:
        return None
    where = [word for word in (places.size(desk.box(number)), places.place(desk.box(number))) if word is not None]
    if not region.sure:
        where = [region.color, *where] if region.color is not None else where
        ending = f" It is {' and '.join(where[-2:])}." if where else ""
        return Draft("unsure", asked.question, f"I am not sure, it may be {with_article(region.name)}.{ending}", number)
    what = colored(region.name, region.color)
    if region.kind is not None and region.kind not in region.name:
        what += f", {one_of(region.kind)}"
    ending = f" It is {' and '.join(where)}." if where else ""
    return Draft(
        "describe",
        asked.question,
        f"{capitalized(asked.named)} is {what}.{ending}",
        number,
        again=lambda later, other: _describe(later, other, Asked("", plain(other))),
        why=reason(region),
    )


def _color(desk: Desk, number: int, asked: Asked) -> Draft | None:
    region = desk.region(number)
    if region.color is None:
        return None
    return Draft(
        "color",
        asked.question,
        f"{capitalized(asked.named)} is {region.color}.",
        number,
        again=lambda later, other: _color(later, other, Asked("", plain(other))),
    )


def _position(desk: Desk, number: int, asked: Asked) -> Draft | None:
    where = places.place(desk.box(number))
    if where is None:
        return None
    return Draft(
        "position",
        asked.question,
        f"{capitalized(asked.named)} is {where} of the picture.",
        number,
        again=lambda later, other: _position(later, other, Asked("", plain(other))),
    )


def _size(desk: Desk, number: int, asked: Asked) -> Draft | None:
    how_big = places.size(desk.box(number))
    if how_big is None:
        return None
    return Draft(
        "size",
        asked.question,
        f"{capitalized(asked.named)} is {how_big}.",
        number,
        again=lambda later, other: _size(later, other, Asked("", plain(other))),
    )


def _kind(desk: Desk, number: int, asked: Asked) -> Draft | None:
    region = desk.region(number)
    if region.kind is None or not surely_named(region):
        return None
    return Draft(
        "kind",
        asked.question,
        f"{capitalized(asked.named)} is {one_of(region.kind)}.",
        number,
        again=lambda later, other: _kind(later, other, Asked("", plain(other))),
    )


def _yes_no_name(desk: Desk, number: int, guess: str, question: str) -> Draft | None:
    region = desk.region(number)
    if region.name is None:
        return None

    def again(later: Desk, other: int) -> Draft | None:
        return _yes_no_name(later, other, guess, "")

    it_is = "it is" if region.sure else "I think it may be"
    if fits(guess, region, desk.index):
        answer = f"Yes, {it_is} {with_article(region.name)}."
    elif not is_wrong(guess, region, desk.index):
        return None  # "Is it a newt?" of a smooth newt is no wrong name
    else:
        answer = f"No, {it_is} {with_article(region.name)}."
    return Draft("yesno", question, answer, number, again=again, why=reason(region) if region.sure else "")
