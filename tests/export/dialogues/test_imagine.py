from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_export.dialogues import places
from gpt4roi_export.dialogues.imagine import ImagineSettings, imagine
from gpt4roi_export.dialogues.names import NameIndex
from gpt4roi_export.scene import COLORS
from tests.export.dialogues.dice import dice


@given(seed=st.integers(0, 1 << 32))
def test_facts_are_possible(index: NameIndex, seed: int) -> None:
    scene = imagine(index, dice(seed), ImagineSettings(), "x")
    width, height = scene.size
    assert max(scene.size) == ImagineSettings().side_px
    for region in scene.regions:
        x1, y1, x2, y2 = region.box
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert region.name in index.names
        assert region.kind == index.kind_of[region.name]
        assert region.many_colored if region.color is None else region.color in COLORS


def test_shares_are_as_set(index: NameIndex) -> None:
    rng = dice(5)
    scenes = [imagine(index, rng, ImagineSettings(unsure=0.3), str(number)) for number in range(1500)]
    regions = [region for scene in scenes for region in scene.regions]
    assert 0.27 < sum(not region.sure for region in regions) / len(regions) < 0.33
    assert 0.36 < sum(region.many_colored for region in regions) / len(regions) < 0.42  # some names have a color
    counts = Counter(len(scene.regions) for scene in scenes)
    assert set(counts) == {1, 2, 3, 4, 5, 6}
    assert counts[3] > counts[1]
    repeated = sum(len({region.name for region in scene.regions}) < len(scene.regions) for scene in scenes)
    assert 0.1 < repeated / len(scenes) < 0.5


def test_all_names_are_about_equally_often(index: NameIndex) -> None:
    rng = dice(6)
    settings = ImagineSettings(same_name=0.0, same_kind=0.0)
    names = Counter(
        region.name for number in range(6000) for region in imagine(index, rng, settings, str(number)).regions
    )
    assert len(names) > 0.99 * len(index.names)
    assert max(names.values()) < 6 * names.total() / len(index.names)


def test_things_as_big_as_each_other_have_other_shapes_and_sides(index: NameIndex) -> None:
    rng = dice(7)
    scenes = [imagine(index, rng, ImagineSettings(n_regions=(0.0, 1.0)), str(number)) for number in range(1500)]
    pairs = [tuple(places.fractions(scene, region) for region in scene.regions) for scene in scenes]
    alike = [pair for pair in pairs if places.bigger(*pair) == "same"]
    assert 0.15 < len(alike) / len(pairs) < 0.4
    ratios = [places.area(first) / places.area(second) for first, second in alike]
    assert sum(ratio > 1.05 or ratio < 1 / 1.05 for ratio in ratios) > 0.5 * len(ratios)
    widths = [(first[2] - first[0]) / (second[2] - second[0]) for first, second in alike]
    assert sum(ratio > 1.1 or ratio < 1 / 1.1 for ratio in widths) > 0.5 * len(ratios)
