from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import gpt4roi_runtime
from gpt4roi_export.engines.plan_graph import PlanGraphFiles, converted, plan_tensors, write_plan_graph
from gpt4roi_export.parity import Stages
from gpt4roi_export.vision_graphs.write import VisionFormat
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.bundle.plans import PlanGraph, PlanPrecision
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.vision.preprocess import preprocess
from tests.export.vision_graphs.conftest import SIZES, Write
from tests.helpers.bundles import write_fake_bundle
from tests.helpers.plan_graphs import run_file

FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
LEAST_COSINE = 0.999
ASTRONAUT = Path(gpt4roi_runtime.__file__).parent / "samples" / "astronaut.jpg"


def gpt4roi_bundle(folder: Path, write: Write, stored: VisionFormat) -> Bundle:
    """The small GPT4RoI as an import writes it: weights beside the graphs."""
    written = write(stored)
    files = {path.name: path.read_bytes() for path in vars(written).values()}
    sides = [4 * 2**level for level in (3, 2, 1, 0)]
    changes: dict[str, Any] = {
        "vision__pyramid": [{"channels": SIZES.width, "side": side} for side in sides],
        "vision__preprocessing__resize__side_px": SIZES.side_px,
        "vision__n_image_rows": 16,
        "language__embedding_length": SIZES.embedding_length,
    }
    return open_bundle(write_fake_bundle(folder, files, **changes))


