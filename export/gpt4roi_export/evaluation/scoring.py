"""Whether an answer is right: what it claims, held against what the right answer claims. Knows no model."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gpt4roi_export.dialogues import places
from gpt4roi_export.dialogues.kinds import kind_facts
from gpt4roi_export.dialogues.words import plural
from gpt4roi_export.evaluation import claims
from gpt4roi_export.scene import Exchange, Scene
from gpt4roi_runtime.prompt import mentions


@dataclass(frozen=True)
class Case:
    """One answer and all that it is judged by.

    Attributes:
        exchange: The question, the right answer and the kind of question.
        answer: What the model said.
        scene: The facts.
        accepted: For every region, the names that are right.
        numbers: The regions that the dialogue has mentioned.
    """

    exchange: Exchange
    answer: str
    scene: Scene
    accepted: tuple[frozenset[str], ...]
    numbers: frozenset[int]

    def colors_can_be_judged(self, numbers: Iterable[int]) -> bool:
        """Whether somebody looked at the colors of these regions; what nobody knows is neither right nor wrong."""
        return all(self.scene.regions[number - 1].color_was_looked_at for number in numbers)

    def calls_right(self, number: int, what: str) -> bool:
        """Whether ``what``, bare, is a right name for the region; its color may stand before it."""
        right = {claims.bare(name) for name in self.accepted[number - 1]}
        return what in right or claims.without_color(what)[0] in right


def names_right(case: Case) -> bool:
    """Whether the answer gives a right name to the one region asked about, whatever it says of its certainty."""
    return _name(case)


def is_right(case: Case) -> bool:
    """Whether the answer is right in all that its kind of question asks for."""
    return _JUDGES[case.exchange.task](case)


def asked_about(turns: tuple[Exchange, ...]) -> frozenset[int]:
    """The regions that a dialogue has mentioned."""
    return frozenset(mentions("\n".join(turn.question for turn in turns)))


def _name(case: Case) -> bool:
    """The region is the one that the question is about, which the right answer may call "it"."""
    said = claims.name(case.answer)
    truth = claims.name(case.exchange.answer)
    same_name = [number for number in case.numbers if truth == claims.bare(case.scene.regions[number - 1].name or "")]
    return any(case.calls_right(number, said) for number in same_name)


def _unsure(case: Case) -> bool:
    """A model that cannot know says so; if it knows after all, so much the better."""
    return claims.is_unsure(case.answer) or _name(case)


def _describe(case: Case) -> bool:
    answer, truth = case.answer, case.exchange.answer
    what = claims.without_color(claims.name(truth))[0]
    about = [number for number in case.numbers if _is_called(case, number, what)]
    same_colors = claims.colors(_first_sentence(answer)) == claims.colors(_first_sentence(truth))
    if case.colors_can_be_judged(about) and not same_colors:
        return False
    if not any(case.calls_right(number, claims.name(answer)) for number in about):
        return False
    boxes = [places.fractions(case.scene, case.scene.regions[number - 1]) for number in about]
    return _says_where(_rest(answer), _rest(truth), boxes)


def _says_where(rest: str, true_rest: str, boxes: Sequence[places.XyXy]) -> bool:
    """All that the right answer says of size and place is said; what it leaves out may be said if it is true.

    The right answer leaves out what people would disagree about, near a border between two words.
    """
    size, place = claims.size(true_rest), claims.place(true_rest)
    said_size, said_place = claims.size(rest), claims.place(rest)
    right_size = said_size == size if size else said_size is None or any(map(_has_size(said_size), boxes))
    right_place = said_place == place if place else not said_place or any(map(_has_place(said_place), boxes))
    return right_size and right_place


def _has_size(said: str) -> Callable[[places.XyXy], bool]:
    return lambda box: said in places.possible_sizes(box)


def _has_place(said: frozenset[str]) -> Callable[[places.XyXy], bool]:
    return lambda box: said in map(claims.place, places.possible_places(box))


def _is_called(case: Case, number: int, what: str) -> bool:
    own = claims.bare(case.scene.regions[number - 1].name or "")
    return what in (own, claims.without_color(own)[0])


def _color(case: Case) -> bool:
    return claims.colors(case.answer) == claims.colors(case.exchange.answer)


def _position(case: Case) -> bool:
    return claims.place(case.answer) == claims.place(case.exchange.answer)


def _size(case: Case) -> bool:
    return claims.size(case.answer) == claims.size(case.exchange.answer)


def _yes_no(case: Case) -> bool:
    return claims.yes_or_no(case.answer) == claims.yes_or_no(case.exchange.answer)


def _kind(case: Case) -> bool:
    if claims.yes_or_no(case.exchange.answer) is not None:
        return _yes_no(case)
    return claims.name(case.answer) == claims.name(case.exchange.answer)


def _why(case: Case) -> bool:
    """The truth is a denial, or grounds: every known color is right, and the signs are those of the thing's kind."""
    truth, answer = claims.normalised(case.exchange.answer), claims.normalised(case.answer)
    denial = "not think"
    if denial in truth or denial in answer:
        return (denial in truth) == (denial in answer)
    if case.colors_can_be_judged(case.numbers) and claims.colors(answer) != claims.colors(truth):
        return False
    kinds = (kind_facts(case.scene.regions[number - 1].kind) for number in case.numbers)
    signs = [claims.normalised(kind.signs) for kind in kinds if kind is not None]
    return {sign for sign in signs if sign in answer} == {sign for sign in signs if sign in truth}


