import ctypes

import numpy as np
import pytest
from bench.gpu_check import Job, Level
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpt4roi_runtime.vision.roi_align import roi_align
from tests.helpers.native_roi_align import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    NativeRoiAlign,
    RefusedError,
    as_float32,
    as_stored,
)
from tests.helpers.reference import brute_force_roi_align
from tests.helpers.roi_align_graph import one_operator, run_graph

Floats = NDArray[np.float32]
SIDES = (128, 64, 32, 16)
BINS = 14
TOLERANCES = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}
LAYOUTS = pytest.mark.parametrize("layout", [CHANNELS_LAST, CHANNELS_FIRST], ids=["channels_last", "channels_first"])


def pyramid_of(channels: int, sides: tuple[int, ...] = SIDES, seed: int = 0) -> list[Floats]:
    random = np.random.default_rng(seed)
    return [random.standard_normal((channels, side, side), dtype=np.float32) for side in sides]


def rows(*boxes: tuple[float, float, float, float]) -> Floats:
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)


def random_boxes(n: int, seed: int = 1) -> Floats:
    corners = np.random.default_rng(seed).uniform(0, 1, (n, 2, 2)).astype(np.float32)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def defined(pyramid: list[Floats], boxes: Floats, storage: str, bins: int = BINS) -> Floats:
    """The NumPy definition in float32 on what the storage type leaves of the features; boxes in 0..1."""
    levels = []
    for features in pyramid:
        kept, scale = as_float32(as_stored(features, storage), storage), float(features.shape[1])
        # Box by box, which takes a tenth of the time.
        aligned = [roi_align(kept, box[None], output_side=bins, spatial_scale=scale) for box in boxes]
        levels.append(np.concatenate(aligned))
    return np.stack(levels, axis=1)


CASES = {
    "one": random_boxes(1),
    "a_hundred": random_boxes(100),
    "whole_image": rows((0, 0, 1, 1)),
    "on_the_border": rows((0, 0, 0.25, 0.25), (0.75, 0.75, 1, 1), (0, 0.4, 1, 0.6), (0.3, 0, 0.5, 1)),
    "no_area": rows((0.5, 0.5, 0.5, 0.5), (0.1, 0.2, 0.1, 0.9), (0.1, 0.2, 0.9, 0.2), (1, 1, 1, 1), (0, 0, 0, 0)),
    "tiny": rows((0.3, 0.3, 0.3001, 0.3001), (0.5, 0.5, 0.504, 0.504)),
    "partly_outside": rows((-0.2, -0.1, 0.4, 0.3), (0.8, 0.7, 1.3, 1.2), (-1, -1, 2, 2)),
    "wholly_outside": rows((-2, -2, -1, -1), (1.5, 0.2, 1.8, 0.4), (0.2, 1.5, 0.4, 1.8)),
    "huge": rows((-12, -9, 11, 10), (-1e6, -1e6, 1e6, 1e6), (-3e4, 0.2, 3e4, 0.8), (1e30, 1e30, 3e38, 3e38)),
    "turned_round": rows((0.9, 0.2, 0.1, 0.8), (0.2, 0.9, 0.8, 0.1), (0.7, 0.6, 0.2, 0.1)),
}


@LAYOUTS
@pytest.mark.parametrize("storage", list(TOLERANCES))
@pytest.mark.parametrize("case", list(CASES))
def test_every_level_is_as_defined(native: NativeRoiAlign, case: str, storage: str, layout: int) -> None:
    pyramid, boxes = pyramid_of(8), CASES[case]
    with np.errstate(over="ignore", invalid="ignore"):  # NumPy says so where a huge box leaves float32
        expected = defined(pyramid, boxes, storage)
    aligned = native.align(pyramid, boxes, SIDES, side=BINS, storage=storage, layout=layout)
    for level in range(4):
        difference = np.abs(aligned[:, level] - expected[:, level]).max()
        assert difference <= TOLERANCES[storage], f"level {level}: {difference:.2e}"
    if case == "wholly_outside":
        np.testing.assert_array_equal(aligned, 0)
    else:
        assert np.abs(expected).max() > 0.1


def test_the_definition_loop_by_loop(native: NativeRoiAlign) -> None:
    features = pyramid_of(4, (16,))
    boxes = np.concatenate([random_boxes(2), CASES["partly_outside"]])
    aligned = native.align(features, boxes, [16], side=7)
    np.testing.assert_allclose(aligned[:, 0], brute_force_roi_align(features[0], boxes, 7, 16, 2), atol=1e-5)


