import pytest

from gpt4roi_export.dialogues.names import NameIndex
from gpt4roi_export.dialogues.words import capitalized, colored, listed, plural, with_article


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("heron", "a heron"),
        ("apple", "an apple"),
        ("hourglass", "an hourglass"),
        ("unicycle", "a unicycle"),
        ("European green lizard", "a European green lizard"),
        ("SUV", "an SUV"),
        ("corn", "corn"),
        ("cup of coffee", "a cup of coffee"),
        ("french fries", "french fries"),
        ("jeans", "a pair of jeans"),
        ("drinking glass", "a drinking glass"),
        ("dark glasses", "a pair of dark glasses"),
        ("moon", "the moon"),
        ("crescent moon", "a crescent moon"),
        ("planet Earth", "planet Earth"),
    ],
)
def test_articles(name: str, expected: str) -> None:
    assert with_article(name) == expected


@pytest.mark.parametrize(
    ("name", "color", "expected"),
    [
        ("apple", "red", "a red apple"),
        ("heron", "orange", "an orange heron"),
        ("scissors", "blue", "a pair of blue scissors"),
        ("corn", "yellow", "yellow corn"),
        ("polar bear", None, "a polar bear"),
        ("red fox", "brown", "a red fox"),
        ("grey wolf", "brown", "a grey wolf"),
        ("orange", "orange", "an orange"),
    ],
)
def test_a_color_stands_before_the_name_unless_the_name_has_one(name: str, color: str | None, expected: str) -> None:
    assert colored(name, color) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dog", "dogs"),
        ("goose", "geese"),
        ("butterfly", "butterflies"),
        ("firefighter", "firefighters"),
        ("cup of coffee", "cups of coffee"),
        ("sheep", "sheep"),
        ("popcorn", "popcorn"),
        ("scissors", "pairs of scissors"),
        ("SUV", "SUVs"),
        ("person", "people"),
    ],
)
def test_plurals(name: str, expected: str) -> None:
    assert plural(name) == expected


def test_an_article_fits_the_first_letter_of_every_name(index: NameIndex) -> None:
    sounds_otherwise = ("hour", "European", "Eur", "unicorn", "unicycle", "ukulele", "one-piece", "SUV")
    for name in index.names:
        article, _, rest = with_article(name).partition(" ")
        if article in ("a", "an") and not rest.startswith("pair of") and not name.startswith(sounds_otherwise):
            assert (article == "an") == (name[0].lower() in "aeiou"), with_article(name)


def test_lists() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"], "or") == "a or b"
    assert listed(["a", "b", "c"]) == "a, b and c"


def test_a_region_keeps_its_small_letter_at_the_start() -> None:
    assert capitalized("region1 is a dog") == "region1 is a dog"
    assert capitalized("it is a dog") == "It is a dog"