@pytest.fixture(scope="module")
def bundle(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return gpt4roi_bundle(tmp_path_factory.mktemp("gpt4roi"), write, VisionFormat())


def written(bundle: Bundle, precision: PlanPrecision, folder: Path) -> tuple[PlanGraphFiles, PlanGraphFiles]:
    encode, regions = (
        write_plan_graph(bundle, graph, precision, folder, lambda doing, done: None) for graph in ("encode", "regions")
    )
    return encode, regions


def outputs(
    files: tuple[PlanGraphFiles, PlanGraphFiles], pixels: NDArray[np.float32], boxes: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    encode, regions = files
    found = run_file(encode.graph, {"pixels": pixels})
    return found | run_file(regions.graph, {**found, "boxes": boxes})


def least_cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Of the rows of the last axis."""
    ours, theirs = (part.astype(np.float64).reshape(-1, part.shape[-1]) for part in (one, other))
    cosines = (ours * theirs).sum(axis=1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1))
    return float(cosines.min())


def test_float16_plans_give_the_modules_embeddings(
    bundle: Bundle, reference: Stages, pixels: NDArray[np.float32], boxes: NDArray[np.float32], tmp_path: Path
) -> None:
    found = outputs(written(bundle, "fp16", tmp_path), pixels, boxes)
    for name in ("image_embeddings", "region_embeddings"):
        assert found[name].dtype == np.float32
        assert least_cosine(found[name], reference[name]) >= LEAST_COSINE
    assert {found[f"pyramid_{level}"].dtype.name for level in range(4)} == {"float16"}


def test_in_float32_the_rewritten_graphs_are_the_same_function(
    bundle: Bundle, reference: Stages, pixels: NDArray[np.float32], boxes: NDArray[np.float32], tmp_path: Path
) -> None:
    found = outputs(written(bundle, "fp32", tmp_path), pixels, boxes)
    for name, array in found.items():
        assert np.abs(array - reference[name]).max() / np.abs(reference[name]).max() < 1e-4


def test_the_operator_stands_right_before_the_one_convolution(bundle: Bundle) -> None:
    graph = converted(bundle, "regions", "fp16")
    model = graph.recipe.model
    (operator,) = (node for node in model.graph.node if node.op_type == "PyramidRoiAlign")
    (convolution,) = (node for node in model.graph.node if node.op_type == "Conv")
    assert convolution.input[0] == operator.output[0]
    assert graph.read(convolution.input[1]).shape == (SIZES.width, 4 * SIZES.width, 3, 3)
    assert not {"Split", "Concat", "Sum"} & {node.op_type for node in model.graph.node}
    assert convolution.input[2] in {entry.name for entry in graph.recipe.stored}  # some parsers want it as a constant


def test_the_operator_reads_float16_levels_and_float32_boxes(bundle: Bundle) -> None:
    model = converted(bundle, "regions", "fp16").recipe.model
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    (operator,) = (node for node in model.graph.node if node.op_type == "PyramidRoiAlign")
    assert list(operator.input) == [*(f"pyramid_{level}" for level in range(4)), "boxes"]
    assert [types[name] for name in operator.input] == [FLOAT16] * 4 + [FLOAT]


def tensors_of(bundle: Bundle, graph: PlanGraph, precision: PlanPrecision) -> Iterator[tuple[str, str, str]]:
    for tensors in plan_tensors(bundle, graph, precision):
        yield from ((tensor.name, tensor.dtype, tensor.layout) for tensor in tensors)


def test_the_pyramid_goes_over_as_the_plugin_reads_it(bundle: Bundle) -> None:
    levels = [(f"pyramid_{level}", "float16", "channels_last") for level in range(4)]
    assert list(tensors_of(bundle, "encode", "fp16"))[2:] == levels == list(tensors_of(bundle, "regions", "fp16"))[:4]
    assert {kind for _, kind, _ in tensors_of(bundle, "encode", "fp32")} == {"float32"}


def test_every_node_has_a_name_for_complaints(bundle: Bundle, tmp_path: Path) -> None:
    for files in written(bundle, "fp16", tmp_path):
        names = [node.name for node in onnx.load(files.graph, load_external_data=False).graph.node]
        assert all(names)
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_rounded_graphs_are_refused(write: Write, tmp_path: Path, precision: Any) -> None:
    stored = gpt4roi_bundle(tmp_path / "bundle", write, VisionFormat(precision))
    with pytest.raises(BundleError, match=r"plans are made of float32 graphs|not FLOAT"):
        converted(stored, "regions", "fp16")


@pytest.mark.parametrize("graph", ["encode", "regions"])
def test_graphs_that_fewer_bits_would_spoil_are_built_in_float32_only(
    write: Write, tmp_path: Path, graph: PlanGraph
) -> None:
    stored = gpt4roi_bundle(tmp_path / "bundle", write, VisionFormat("fp32", winograd=True))
    with pytest.raises(BundleError, match="would lose too much in float16") as refused:
        converted(stored, graph, "fp16")
    assert "--winograd" in refused.value.advice
    assert converted(stored, graph, "fp32").recipe.model.graph.node


def test_weights_in_a_file_that_is_not_the_bundles_are_refused(bundle: Bundle, write: Write, tmp_path: Path) -> None:
    copy = gpt4roi_bundle(tmp_path / "bundle", write, VisionFormat())
    path = copy.path_of(copy.manifest.vision.regions)
    model = onnx.load(path, load_external_data=False)
    weight = next(one for one in model.graph.initializer if one.data_location == onnx.TensorProto.EXTERNAL)
    place = next(entry for entry in weight.external_data if entry.key == "location")
    place.value = "../../../etc/passwd"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="which the manifest does not list"):
        converted(copy, "regions", "fp16")


def test_a_weight_longer_than_its_file_is_refused(write: Write, tmp_path: Path) -> None:
    copy = gpt4roi_bundle(tmp_path / "bundle", write, VisionFormat())
    weights = copy.folder / "regions.weights"
    weights.write_bytes(weights.read_bytes()[:-4096])
    with pytest.raises(BundleError, match=r"expected .* within"):
        converted(copy, "regions", "fp16")


@pytest.mark.bundle
def test_float16_plans_of_the_embedded_bundle(bundle_dir: Path, tmp_path: Path) -> None:
    embedded = open_bundle(bundle_dir)
    pixels = preprocess(load_image(ASTRONAUT), embedded.manifest.vision.preprocessing)
    boxes = np.array([[0.1, 0.1, 0.5, 0.6], [0, 0, 1, 1], [0.7, 0.2, 0.9, 0.25], [0.4, 0.4, 0.41, 0.42]], np.float32)
    vision = embedded.manifest.vision
    reference = run_copy(embedded.path_of(vision.encode), tmp_path, {"pixels": pixels})
    reference |= run_copy(embedded.path_of(vision.regions), tmp_path, {**reference, "boxes": boxes})
    found = outputs(written(embedded, "fp16", tmp_path), pixels, boxes)
    for name in ("image_embeddings", "region_embeddings"):
        assert least_cosine(found[name], reference[name]) >= LEAST_COSINE


def run_copy(path: Path, folder: Path, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    copy = folder / f"whole-{path.name}"
    copy.write_bytes(path.read_bytes())
    return run_file(copy, feeds)
