import re
from pathlib import Path

import pytest

from gpt4roi_export.vocabulary import N_IMAGENET, read_accepted, read_coco_names, read_vocabulary
from gpt4roi_export.vocabulary.make_vocabulary import accepted_names, make_vocabulary
from gpt4roi_export.vocabulary.wordnet import ancestors, read_nouns, read_senses
from gpt4roi_runtime.errors import InputError

NOUNS = """\
  1 This is the licence.
00000010 03 n 01 animal 0 001 ~ 00000020 n 0000 | lives
00000020 05 n 02 bird 0 winged_one 0 002 @ 00000010 n 0000 ~ 00000030 n 0000 | flies
00000030 05 n 01 black_swan 0 001 @ 00000020 n 0000 | swims
00000040 05 n 01 swan 0 001 @ 00000020 n 0000 | swims too
"""
SENSES = """\
  1 This is the licence.
swan n 1 1 @ 1 0 00000040
bird n 2 2 @ ~ 2 1 00000099 00000020
"""


def test_the_published_list_has_the_classes_first() -> None:
    vocabulary = read_vocabulary()
    assert vocabulary.names[:2] == ("tench", "goldfish")
    assert (vocabulary.names[281], vocabulary.names[999]) == ("tabby cat", "toilet paper")
    assert (vocabulary.kinds[281], vocabulary.kinds[999]) == ("cat", "cleaning supply")
    assert len(vocabulary.names) == len(vocabulary.kinds) > N_IMAGENET + 400


def test_every_name_can_stand_in_an_answer() -> None:
    vocabulary = read_vocabulary()
    assert [
        name for name in vocabulary.names if not re.fullmatch(r"[A-Za-z][A-Za-z'. -]*[a-z]|[A-Z]+|iPod", name)
    ] == []
    assert [kind for kind in vocabulary.kinds if not re.fullmatch(r"[a-z]+( [a-z]+)*", kind)] == []
    assert len({name.lower() for name in vocabulary.names}) == len(vocabulary.names)


def test_every_detector_class_and_every_accepted_name_is_in_it() -> None:
    names = set(read_vocabulary().names)
    coco = read_coco_names()
    assert len(coco) == 80
    assert set(coco.values()) <= names
    assert coco["tv"] == "television"
    for name, others in read_accepted().items():
        assert {name, *others} <= names
        assert name not in others


def test_narrower_names_are_accepted_but_not_wider_ones() -> None:
    accepted = read_accepted()
    assert "African bush elephant" in accepted["elephant"]
    assert "elephant" not in accepted.get("red panda", ())
    assert "bird" not in accepted.get("flamingo", ())


@pytest.mark.parametrize(
    "content", ["tench\n", "tench\tfish\tmore\n", "\tfish\n", "tench\tfish\ntench\tfish\n", "a\t\n"]
)
def test_another_layout_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "names.tsv"
    path.write_text(content)
    with pytest.raises(InputError, match=r"names\.tsv"):
        read_vocabulary(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_vocabulary(tmp_path / "none.tsv")


def test_a_strange_name_has_no_kind() -> None:
    with pytest.raises(InputError, match="'florp'"):
        read_vocabulary().kind_of("florp")


def test_wordnet_is_walked_upward_nearest_first() -> None:
    nouns = read_nouns(NOUNS)
    assert list(ancestors(nouns, 30)) == [30, 20, 10]
    assert nouns[20].words == ("bird", "winged one")


@pytest.mark.parametrize("line", ["00000010 03 n zz animal", "x 03 n 01 animal 0 000", "00000010"])
def test_a_damaged_wordnet_is_refused(line: str) -> None:
    with pytest.raises(InputError, match="WordNet"):
        read_nouns(line)


def test_a_vocabulary_from_small_lists(tmp_path: Path) -> None:
    (tmp_path / "corrections.tsv").write_text("1\tspade\n")
    (tmp_path / "by_kind.txt").write_text("tool: spade, rake\nbird: swan\n")
    nouns = read_nouns(NOUNS)
    made = make_vocabulary(("black swan", "shovel or spade"), (30, 10), nouns, tmp_path)
    assert made.names == ("black swan", "spade", "rake", "swan")
    assert made.kinds == ("bird", "tool", "tool", "bird")
    accepted = accepted_names(made, (30, 10), nouns, read_senses(SENSES), (("rake", "spade"),), ())
    assert accepted == {"black swan": (), "spade": ("rake",), "rake": ("spade",), "swan": ()}


def test_the_first_sense_with_a_class_of_its_kind_counts(tmp_path: Path) -> None:
    (tmp_path / "corrections.tsv").write_text("0\tblack swan\n")
    (tmp_path / "by_kind.txt").write_text("bird: bird\n")
    nouns = read_nouns(NOUNS)
    made = make_vocabulary(("black swan",), (30,), nouns, tmp_path)
    senses = read_senses(SENSES)
    assert accepted_names(made, (30,), nouns, senses, (), ())["bird"] == ("black swan",)
    assert accepted_names(made, (30,), nouns, senses, (), ("bird",))["bird"] == ()


def test_a_name_of_two_kinds_and_one_of_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "corrections.tsv").write_text("0\tspade\n")
    (tmp_path / "by_kind.txt").write_text("tool: rake\nplant: rake\n")
    with pytest.raises(InputError, match="'rake' is under 'tool' and 'plant'"):
        make_vocabulary(("spade",), (10,), read_nouns(NOUNS), tmp_path)
    (tmp_path / "by_kind.txt").write_text("tool: rake\n")
    with pytest.raises(InputError, match="'spade' has no kind"):
        make_vocabulary(("spade",), (10,), read_nouns(NOUNS), tmp_path)
