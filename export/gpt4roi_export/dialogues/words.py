"""English around a name: its article, its plural, lists, numbers; does not know regions or tasks."""

from collections.abc import Sequence
from functools import cache

import inflect

from gpt4roi_export.scene import COLORS

NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_PAIRS = """
binoculars chopsticks clogs eyeglasses glasses goggles headphones jeans pajamas pants pliers scissors shears shorts
sunglasses tights tongs trousers trunks tweezers
"""
_PLURALS = """
bagpipes bars beans fries people potatoes stairs
"""
_MASS = """
asparagus bacon bamboo bread broccoli butter candy carbonara cauliflower celery cereal chalk cheese clothing cloth coal
coffee consomme coral corn cotton detergent dough eggnog equipment fire flatbread food footwear furniture garlic grass
guacamole hay headgear ice ivy jam juice kitchenware lavender lemonade lettuce lightning linen lotion mail matter meat
milk moss paella paper pasta popcorn powder rapeseed rice salad sandpaper shampoo smoke soap spaghetti spinach spray
stationery steam sunscreen sushi syrup tea toast toothpaste underwear velvet water weather wine wool yogurt
"""
PAIRS = frozenset(_PAIRS.split())
"""Last words of names that are counted in pairs."""

UNCOUNTED = frozenset((_PLURALS + _MASS).split())
"""Last words of names that are plural as they stand, or not counted."""

_ONLY_ONE = frozenset({"sun", "moon"})
"""They take "the"."""

_OWN_NAMES = frozenset({"planet Earth"})
"""They take no article."""


_PLURAL_OF = {"Kuvasz": "Kuvaszok", "SUV": "SUVs", "hen of the woods mushroom": "hen of the woods mushrooms"}
"""What rules get wrong."""


@cache
def _engine() -> inflect.engine:
    return inflect.engine()


@cache
def with_article(name: str) -> str:
    """``name`` as a sentence needs it: "a dog", "an apple", "corn", "a pair of jeans"."""
    return _put(name, name)


def colored(name: str, color: str | None) -> str:
    """``name`` with its article and color: "a red apple"; a name that has a color in it takes no other."""
    if color is None or any(word in COLORS or word == "grey" for word in name.lower().split()):
        return with_article(name)
    return _put(name, f"{color} {name}")


@cache
def plural(name: str) -> str:
    """Several of them: "dogs", "pairs of jeans"; what is not counted stays as it is."""
    if _head(name) in PAIRS:
        return f"pairs of {name}"
    if _head(name) in UNCOUNTED or name in _ONLY_ONE:
        return name
    return _PLURAL_OF.get(name) or str(_engine().plural_noun(name)) or name


def _head(name: str) -> str:
    """The word that decides the article: "glass" of "glass of milk"."""
    return name.split(" of ")[0].split()[-1].lower()


def _put(name: str, phrase: str) -> str:
    """The article that ``name`` takes, before a phrase that ends in it."""
    if _head(name) in PAIRS:
        return f"a pair of {phrase}"
    if _head(name) in UNCOUNTED or name in _OWN_NAMES:
        return phrase
    if name in _ONLY_ONE:
        return f"the {phrase}"
    return f"an {phrase}" if phrase.startswith("SUV") else str(_engine().a(phrase))


def listed(items: Sequence[str], last: str = "and") -> str:
    """One item, "this and that", or "this, that and those"."""
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def capitalized(text: str) -> str:
    """``text`` with a capital, unless it begins with a region, which is written ``region1`` everywhere."""
    return text if text.startswith("region") else text[:1].upper() + text[1:]