@pytest.mark.parametrize("case", ["a_hundred", "whole_image", "tiny", "partly_outside", "wholly_outside"])
def test_onnx_runtimes_operator_on_every_level(native: NativeRoiAlign, case: str) -> None:
    pyramid, boxes = pyramid_of(4), CASES[case]
    images = np.zeros(len(boxes), dtype=np.int64)
    aligned = native.align(pyramid, boxes, SIDES, side=BINS)
    for level, features in enumerate(pyramid):
        # It rounds coordinates in another order, which on 128 cells shifts a sample by some 1e-5 of a cell.
        feeds = {"features": features[None], "boxes": boxes * np.float32(SIDES[level]), "images": images}
        expected = run_graph(one_operator(4, SIDES[level], SIDES[level]), feeds)
        np.testing.assert_allclose(aligned[:, level], expected, atol=1e-4)


@settings(max_examples=60)
@given(
    numbers=st.lists(st.floats(-2, 3, width=32), min_size=4, max_size=16),
    storage=st.sampled_from(list(TOLERANCES)),
    bins=st.sampled_from([1, 2, 5]),
    sides=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    n_vectors=st.integers(1, 3),
)
def test_layouts_agree_to_the_bit(
    native: NativeRoiAlign, numbers: list[float], storage: str, bins: int, sides: list[int], n_vectors: int
) -> None:
    pyramid = pyramid_of(8 * n_vectors, tuple(sides))
    boxes = rows(*zip(*[iter(numbers)] * 4, strict=False))
    last, first = (
        native.align(pyramid, boxes, sides, side=bins, storage=storage, layout=layout)
        for layout in (CHANNELS_LAST, CHANNELS_FIRST)
    )
    np.testing.assert_array_equal(last, first)
    expected = defined(pyramid, boxes, storage, bins)
    np.testing.assert_allclose(last, expected, atol=TOLERANCES[storage])


def test_a_pyramid_need_not_be_square(native: NativeRoiAlign) -> None:
    features = np.random.default_rng(3).standard_normal((5, 6, 11), dtype=np.float32)
    boxes = rows((1, 1, 9, 5), (-2, 0.5, 12, 7))
    aligned = native.align([features], boxes, [1.0], side=3, layout=CHANNELS_FIRST)
    np.testing.assert_allclose(aligned[:, 0], roi_align(features, boxes, output_side=3, spatial_scale=1.0), atol=1e-5)


def test_more_channels_than_a_block_has_threads(native: NativeRoiAlign) -> None:
    pyramid, boxes = pyramid_of(8 * 131, (4,)), rows((0.1, 0.2, 0.9, 0.7))
    aligned = native.align(pyramid, boxes, [4], side=2, storage="float16")
    np.testing.assert_allclose(aligned, defined(pyramid, boxes, "float16", 2), atol=2e-3)


def test_no_regions_give_no_rows(native: NativeRoiAlign) -> None:
    assert native.align(pyramid_of(8), rows(), SIDES, side=BINS).shape == (0, 4, 8, BINS, BINS)


def test_a_region_does_not_know_of_others(native: NativeRoiAlign) -> None:
    pyramid, boxes = pyramid_of(8), random_boxes(5)
    together = native.align(pyramid, boxes, SIDES, side=BINS, storage="float16")
    alone = [native.align(pyramid, boxes[i : i + 1], SIDES, side=BINS, storage="float16")[0] for i in range(5)]
    np.testing.assert_array_equal(together, np.stack(alone))


# --- storage types ----------------------------------------------------------------------------------------------------


def test_every_half_is_read_and_written_as_itself(native: NativeRoiAlign) -> None:
    halves = np.arange(0x10000, dtype=np.uint16).view(np.float16).astype(np.float32)
    halves = halves[np.isfinite(halves)]
    aligned = native.align([halves[:, None, None]], rows((0, 0, 1, 1)), [1], side=1, storage="float16")
    np.testing.assert_array_equal(aligned.ravel(), halves)


def test_halves_are_rounded_to_the_nearest_even_one(native: NativeRoiAlign) -> None:
    random = np.random.default_rng(5)
    exponents = random.integers(-26, 15, (4096, 1, 2))
    features = (random.standard_normal((4096, 1, 2)) * 2.0**exponents).astype(np.float16).astype(np.float32)
    boxes = rows((0.25, 0, 1.5, 1))
    narrow = native.align([features], boxes, [1], side=1, storage="float16")
    wide = native.align([features], boxes, [1], side=1)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(narrow, wide.astype(np.float16).astype(np.float32))
    assert (narrow != wide).mean() > 0.3


