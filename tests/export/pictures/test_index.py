from pathlib import Path

import pytest

from gpt4roi_export.pictures.index import INDEX, Backdrop, Cutout, Named, Pictures, read_index, write_index
from gpt4roi_export.pictures.splitting import HELD_OUT_SHARE, may_be_practised, split_of_backdrop, split_of_picture
from gpt4roi_runtime.errors import InputError

KNOWN = Named("koala", "mammal", known=True, accepted=("koala",))
UNKNOWN = Named("igloo", "building", known=False, accepted=("igloo",))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    cutout = Cutout("cutouts/a.png", KNOWN, "pics", "MIT", photographic=True, split="train")
    pictures = Pictures((cutout,), (), (Backdrop("b.jpg", "pics", "MIT", "held-out"),))
    write_index(tmp_path, pictures)
    assert read_index(tmp_path) == pictures


@pytest.mark.parametrize("path", ["../a.png", "/etc/passwd", "cutouts/../../a.png"])
def test_files_outside_of_the_folder_are_refused(path: str, tmp_path: Path) -> None:
    write_index(tmp_path, Pictures(backdrops=(Backdrop(path, "pics", "MIT", "train"),)))
    with pytest.raises(InputError, match="inside the folder"):
        read_index(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"cutouts": 3}', b'{"nonsense": []}', b"\xff"])
def test_a_damaged_index_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / INDEX).write_bytes(content)
    with pytest.raises(InputError, match="cannot read"):
        read_index(tmp_path)


def test_known_things_are_held_out_picture_by_picture() -> None:
    splits = [split_of_picture(f"koala-{number}.png", (KNOWN,), frozenset()) for number in range(2000)]
    assert abs(splits.count("held-out") / 2000 - HELD_OUT_SHARE) < 0.03
    assert splits == [split_of_picture(f"koala-{number}.png", (KNOWN,), frozenset()) for number in range(2000)]


def test_all_pictures_of_an_unknown_name_go_one_way() -> None:
    ways: list[str] = []
    for number in range(300):
        named = Named(f"thing {number}", "tool", known=False, accepted=(f"thing {number}",))
        splits = {split_of_picture(f"{picture}.png", (named,), frozenset()) for picture in range(5)}
        splits.add(split_of_picture("both.png", (KNOWN, named), frozenset()))
        assert len(splits) == 1
        ways.extend(splits)
    assert 0.04 < ways.count("held-out") / 300 < 0.2


def test_everyday_names_are_always_trained() -> None:
    names = [f"thing {number}" for number in range(100)]
    things = [Named(name, "tool", known=False, accepted=(name,)) for name in names]
    assert {split_of_picture("a.png", (thing,), frozenset(names)) for thing in things} == {"train"}


def test_some_backdrops_are_held_out() -> None:
    splits = [split_of_backdrop(f"{number}.jpg") for number in range(1000)]
    assert 0.08 < splits.count("held-out") / 1000 < 0.16


def test_what_is_known_may_be_practised_and_what_is_held_out_may_not() -> None:
    assert may_be_practised(KNOWN, frozenset())
    unknown = [Named(f"thing {number}", "tool", known=False, accepted=()) for number in range(100)]
    held_out = [thing for thing in unknown if split_of_picture("any.png", (thing,), frozenset()) == "held-out"]
    assert held_out
    assert [thing for thing in unknown if not may_be_practised(thing, frozenset())] == held_out
    assert all(may_be_practised(thing, frozenset({thing.name})) for thing in held_out)
