import pytest

from gpt4roi_export.dialogues.kinds import are_near, kind_facts, one_of, several_of
from gpt4roi_export.dialogues.names import NameIndex, fits, is_wrong, wrong_name
from gpt4roi_export.scene import RegionFacts
from tests.export.dialogues.dice import dice

BOX = (0.0, 0.0, 1.0, 1.0)


def _region(name: str, index: NameIndex) -> RegionFacts:
    return RegionFacts(BOX, name, None, index.kind_of[name])


@pytest.mark.parametrize(
    ("guess", "name", "right", "wrong"),
    [
        ("heron", "heron", True, False),
        ("bird", "heron", True, False),
        ("dog", "heron", False, True),
        ("bear", "brown bear", True, False),
        ("pig", "guinea pig", False, False),  # neither: the words overlap
        ("dog", "hot dog", False, False),
        ("husky", "Siberian Husky", False, False),
        ("mud turtle", "box turtle", False, True),
        ("robin", "bird", False, False),
        ("mammal", "Beagle", False, False),
        ("bird", "Beagle", False, True),
    ],
)
def test_right_wrong_or_neither(index: NameIndex, guess: str, name: str, *, right: bool, wrong: bool) -> None:
    region = _region(name, index)
    assert fits(guess, region, index) == right
    assert is_wrong(guess, region, index) == wrong


def test_a_wrong_name_is_wrong_and_sometimes_of_the_same_kind_or_a_kind_itself(index: NameIndex) -> None:
    region = _region("Beagle", index)
    rng = dice(1)
    guesses = [guess for _ in range(200) if (guess := wrong_name(region, ["apple"], index, rng)) is not None]
    assert all(is_wrong(guess, region, index) for guess in guesses)
    assert "apple" in guesses
    assert any(index.kind_of.get(guess) == "dog" for guess in guesses)
    assert set(guesses) & index.of_kind.keys()
    assert any(index.kind_of[guess] not in ("dog", "fruit") for guess in guesses)


def test_every_kind_of_the_vocabulary_is_described(index: NameIndex) -> None:
    for kind in index.of_kind:
        facts = kind_facts(kind)
        assert facts is not None, kind
        assert all(other in index.of_kind for other in facts.near), kind


def test_kinds_as_people_say_them() -> None:
    assert one_of("furniture") == "a piece of furniture"
    assert several_of("person") == "people"
    assert several_of("landscape") is None
    assert are_near("mammal", "dog")
    assert are_near("dog", "mammal")
    assert not are_near("dog", "bird")