def test_bfloat16_is_rounded_to_the_nearest_even_one(native: NativeRoiAlign) -> None:
    features = as_float32(as_stored(pyramid_of(512, (3,))[0], "bfloat16"), "bfloat16")
    boxes = rows((0.3, 0.2, 2.9, 2.1))
    narrow = native.align([features], boxes, [1], side=2, storage="bfloat16")
    wide = native.align([features], boxes, [1], side=2)
    np.testing.assert_array_equal(narrow, as_float32(as_stored(wide, "bfloat16"), "bfloat16"))


def test_sums_are_float32_whatever_the_storage(native: NativeRoiAlign) -> None:
    # Half precision counts 2049 and 2051 as 2048 and 2052 when it adds them up one by one.
    features = np.array([2047, 2048, 2047, 2048], dtype=np.float32).reshape(1, 2, 2).repeat(8, axis=0)
    aligned = native.align([features], rows((0.5, 0.5, 1.5, 1.5)), [1], side=1, storage="float16")
    assert np.unique(aligned).tolist() == [2048.0]  # 2047.5, to even


# --- memory -----------------------------------------------------------------------------------------------------------


@LAYOUTS
def test_no_box_reads_outside_its_level(native: NativeRoiAlign, layout: int) -> None:
    """Round the map lies NaN: whoever reads it has it in the result, even with a weight of 0."""
    channels, side = 8, 5
    n = channels * side * side
    memory = np.full(3 * n + 4, np.nan, dtype=np.float32)
    start = n + (-(memory.ctypes.data // 4 + n)) % 4
    memory[start : start + n] = 1
    worst = [0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 5.0, 5.999, -0.999, 2.5]
    boxes = np.array([(a, b, c, d) for a in worst for b in worst[3:6] for c in worst for d in worst[3:6]], np.float32)
    boxes = np.concatenate([boxes, random_boxes(40) * 5, boxes[:, [1, 0, 3, 2]]])
    output = np.empty((len(boxes), channels, 2, 2), dtype=np.float32)
    level = Level(memory.ctypes.data + 4 * start, side, side, 1.0)
    job = Job((Level * 4)(level), boxes.ctypes.data, output.ctypes.data, 1, len(boxes), channels, 2)
    native.run(job, 0, layout)
    assert np.isfinite(output).all()
    assert output.max() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_levels": 0}, "1 to 4 levels"),
        ({"n_levels": 5}, "1 to 4 levels"),
        ({"side": 0}, "1 to 64 cells a side"),
        ({"side": 65}, "1 to 64 cells a side"),
        ({"n_regions": -1}, "0 to 65535 regions"),
        ({"n_regions": 65536}, "0 to 65535 regions"),
        ({"channels": 0}, "1 to 65536 channels"),
        ({"channels": 12}, "units of 16 bytes"),
        ({"storage": 3}, "storage type"),
        ({"layout": 2}, "layout"),
        ({"height": 0}, "cells a side"),
        ({"height": 1 << 24, "width": 1 << 24}, "elements"),
        ({"scale": 0.0}, "positive"),
        ({"scale": float("nan")}, "positive"),
        ({"features": 8}, "multiple of 16 bytes"),
        ({"output": 24}, "multiple of 16 bytes"),
    ],
    ids=str,
)
def test_a_bad_job_is_refused_before_memory_is_touched(
    native: NativeRoiAlign, change: dict[str, float], words: str
) -> None:
    numbers = {
        **dict.fromkeys(("n_levels", "n_regions", "storage"), 1),
        **dict.fromkeys(("channels", "features", "output"), 16),
        **dict.fromkeys(("height", "width"), 4),
        "layout": CHANNELS_LAST,
        "scale": 1.0,
        "side": 14,
        **change,
    }
    whole = {name: int(number) for name, number in numbers.items() if name != "scale"}
    level = Level(whole["features"], whole["height"], whole["width"], numbers["scale"])
    job = Job((Level * 4)(level), 16, whole["output"], whole["n_levels"], whole["n_regions"], whole["channels"])
    job.side = whole["side"]
    with pytest.raises(RefusedError, match=words):
        native.run(job, whole["storage"], whole["layout"])


def test_both_sides_agree_on_the_jobs_layout() -> None:
    assert ctypes.sizeof(Job) == 128
