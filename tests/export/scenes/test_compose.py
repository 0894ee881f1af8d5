from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt4roi_export.scenes import compose as module
from gpt4roi_export.scenes.compose import RECOLORABLE, SceneSettings, compose, jittered
from gpt4roi_export.scenes.sprites import Sprite, recolored, relit, scaled, trimmed, turned
from gpt4roi_export.vocabulary import read_vocabulary
from tests.export.scenes.conftest import BLUE, RED, WHITE, disk, thing

FEW = settings(max_examples=20)
STILL = SceneSettings(box_jitter=0.0, recoloring=0.0, shadows=0.0, blurring=0.0)
"""Nothing that changes where an object's edge is."""


def ground(height: int = 360, width: int = 640, level: int = 110) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def sprites(*colors: tuple[int, int, int]) -> tuple[Sprite, ...]:
    return tuple(Sprite(disk(color), thing(f"disk {number}")) for number, color in enumerate(colors))


@FEW
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_the_same_seed_gives_the_same_scene(seed: int, n_objects: int) -> None:
    objects = sprites(*[RED] * n_objects)
    first = compose(objects, ground(), np.random.default_rng(seed), SceneSettings())
    second = compose(objects, ground(), np.random.default_rng(seed), SceneSettings())
    assert np.array_equal(first[0], second[0])
    assert first[1] == second[1]


@FEW
@given(st.integers(0, 10**6))
def test_boxes_are_tight_around_what_is_there(seed: int) -> None:
    picture, facts = compose(sprites(RED), ground(), np.random.default_rng(seed), STILL)
    (region,) = facts
    red = (picture[..., 0].astype(int) - picture[..., 1] > 60).nonzero()
    there = red[1].min(), red[0].min(), red[1].max() + 1, red[0].max() + 1
    assert np.abs(np.array(there) - region.box).max() <= 2  # a pixel of soft rim
    assert region.color == "red"


@FEW
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_boxes_are_inside_and_scales_within_bounds(seed: int, n_objects: int) -> None:
    manner = SceneSettings()
    picture, facts = compose(sprites(*[BLUE] * n_objects), ground(), np.random.default_rng(seed), manner)
    assert picture.shape == (360, 640, 3)
    for region in facts:
        x1, y1, x2, y2 = region.box
        assert 0 <= x1 < x2 <= 640
        assert 0 <= y1 < y2 <= 360
        assert max(x2 - x1, y2 - y1) <= 640 * manner.most_scale * (1 + 2 * manner.box_jitter) + 2
        assert min(x2 - x1, y2 - y1) >= 640 * manner.least_scale * (1 - manner.most_hidden) * 0.8


@FEW
@given(st.integers(0, 10**6))
def test_no_object_is_hidden_too_much(seed: int) -> None:
    # Disks of one color each: what is left of a disk can be counted, and its size follows from its box's longer side.
    colors = [(220, 0, 0), (0, 200, 0), (0, 0, 220), (200, 200, 0)]
    manner = replace(STILL, overlapping=1.0, least_scale=0.3)
    picture, facts = compose(sprites(*colors), ground(), np.random.default_rng(seed), manner)
    for region in facts:
        assert region.name is not None
        wanted = np.array(colors[int(region.name[-1])]) > 100
        n_seen = ((picture > 70) == wanted).all(axis=-1).sum() if wanted.any() else 0
        x1, y1, x2, y2 = region.box
        least_area = np.pi / 4 * (min(x2 - x1, y2 - y1) - 2) ** 2
        assert n_seen >= (1 - manner.most_hidden) * least_area * 0.85  # rims are blended


def test_no_object_loses_its_larger_part_over_the_edge() -> None:
    flag = np.zeros((80, 80, 4), np.uint8)
    flag[:, :9] = flag[38:42] = (*RED, 255)  # a pole on one side, which holds most of the pixels, and a thin arm
    large = replace(STILL, least_scale=0.9, most_scale=0.9)
    for seed in range(600):
        _, (region,) = compose((Sprite(flag, thing("flag")),), ground(90, 90), np.random.default_rng(seed), large)
        x1, y1, x2, y2 = region.box
        assert (y2 - y1) > 0.5 * (x2 - x1)


