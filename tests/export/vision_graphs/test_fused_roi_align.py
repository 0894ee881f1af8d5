import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from gpt4roi_export.graphs import export_regions
from gpt4roi_export.vision_graphs.fused_roi_align import with_pyramid_roi_align
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.vision.roi_align import roi_align
from tests.export.vision_graphs.conftest import SIZES, Model
from tests.helpers.native_plugin import PROBES, build_plugin, rtx_python, run
from tests.helpers.roi_align_graph import one_operator, run_graph

SIDES = (32, 16, 8, 4)
FLOAT = onnx.TensorProto.FLOAT


class PyramidRoiAlign(OpRun):
    """The operator as docs/nvidia.md describes it, by the NumPy definition."""

    op_domain = "gpt4roi"

    def _run(
        self, *inputs: NDArray[np.float32], output_side: int, sampling_ratio: int, spatial_scales: list[float], **_: Any
    ) -> tuple[NDArray[np.float32]]:
        *levels, boxes = inputs
        assert sampling_ratio == 2
        rois = [
            roi_align(features[0], boxes, output_side=output_side, spatial_scale=float(scale))
            for features, scale in zip(levels, spatial_scales, strict=True)
        ]
        return (np.concatenate(rois, axis=1),)


@pytest.fixture(scope="module")
def regions(model: Model) -> onnx.ModelProto:
    return export_regions(model.regions, [(SIZES.width, side) for side in SIDES])


def test_the_region_graph_gives_what_it_gave(regions: onnx.ModelProto, boxes: NDArray[np.float32]) -> None:
    random = np.random.default_rng(2)
    feeds: dict[str, NDArray[Any]] = {
        f"pyramid_{level}": random.standard_normal((1, SIZES.width, side, side), dtype=np.float32)
        for level, side in enumerate(SIDES)
    }
    feeds["boxes"] = boxes
    fused = with_pyramid_roi_align(regions)
    operators = [node.op_type for node in fused.graph.node]
    assert operators.count("PyramidRoiAlign") == 1
    assert "RoiAlign" not in operators
    (ours,) = map(np.asarray, ReferenceEvaluator(fused, new_ops=[PyramidRoiAlign]).run(None, feeds))
    theirs = run_graph(regions, feeds)
    assert np.abs(ours - theirs).max() / np.abs(theirs).max() < 1e-5


@pytest.mark.gpu_wheels
def test_tensorrt_builds_a_plan_of_it(regions: onnx.ModelProto, tmp_path: Path) -> None:
    python, library = rtx_python(), build_plugin(tmp_path / "plugin")
    path = tmp_path / "regions.onnx"
    onnx.save(with_pyramid_roi_align(regions), path)
    job = json.dumps({"graph": str(path), "targets": ["SM86", "SM89", "SM120"]})
    built = json.loads(run([str(python), str(PROBES / "build_engines.py"), str(library), job]).splitlines()[-1])
    n_weights = sum(np.prod(tensor.dims) for tensor in regions.graph.initializer)
    assert built["operator"]
    assert built["bytes"] > 4 * n_weights


def test_the_scales_are_the_levels_sides(regions: onnx.ModelProto) -> None:
    fused = with_pyramid_roi_align(regions)
    (node,) = (node for node in fused.graph.node if node.op_type == "PyramidRoiAlign")
    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    assert given["spatial_scales"] == pytest.approx(SIDES)
    assert (given["output_side"], given["sampling_ratio"]) == (14, 2)
    assert (given["plugin_namespace"], given["plugin_version"]) == (b"gpt4roi", b"1")


@pytest.mark.parametrize(
    ("order", "axis", "returned", "expected"),
    [
        ([0, 1], 1, [], ["PyramidRoiAlign", "Relu"]),
        ([1, 0], 1, [], ["PyramidRoiAlign", "Split", "Concat", "Relu"]),
        ([0, 1, 1], 1, [], ["PyramidRoiAlign", "Split", "Concat", "Relu"]),
        ([0, 1], 2, [], ["PyramidRoiAlign", "Split", "Concat", "Relu"]),
        ([0, 1], 1, ["roi_1"], ["PyramidRoiAlign", "Split", "Concat", "Relu"]),
    ],
)
def test_levels_that_are_joined_in_their_order_are_not_split_before(
    order: list[int], axis: int, returned: list[str], expected: list[str]
) -> None:
    model = two_levels(order, axis, returned)
    fused = with_pyramid_roi_align(model)
    assert [node.op_type for node in fused.graph.node] == expected
    random = np.random.default_rng(4)
    feeds: dict[str, NDArray[Any]] = {
        f"pyramid_{level}": random.standard_normal((1, 3, side, side), dtype=np.float32)
        for level, side in enumerate((8, 4))
    }
    feeds["boxes"] = np.array([[0.1, 0.2, 0.9, 0.8], [0, 0, 0.5, 0.5]], dtype=np.float32)
    ours = np.asarray(ReferenceEvaluator(fused, new_ops=[PyramidRoiAlign]).run(None, feeds)[0])
    np.testing.assert_allclose(ours, run_graph(model, feeds), rtol=0, atol=1e-5)


def two_levels(order: list[int], axis: int, returned: list[str]) -> onnx.ModelProto:
    """RoIAlign of levels of 8 and 4 cells a side, the results side by side in some order."""
    helper = onnx.helper
    image = onnx.numpy_helper.from_array(np.zeros(2, dtype=np.int64), "image")
    nodes = [
        helper.make_node(
            "RoiAlign",
            [f"pyramid_{level}", "boxes", "image"],
            [f"roi_{level}"],
            output_height=4,
            output_width=4,
            sampling_ratio=2,
            spatial_scale=float(side),
        )
        for level, side in enumerate((8, 4))
    ]
    nodes.append(helper.make_node("Concat", [f"roi_{level}" for level in order], ["joined"], axis=axis))
    nodes.append(helper.make_node("Relu", ["joined"], ["rois"]))
    values = {"boxes": [2, 4], "pyramid_0": [1, 3, 8, 8], "pyramid_1": [1, 3, 4, 4]}
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in values.items()],
        [helper.make_tensor_value_info(name, FLOAT, [None] * 4) for name in ("rois", *returned)],
        [image],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.bundle
def test_levels_that_are_shifted_alike_share_an_operator(bundle_dir: Path) -> None:
    fused = with_pyramid_roi_align(onnx.load(bundle_dir / "regions.onnx"))
    operators = [node for node in fused.graph.node if node.op_type == "PyramidRoiAlign"]
    scales = [onnx.helper.get_attribute_value(node.attribute[-1]) for node in operators]
    assert scales == [[65.0], [32.5], [16.25, 16.25]]
    assert operators[2].input[1] != "pyramid_3"  # the part of it that is aligned


def test_levels_made_of_the_boxes_are_refused() -> None:
    model = one_operator(4, 8, 8)
    made = onnx.helper.make_node("Mul", ["given", "corner"], ["features"])
    corner = onnx.helper.make_node("ReduceMax", ["boxes"], ["corner"], keepdims=0)
    model.graph.input[0].name = "given"
    del model.graph.value_info[:]
    shape = onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, [1, 4, 8, 8])
    model.graph.value_info.append(shape)
    nodes = [corner, made, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    with pytest.raises(BundleError, match="reads 'features', made of the boxes"):
        with_pyramid_roi_align(model)


def test_other_grids_are_refused() -> None:
    with pytest.raises(BundleError, match=r"a grid of \(14, 14, 3\), not 14 x 14 cells of 2 samples"):
        with_pyramid_roi_align(one_operator(4, 8, 8, sampling_ratio=3))
