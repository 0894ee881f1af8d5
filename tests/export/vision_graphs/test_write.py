from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from gpt4roi_export.modules.gpt4roi import VisionSizes
from gpt4roi_export.onnx_files import graph_bytes
from gpt4roi_export.parity import Stages
from gpt4roi_export.tensors import ArraysInMemory
from gpt4roi_export.vision_graphs.calibration import ranges_of
from gpt4roi_export.vision_graphs.check import check_graphs, engines_here
from gpt4roi_export.vision_graphs.eight_bits import Ranges
from gpt4roi_export.vision_graphs.external import ALIGNMENT
from gpt4roi_export.vision_graphs.structure import Structure, encode_structure, regions_structure
from gpt4roi_export.vision_graphs.write import (
    Precision,
    VisionFormat,
    WrittenGraphs,
    predicted_graph_bytes,
    write_graphs,
)
from gpt4roi_runtime.backends.onnx_external_data import external_locations
from gpt4roi_runtime.backends.openvino_graph import OpenVinoGraph
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.backends.vision_settings import VisionEngine, VisionPrecision
from gpt4roi_runtime.errors import BundleError, EngineError, NumericError
from gpt4roi_runtime.vision.contract import GraphContract, TensorContract
from tests.export.vision_graphs.conftest import SIZES, Model, Write


@pytest.fixture(scope="module")
def ranges(model: Model, pixels: NDArray[np.float32]) -> Ranges:
    return ranges_of(model.sizes, model.clip, model.release, [pixels, pixels[:, ::-1].copy()], lambda doing, done: None)


FORMATS = ("fp32", "fp32 by Winograd", "fp16", "fp16 and a small flatten", "int8", "int8 with ranges")


@pytest.fixture(params=FORMATS, scope="module")
def stored(request: pytest.FixtureRequest, ranges: Ranges) -> VisionFormat:
    precision: Precision = request.param.split()[0]
    known = ranges if "ranges" in request.param else None
    return VisionFormat(precision, known, "small" in request.param, winograd="Winograd" in request.param)


@pytest.fixture(scope="module")
def written(stored: VisionFormat, write: Write) -> WrittenGraphs:
    return write(stored)


def graphs_of(written: WrittenGraphs) -> Iterator[tuple[onnx.ModelProto, Path]]:
    for graph, weights in ((written.encode, written.encode_weights), (written.regions, written.regions_weights)):
        yield onnx.load_model(graph, load_external_data=False), weights


def test_the_engine_gives_what_the_modules_give(
    written: WrittenGraphs,
    stored: VisionFormat,
    reference: Stages,
    pixels: NDArray[np.float32],
    boxes: NDArray[np.float32],
) -> None:
    for n_regions in (3, 1):
        cut = {**reference, "region_embeddings": reference["region_embeddings"][:n_regions]}
        check = check_graphs(written.encode.parent, cut, pixels, boxes[:n_regions], stored.precision, n_threads=1)
        assert {"image_embeddings", "region_embeddings"} <= {stage.stage for stage in check.report.stages}
        check.report.require()


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_the_second_engine_gives_what_the_modules_give(
    written: WrittenGraphs,
    stored: VisionFormat,
    reference: Stages,
    pixels: NDArray[np.float32],
    boxes: NDArray[np.float32],
    precision: VisionPrecision,
) -> None:
    engine = VisionEngine("openvino", precision)
    if engine not in engines_here(written.encode.parent):
        pytest.skip(
            f"{engine} cannot run here: not installed, no bfloat16 of the processor's own, or fewer bits than needed"
        )
    check = check_graphs(written.encode.parent, reference, pixels, boxes, stored.precision, n_threads=1, engine=engine)
    assert check.engine.startswith("OpenVINO")
    assert len(check.report.stages) == (6 if (stored.precision, precision) == ("fp32", "f32") else 2)
    check.report.require()


