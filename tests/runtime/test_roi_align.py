from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from gpt4roi_runtime.vision.roi_align import interpolation_matrix, roi_align, sample_positions
from tests.helpers.reference import brute_force_roi_align

Floats = NDArray[np.float32]


def _features(n_channels: int, height: int, width: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((n_channels, height, width), dtype=np.float32)


def _boxes(*rows: tuple[float, float, float, float]) -> Floats:
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def _ramp(height: int, width: int) -> Floats:
    """Channel 0 holds each cell's x, channel 1 its y: bilinear reading gives the place back."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y]).astype(np.float32)


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_a_plain_map_gives_the_plain_value_inside() -> None:
    pooled = roi_align(np.full((1, 4, 5), 3, dtype=np.float32), _boxes((1, 1, 4, 3)), output_side=2, spatial_scale=1.0)
    np.testing.assert_allclose(pooled, 3)


def test_a_box_of_one_cell_gives_that_cell() -> None:
    features = _features(2, 6, 7)
    pooled = roi_align(features, _boxes((3, 2, 4, 3)), output_side=1, spatial_scale=1.0, sampling_ratio=1)
    np.testing.assert_allclose(pooled[0, :, 0, 0], features[:, 2, 3], atol=1e-6)


def test_a_ramp_gives_the_centres_of_the_output_cells() -> None:
    pooled = roi_align(_ramp(10, 12), _boxes((2, 1, 10, 5)), output_side=4, spatial_scale=1.0)
    np.testing.assert_allclose(pooled[0, 0], np.tile([2.5, 4.5, 6.5, 8.5], (4, 1)), atol=1e-5)  # 2 + (i + .5) * 2 - .5
    np.testing.assert_allclose(pooled[0, 1], np.tile([[1.0], [2.0], [3.0], [4.0]], (1, 4)), atol=1e-5)


def test_the_scale_turns_pixels_into_cells() -> None:
    features = _features(2, 8, 8)
    cells = roi_align(features, _boxes((1, 2, 5, 7)), output_side=3, spatial_scale=1.0)
    pixels = roi_align(features, _boxes((14, 28, 70, 98)), output_side=3, spatial_scale=1 / 14)
    np.testing.assert_allclose(cells, pixels, atol=1e-5)


def test_less_than_a_cell_outside_reads_the_edge_and_farther_reads_nothing() -> None:
    features = np.full((1, 4, 4), 5, dtype=np.float32)
    edge = roi_align(features, _boxes((-0.25, 1, 0.25, 2)), output_side=1, spatial_scale=1.0)
    np.testing.assert_allclose(edge, 5)
    for box in ((-9, 1, -3, 2), (7, 1, 9, 2), (1, -9, 2, -3), (1, 7, 2, 9)):
        np.testing.assert_array_equal(roi_align(features, _boxes(box), output_side=2, spatial_scale=1.0), 0)


def test_no_boxes_give_no_rows() -> None:
    assert roi_align(_features(3, 4, 4), _boxes(), output_side=2, spatial_scale=1.0).shape == (0, 3, 2, 2)


def test_boxes_do_not_know_of_each_other() -> None:
    features, boxes = _features(2, 9, 8), _boxes((0, 0, 8, 9), (3.5, 2, 4, 8), (-2, -2, 20, 20))
    together = roi_align(features, boxes, output_side=3, spatial_scale=1.0)
    for number in range(3):
        alone = roi_align(features, boxes[number : number + 1], output_side=3, spatial_scale=1.0)
        np.testing.assert_allclose(together[number], alone[0], atol=1e-6)


def test_the_output_is_float32() -> None:
    assert roi_align(_features(1, 3, 3), _boxes((0, 0, 2, 2)), output_side=2, spatial_scale=0.5).dtype == np.float32


def test_samples_are_the_centres_of_equal_parts() -> None:
    positions = sample_positions(np.array([0, 2], dtype=np.float32), np.array([4, 3], dtype=np.float32), 2, 2)
    np.testing.assert_allclose(positions, np.array([[0, 1, 2, 3], [1.625, 1.875, 2.125, 2.375]]))


@given(st.lists(st.floats(-1, 7, width=32), min_size=1, max_size=8))
def test_weights_inside_sum_to_one(positions: list[float]) -> None:
    weights = interpolation_matrix(np.array([positions], dtype=np.float32), 7)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)
    assert (weights >= 0).all()


def test_weights_outside_are_zero() -> None:
    outside = np.array([[-1.01, 7.01, -1e30, 1e30]], dtype=np.float32)
    np.testing.assert_array_equal(interpolation_matrix(outside, 7), 0)


# --- against the definition -------------------------------------------------------------------------------------------

# Multiples of 1/64 and powers of two keep every sample's place exact in float32, so that both sides agree on which
# samples lie on a border, where the value jumps.
sixty_fourths = st.integers(-4096, 4096).map(lambda n: n / 64)
far = st.integers(-60_000, 60_000).map(lambda n: n / 64)


@st.composite
def _any_boxes(draw: Callable[..., Any]) -> Floats:
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["any", "inside", "tiny", "line", "point", "huge"]))
        numbers = far if kind == "huge" else st.integers(0, 512).map(lambda n: n / 64)
        if kind == "any":
            numbers = sixty_fourths
        left, top = draw(numbers), draw(numbers)
        right, bottom = {
            "tiny": (left + 1 / 64, top + 1 / 64),
            "line": (left, top + 2),
            "point": (left, top),
        }.get(kind, (draw(numbers), draw(numbers)))
        rows.append((min(left, right), min(top, bottom), max(left, right), max(top, bottom)))
    return _boxes(*rows)


@settings(max_examples=150)
@given(
    boxes=_any_boxes(),
    n_channels=st.integers(1, 2),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    side=st.sampled_from([1, 2, 4]),
    scale=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    sampling_ratio=st.sampled_from([1, 2]),
    seed=st.integers(0, 9),
)
def test_the_definition_cell_by_cell(
    boxes: Floats, n_channels: int, height: int, width: int, side: int, scale: float, sampling_ratio: int, seed: int
) -> None:
    features = _features(n_channels, height, width, seed)
    ours = roi_align(features, boxes, output_side=side, spatial_scale=scale, sampling_ratio=sampling_ratio)
    np.testing.assert_allclose(ours, brute_force_roi_align(features, boxes, side, scale, sampling_ratio), atol=1e-5)


@pytest.mark.parametrize(("stride", "n_cells"), [(14 / 8, 32), (14 / 4, 16), (14.0, 8)])
def test_the_models_own_sizes(stride: float, n_cells: int) -> None:
    features = _features(1, n_cells, n_cells, 3)
    corners = np.random.default_rng(4).uniform(0.02, 0.98, (3, 2, 2)) * n_cells * stride
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    ours = roi_align(features, boxes, output_side=14, spatial_scale=1 / stride)
    np.testing.assert_allclose(ours, brute_force_roi_align(features, boxes, 14, 1 / stride, 2), atol=2e-5)


# --- against ONNX Runtime ---------------------------------------------------------------------------------------------


def _onnx_roi_align(features: Floats, boxes: Floats, side: int, scale: float) -> Floats:
    import onnxruntime as ort

    graph = helper.make_graph(
        [
            helper.make_node(
                "RoiAlign",
                ["features", "boxes", "images"],
                ["pooled"],
                coordinate_transformation_mode="half_pixel",
                mode="avg",
                output_height=side,
                output_width=side,
                sampling_ratio=2,
                spatial_scale=scale,
            )
        ],
        "roi_align",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, (1, *features.shape)),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, boxes.shape),
            helper.make_tensor_value_info("images", TensorProto.INT64, (len(boxes),)),
        ],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, (len(boxes), len(features), side, side))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    onnx.checker.check_model(model)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    images = np.zeros(len(boxes), dtype=np.int64)
    (pooled,) = session.run(None, {"features": features[None], "boxes": boxes, "images": images})
    return np.asarray(pooled, dtype=np.float32)


@pytest.mark.parametrize("side", [1, 7, 14])
@pytest.mark.parametrize("scale", [1.0, 0.5, 1 / 14])
def test_onnx_opset_16_half_pixel_is_the_same_operator(side: int, scale: float) -> None:
    features = _features(5, 13, 17, 1)
    corners = np.random.default_rng(2).uniform(-0.4, 1.4, (24, 2, 2)) * np.array([17, 13]) / scale
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    ours = roi_align(features, boxes, output_side=side, spatial_scale=scale)
    np.testing.assert_allclose(ours, _onnx_roi_align(features, boxes, side, scale), atol=3e-5)
