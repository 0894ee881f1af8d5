from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from gpt4roi_export.vision_graphs.float16 import to_float16
from gpt4roi_export.vision_graphs.plain_roi_align import without_roi_align
from gpt4roi_export.vision_graphs.structure import Structure, recipe_of
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.vision.roi_align import roi_align
from tests.helpers.roi_align_graph import one_operator, run_graph

Floats = NDArray[np.float32]
EDGES = np.array(
    [
        [0, 0, 1, 1],
        [0.5, 0.5, 0.5, 0.5],
        [0.1, 0.2, 0.1, 0.9],
        [0.3, 0.3, 0.3001, 0.3001],
        [-0.2, -0.1, 0.4, 0.3],
        [1.5, 1.5, 1.8, 1.9],
        [-12, -9, 11, 10],
        [0.9, 0.8, 0.1, 0.2],
    ],
    dtype=np.float32,
)


def random_boxes(n: int) -> Floats:
    corners = np.random.default_rng(n).uniform(0, 1, (n, 2, 2)).astype(np.float32)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


@pytest.mark.parametrize("side", [128, 64, 32, 16])
@pytest.mark.parametrize("boxes", [EDGES, random_boxes(1), random_boxes(20)], ids=["edges", "one", "twenty"])
def test_it_is_the_definition_on_every_level(side: int, boxes: Floats) -> None:
    features = np.random.default_rng(side).standard_normal((1, 4, side, side), dtype=np.float32)
    model = without_roi_align(one_operator(4, side, side, spatial_scale=float(side)))
    assert "RoiAlign" not in {node.op_type for node in model.graph.node}
    assert {node.domain for node in model.graph.node} == {""}
    images = np.zeros(len(boxes), dtype=np.int64)
    aligned = run_graph(model, {"features": features, "boxes": boxes, "images": images})
    for box, one in zip(boxes, aligned, strict=True):
        defined = roi_align(features[0], box[None], output_side=14, spatial_scale=float(side))
        np.testing.assert_allclose(one, defined[0], atol=1e-5)


def test_a_map_and_an_output_need_not_be_square() -> None:
    features = np.random.default_rng(0).standard_normal((1, 4, 6, 11), dtype=np.float32)
    boxes = random_boxes(9) * np.array([11, 6, 11, 6], dtype=np.float32)
    feeds: dict[str, NDArray[Any]] = {"features": features, "boxes": boxes, "images": np.zeros(9, dtype=np.int64)}
    model = one_operator(4, 6, 11, output_height=3, output_width=5, sampling_ratio=3)
    np.testing.assert_allclose(run_graph(without_roi_align(model), feeds), run_graph(model, feeds), atol=1e-5)


@pytest.mark.bundle
def test_the_embedded_models_regions_graph(bundle_dir: Path) -> None:
    model = onnx.load(bundle_dir / "regions.onnx")
    plain = without_roi_align(model)
    assert [value.name for value in plain.graph.input] == [value.name for value in model.graph.input]
    random = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {
        value.name: random.standard_normal([d.dim_value for d in value.type.tensor_type.shape.dim], dtype=np.float32)
        for value in model.graph.input
        if value.name != "boxes"
    }
    feeds["boxes"] = np.concatenate([random_boxes(6), EDGES[:1]])
    # What it is compared with is the operator of the engine itself, level by level.
    names = [node.output[0] for node in model.graph.node if node.op_type == "RoiAlign"]
    assert len(names) == 4
    for graph in (model, plain):
        graph.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
        )
    sessions = [
        ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"]) for graph in (model, plain)
    ]
    theirs, ours = (session.run([*names, "region_embeddings"], feeds) for session in sessions)
    for name, expected, found in zip(names, theirs, ours, strict=False):
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=name)
    largest = np.abs(theirs[-1]).max()
    assert np.abs(ours[-1] - theirs[-1]).max() / largest < 1e-5


def test_in_half_precision_it_stays_an_island(structures: tuple[Structure, Structure]) -> None:
    """The pass for float16 keeps a RoiAlign in float32, and so what stands for it."""
    recipe = to_float16(recipe_of(structures[1]))
    plain = without_roi_align(recipe.model)
    inferred = onnx.shape_inference.infer_shapes(plain, strict_mode=True).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    aligned = [node.output[0] for node in recipe.model.graph.node if node.op_type == "RoiAlign"]
    assert len(aligned) == 4
    assert {kinds[name] for name in aligned} == {onnx.TensorProto.FLOAT}
    assert {kinds[f"{name}_down_positions"] for name in aligned} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize(
    ("attributes", "height", "words"),
    [
        ({"mode": "max"}, 8, "mode 'max', not 'avg'"),
        ({"coordinate_transformation_mode": "output_half_pixel"}, 8, "not 'half_pixel'"),
        ({"sampling_ratio": 0}, 8, "chooses its number of samples"),
        ({}, 0, r"of shape \[1, 4, 0, 8\]"),
    ],
    ids=str,
)
def test_other_operators_are_refused(attributes: dict[str, object], height: int, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        without_roi_align(one_operator(4, height, 8, **attributes))


def test_an_older_opset_is_refused() -> None:
    model = one_operator(4, 8, 8)
    model.opset_import[0].version = 16
    with pytest.raises(BundleError, match="opset 16, not 18"):
        without_roi_align(model)