def test_objects_overlap_sometimes_and_only_where_allowed() -> None:
    def n_touching(manner: SceneSettings) -> int:
        n_found = 0
        for seed in range(12):
            _, facts = compose(sprites(RED, BLUE, WHITE), ground(), np.random.default_rng(seed), manner)
            for one in facts:
                for other in facts:
                    wide = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
                    high = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
                    n_found += one is not other and min(wide, high) > 40
        return n_found

    large = replace(STILL, least_scale=0.3)
    assert n_touching(replace(large, overlapping=1.0)) > n_touching(replace(large, overlapping=0.0))


def test_an_object_without_room_is_left_out() -> None:
    # So large that a second one would have to hide the first.
    manner = replace(STILL, least_scale=0.9, most_scale=0.9, most_upscaling=99, overlapping=0.0)
    _, facts = compose(sprites(RED, BLUE), ground(300, 300), np.random.default_rng(0), manner)
    assert [region.name for region in facts] == ["disk 0"]


def test_facts_carry_what_the_sprite_is() -> None:
    cow = Sprite(disk(WHITE), thing("cow", "mammal"), sure=False)
    _, (region,) = compose((cow,), ground(level=20), np.random.default_rng(1), STILL)
    assert (region.name, region.kind, region.color, region.sure) == ("cow", "mammal", "white", False)


def test_where_no_color_leads_it_is_said_that_somebody_looked() -> None:
    halves = disk(RED)
    halves[:, 40:, :3] = BLUE
    both = Sprite(halves, thing("ball"))
    _, facts = compose((both, *sprites(RED)), ground(), np.random.default_rng(0), STILL)
    assert {(region.name, region.color, region.many_colored) for region in facts} == {
        ("ball", None, True),
        ("disk 0", "red", False),
    }


def test_cards_are_never_turned_and_have_no_color() -> None:
    card = Sprite(np.full((60, 90, 4), (200, 0, 0, 255), np.uint8), thing("barn"), is_card=True)
    for seed in range(10):
        _, (region,) = compose((card,), ground(), np.random.default_rng(seed), STILL)
        x1, y1, x2, y2 = region.box
        assert region.color is None
        if x1 > 0 and y1 > 0 and x2 < 640 and y2 < 360:
            assert (x2 - x1) / (y2 - y1) == pytest.approx(1.5, abs=0.06)


def test_only_kinds_that_come_in_any_color_are_recolored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "recolored", lambda rgba, _: disk(BLUE))
    always = replace(STILL, recoloring=1.0)
    colors = [
        compose((Sprite(disk(RED), thing(name, kind)),), ground(), np.random.default_rng(0), always)[1][0].color
        for name, kind in (("cow", "mammal"), ("car", "vehicle"))
    ]
    assert colors == ["red", "blue"]


def test_recolorable_kinds_exist() -> None:
    assert set(read_vocabulary().kinds) >= RECOLORABLE


@given(st.integers(0, 10**6), st.floats(0, 0.2))
def test_jitter_is_bounded_and_stays_inside(seed: int, most: float) -> None:
    box = 0.0, 40.0, 100.0, 90.0
    moved = jittered(box, (100, 100), np.random.default_rng(seed), most)
    assert 0 <= moved[0] < moved[2] <= 100
    assert 0 <= moved[1] < moved[3] <= 100
    assert np.abs(np.array(moved) - box).max() <= most * 100 + 0.5


def test_turning_keeps_colors_and_area() -> None:
    rgba = disk((200, 100, 50), 61)
    other = trimmed(turned(rgba, 33.0))
    assert abs(other.shape[0] - 59) <= 4
    solid = other[..., 3] > 200
    assert np.abs(other[solid][:, :3].astype(int) - (200, 100, 50)).max() <= 2


def test_scaling_sets_the_longer_side() -> None:
    assert scaled(disk(RED)[:40], 100).shape == (50, 100, 4)


@pytest.mark.parametrize("color", [(200, 30, 30), (128, 128, 128)])
def test_recoloring_changes_the_color_and_not_the_shape(color: tuple[int, int, int]) -> None:
    rgba = disk(color)
    other = recolored(rgba, np.random.default_rng(5))
    assert np.array_equal(other[..., 3], rgba[..., 3])
    assert np.abs(other[40, 40, :3].astype(int) - color).max() > 40


def test_no_relighting_without_strength() -> None:
    rgb = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(relit(rgb, np.random.default_rng(0), 0.0), rgb)