def _relation(case: Case) -> bool:
    return _yes_no(case) and claims.side(case.answer) == claims.side(case.exchange.answer)


def _bigger(case: Case) -> bool:
    truth = claims.bigger(case.exchange.answer, case.numbers)
    return _yes_no(case) and claims.bigger(case.answer, case.numbers) == truth


def _both(case: Case) -> bool:
    truth, said = claims.names(case.exchange.answer), claims.names(case.answer)
    return truth.keys() == said.keys() and all(case.calls_right(number, what) for number, what in said.items())


def _compare(case: Case) -> bool:
    numbers = claims.regions(case.exchange.question) or case.numbers
    truth, answer = case.exchange.answer, case.answer
    if claims.bigger(truth, numbers) is None:
        if not _may_say_bigger(case, numbers, claims.bigger(answer, numbers)):
            return False
    elif claims.bigger(answer, numbers) != claims.bigger(truth, numbers):
        return False
    if truth.startswith("Both"):
        return _says_both(case, numbers)
    said = {number: what for number, what in claims.names(answer).items() if number in claims.names(truth)}
    return claims.names(truth).keys() == said.keys() and all(
        case.calls_right(number, what) and _color_fits(case, number, what) for number, what in said.items()
    )


def _may_say_bigger(case: Case, numbers: frozenset[int], said: int | str | None) -> bool:
    """Where people would disagree about which is bigger, either of them may be said that is not plainly wrong."""
    if said is None or said == "same":
        return True
    others = [number for number in numbers if number != said]
    area = {n: places.area(places.fractions(case.scene, case.scene.regions[n - 1])) for n in numbers}
    return isinstance(said, int) and said in area and all(area[said] >= area[number] for number in others)


def _says_both(case: Case, numbers: frozenset[int]) -> bool:
    """One name for both, and their colors, as in "Both are apples, but region1 is red and region2 is green"."""
    answer = claims.normalised(case.answer)
    right = set.intersection(*(set(case.accepted[number - 1]) for number in numbers))
    if not any(answer.startswith(f"both are {claims.normalised(plural(name))}") for name in right):
        return False
    return claims.colors(answer) == claims.colors(case.exchange.answer) and {
        number: what for number, what in claims.names(answer).items() if what in claims.colors(answer)
    } == {
        number: what
        for number, what in claims.names(case.exchange.answer).items()
        if what in claims.colors(case.exchange.answer)
    }


def _color_fits(case: Case, number: int, what: str) -> bool:
    color, region = claims.without_color(what)[1], case.scene.regions[number - 1]
    return color in (None, region.color) or what in case.accepted[number - 1] or not region.color_was_looked_at


def _count(case: Case) -> bool:
    return claims.count(case.answer) == claims.count(case.exchange.answer)


def _choose(case: Case) -> bool:
    said, truth = claims.regions(case.answer), claims.regions(case.exchange.answer)
    return said == truth and (bool(truth) or claims.count(case.answer) == 0)


def _missing(case: Case) -> bool:
    """Both say that there is no such region."""
    start = claims.normalised(case.exchange.answer).split(";")[0]
    return claims.normalised(case.answer).startswith(start)


def _image(case: Case) -> bool:
    if claims.names(case.exchange.answer):
        return _both(case)
    return "draw a box" in case.answer.lower()


def _beyond(case: Case) -> bool:
    return "cannot tell" in case.answer.lower()


def _first_sentence(text: str) -> str:
    return text.replace("St. ", "St ").split(". ")[0]


def _rest(text: str) -> str:
    return text.replace("St. ", "St ").partition(". ")[2]


_JUDGES: Mapping[str, Callable[[Case], bool]] = {
    "name": _name,
    "unsure": _unsure,
    "describe": _describe,
    "color": _color,
    "position": _position,
    "size": _size,
    "kind": _kind,
    "yesno": _yes_no,
    "why": _why,
    "relation": _relation,
    "bigger": _bigger,
    "compare": _compare,
    "both": _both,
    "same": _yes_no,
    "count": _count,
    "choose": _choose,
    "missing": _missing,
    "image": _image,
    "beyond": _beyond,
}