def test_graphs_that_fewer_bits_would_spoil_are_computed_in_all_of_them(
    write: Write, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    for module in ("vision_graphs.check", "backends.openvino_graph"):
        package = "gpt4roi_export" if module.startswith("vision") else "gpt4roi_runtime"
        monkeypatch.setattr(f"{package}.{module}.computes_bf16", lambda *_: True)
    offered = {
        winograd: [str(engine) for engine in engines_here(write(VisionFormat("fp32", winograd=winograd)).encode.parent)]
        for winograd in (False, True)
    }
    assert set(offered[False]) - set(offered[True]) == {str(VisionEngine("openvino", "bf16"))}
    written = write(VisionFormat("fp32", winograd=True))
    weights = (written.encode_weights, written.regions_weights)
    contract = encode_contract_of(SIZES)
    with pytest.raises(EngineError, match="is to be computed in float32"):
        OpenVinoGraph(written.encode, contract, OpenVinoSettings("bf16", 1), weight_files=weights)
    assert OpenVinoGraph(written.encode, contract, OpenVinoSettings("auto", 1), weight_files=weights).engine.endswith(
        "f32)"
    )


def encode_contract_of(sizes: VisionSizes) -> GraphContract:
    grid = sizes.side_px // sizes.patch_px
    levels = [(f"pyramid_{level}", grid << (3 - level)) for level in range(4)]
    return GraphContract(
        (TensorContract("pixels", (1, 3, sizes.side_px, sizes.side_px)),),
        (
            TensorContract("image_embeddings", (grid**2, sizes.embedding_length)),
            *(TensorContract(name, (1, sizes.width, side, side)) for name, side in levels),
        ),
    )


def test_the_engine_multiplies_whole_numbers(write: Write, ranges: Ranges, tmp_path: Path) -> None:
    written = write(VisionFormat("int8", ranges))
    kinds: list[str] = []
    for graph in (written.encode, written.regions):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(tmp_path / graph.name)
        onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        optimised = onnx.load_model(tmp_path / graph.name, load_external_data=False)
        kinds += [node.op_type for node in optimised.graph.node]
    assert kinds.count("QLinearConv") == len(ranges) == 4 * 4 + 1
    assert kinds.count("MatMulNBits") == 4 * 6 + 1 + 2  # of the ViT's layers, the projector, the regions


def test_weights_lie_in_the_named_file_at_the_beginning_of_pages(written: WrittenGraphs) -> None:
    for graph, (model, weights) in zip((written.encode, written.regions), graphs_of(written), strict=True):
        onnx.checker.check_model(graph)
        assert external_locations(graph) == {weights.name}
        assert graph.stat().st_size < 200_000
        ends = [0]
        for tensor in model.graph.initializer:
            entries = {entry.key: entry.value for entry in tensor.external_data}
            if entries:
                assert int(entries["offset"]) % ALIGNMENT == 0
                assert int(entries["offset"]) - ends[-1] in range(ALIGNMENT)
                ends.append(int(entries["offset"]) + int(entries["length"]))
        assert ends[-1] == weights.stat().st_size


def test_bytes_on_disk_are_predicted(written: WrittenGraphs, stored: VisionFormat) -> None:
    there = sum(path.stat().st_size for path in written.encode.parent.iterdir())
    assert there <= predicted_graph_bytes(SIZES, stored) < there + 2_000_000


def test_names_and_axes_are_the_contract(written: WrittenGraphs) -> None:
    (encode, _), (regions, _) = graphs_of(written)
    pyramid = [f"pyramid_{level}" for level in range(4)]
    assert [value.name for value in encode.graph.input] == ["pixels"]
    assert [value.name for value in encode.graph.output] == ["image_embeddings", *pyramid]
    assert [value.name for value in regions.graph.input] == [*pyramid, "boxes"]
    assert [value.name for value in regions.graph.output] == ["region_embeddings"]
    for model in (encode, regions):
        values = (*model.graph.input, *model.graph.output)
        assert {value.type.tensor_type.elem_type for value in values} == {onnx.TensorProto.FLOAT}
        assert {(opset.domain, opset.version) for opset in model.opset_import} == {("", 18)}
    outputs = {name for node in regions.graph.node for name in node.output}
    assert {f"roi_{level}" for level in range(4)} <= outputs


def test_the_same_tensors_give_the_same_bytes(written: WrittenGraphs, stored: VisionFormat, write: Write) -> None:
    again = write(stored)
    for name in ("encode", "regions", "encode_weights", "regions_weights"):
        assert getattr(again, name).read_bytes() == getattr(written, name).read_bytes()


def test_tracing_gives_the_same_graph_again(model: Model, structures: tuple[Structure, Structure]) -> None:
    for before, after in zip(structures, (encode_structure(model.sizes), regions_structure(model.sizes)), strict=True):
        assert graph_bytes(after.model) == graph_bytes(before.model)
        assert after.turned == before.turned


def test_the_traced_graphs_hold_no_weight_and_no_unused_layer(structures: tuple[Structure, Structure]) -> None:
    for structure in structures:
        assert len(graph_bytes(structure.model)) < 100_000
        assert not any(".layers.4." in name or "post_layernorm" in name for name in structure.weights)


def test_sizes_on_disk(model: Model, write: Write) -> None:
    sizes: dict[str, list[int]] = {}
    for precision in ("fp32", "fp16", "int8"):
        written = write(VisionFormat(precision))
        sizes[precision] = [path.stat().st_size for path in (written.encode_weights, written.regions_weights)]
    for of_fp32, of_fp16, of_int8 in zip(*sizes.values(), strict=True):
        assert 0.45 * of_fp32 < of_fp16 < 0.65 * of_fp32
        assert of_int8 < 0.6 * of_fp32


def test_a_wrong_weight_does_not_pass_the_check(
    model: Model,
    structures: tuple[Structure, Structure],
    reference: Stages,
    pixels: NDArray[np.float32],
    boxes: NDArray[np.float32],
    write: Write,
) -> None:
    written = write(VisionFormat("int8"))
    with written.regions_weights.open("r+b") as file:
        file.write(bytes(60_000))
    with pytest.raises(NumericError, match="region_embeddings"):
        check_graphs(written.encode.parent, reference, pixels, boxes, "int8", n_threads=1).report.require()


def test_a_number_too_large_for_float16_is_refused(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, structures: tuple[Structure, Structure]
) -> None:
    name = "model.spi_module.roi_align.flatten_linear.bias"
    arrays = {**model.release.arrays, name: model.release.arrays[name] + np.float32(7e4)}
    monkeypatch.setattr("gpt4roi_export.vision_graphs.write.encode_structure", lambda sizes: structures[0])
    monkeypatch.setattr("gpt4roi_export.vision_graphs.write.regions_structure", lambda sizes: structures[1])
    with pytest.raises(BundleError, match=r"region_head\.flatten\.bias holds 7000"):
        write_graphs(model.sizes, model.clip, ArraysInMemory(arrays), tmp_path, VisionFormat("fp16"), lambda *_: None)
    assert not (tmp_path / "regions.weights").exists()


def test_progress_rises_to_the_end(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, structures: tuple[Structure, Structure]
) -> None:
    shares: list[float] = []
    monkeypatch.setattr("gpt4roi_export.vision_graphs.write.encode_structure", lambda sizes: structures[0])
    monkeypatch.setattr("gpt4roi_export.vision_graphs.write.regions_structure", lambda sizes: structures[1])
    write_graphs(
        model.sizes, model.clip, model.release, tmp_path, VisionFormat("int8"), lambda doing, done: shares.append(done)
    )
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
