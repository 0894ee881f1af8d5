import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch

from gpt4roi_export.graphs import PYRAMID, export_encode, export_regions
from gpt4roi_export.modules.gpt4roi import EncodeGraph, RegionsGraph, VisionSizes
from gpt4roi_export.onnx_files import graph_bytes
from gpt4roi_export.parity import compare

RunStages = Callable[..., dict[str, np.ndarray]]

SIZES = VisionSizes(
    width=64,
    n_layers=6,
    n_heads=4,
    mlp_width=128,
    hidden_states_of_levels=(2, 3, 4, 5),
    box_hidden=32,
    feature_width=64,
    embedding_length=96,
)
LEVELS = ((64, 128), (64, 64), (64, 32), (64, 16))
ROIS = tuple(f"roi_{level}" for level in range(4))


def boxes(n: int) -> np.ndarray:
    corners = np.random.default_rng(n).uniform(0, 1, (n, 2, 2)).astype(np.float32)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


@pytest.fixture(scope="module")
def modules() -> tuple[EncodeGraph, RegionsGraph]:
    torch.manual_seed(0)
    return EncodeGraph(SIZES).eval(), RegionsGraph(SIZES).eval()


@pytest.fixture(scope="module")
def graphs(modules: tuple[EncodeGraph, RegionsGraph]) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    encode, regions = modules
    return export_encode(encode, SIZES.side_px), export_regions(regions, LEVELS)


def pixels() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, 3, 224, 224), dtype=np.float32)


def test_encode_graph_equals_torch_at_every_stage(
    modules: tuple[EncodeGraph, RegionsGraph], graphs: tuple[onnx.ModelProto, onnx.ModelProto], run_stages: RunStages
) -> None:
    with torch.inference_mode():
        outputs = modules[0](torch.from_numpy(pixels()))
    reference = {name: array.numpy() for name, array in zip(("image_embeddings", *PYRAMID), outputs, strict=True)}
    candidate = run_stages(graphs[0], {"pixels": pixels()})
    assert list(candidate) == list(reference)
    assert candidate["image_embeddings"].shape == (256, 96)
    compare(reference, candidate).require()


@pytest.mark.parametrize("n_regions", [1, 2, 7, 100])
def test_regions_graph_equals_torch_at_every_stage(
    modules: tuple[EncodeGraph, RegionsGraph],
    graphs: tuple[onnx.ModelProto, onnx.ModelProto],
    run_stages: RunStages,
    n_regions: int,
) -> None:
    random = np.random.default_rng(2)
    pyramid = [random.standard_normal((1, channels, side, side), dtype=np.float32) for channels, side in LEVELS]
    as_torch = [torch.from_numpy(level) for level in pyramid]
    with torch.inference_mode():
        rois = modules[1].region_head.align(tuple(as_torch), torch.from_numpy(boxes(n_regions)))
        reference = {name: roi.numpy() for name, roi in zip(ROIS, rois, strict=True)}
        reference["region_embeddings"] = modules[1](*as_torch, torch.from_numpy(boxes(n_regions))).numpy()
    inputs = {**dict(zip(PYRAMID, pyramid, strict=True)), "boxes": boxes(n_regions)}
    candidate = run_stages(graphs[1], inputs, inside=ROIS)
    assert candidate["region_embeddings"].shape == (n_regions, 1, 96)
    compare(reference, candidate).require()


def test_names_and_axes_are_the_contract(graphs: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    encode, regions = graphs
    assert [value.name for value in encode.graph.input] == ["pixels"]
    assert [value.name for value in encode.graph.output] == ["image_embeddings", *PYRAMID]
    assert [value.name for value in regions.graph.input] == [*PYRAMID, "boxes"]
    assert [value.name for value in regions.graph.output] == ["region_embeddings"]
    n_regions, four = regions.graph.input[-1].type.tensor_type.shape.dim
    assert (n_regions.dim_param, four.dim_value) == ("n_regions", 4)
    for model in graphs:
        assert {opset.domain for opset in model.opset_import} == {""}
        assert model.opset_import[0].version >= 17


def test_the_unused_last_layer_of_the_vit_is_not_in_the_graph(graphs: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    weights = {tensor.name for tensor in graphs[0].graph.initializer}
    assert any("layers.0." in name for name in weights)
    assert not any(f"layers.{SIZES.n_layers - 1}." in name for name in weights)


def test_graphs_carry_no_trace_of_this_machine(graphs: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    for model in graphs:
        bare = onnx.ModelProto()
        bare.CopyFrom(model)
        for tensor in bare.graph.initializer:
            tensor.ClearField("raw_data")
        assert not re.findall(rb"[\w.-]*\.py\b|/[\w.-]+/[\w./-]+|site-packages", graph_bytes(bare))


def test_export_gives_the_same_bytes_again(
    modules: tuple[EncodeGraph, RegionsGraph], graphs: tuple[onnx.ModelProto, onnx.ModelProto]
) -> None:
    assert graph_bytes(export_regions(modules[1], LEVELS)) == graph_bytes(graphs[1])
