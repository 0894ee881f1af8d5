"""What all engines of the vision half promise alike, on tiny graphs; what is an engine's own has a test of its own.

The engine for a GPU runs here on ONNX Runtime's CPU provider: its tensors stay with the provider all the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from gpt4roi_runtime.backends.onnx_graph import ON_CPU
from gpt4roi_runtime.backends.onnxruntime import OnnxRuntimeEncoder
from gpt4roi_runtime.backends.onnxruntime_cuda import OnnxRuntimeCudaEncoder
from gpt4roi_runtime.backends.openvino import OpenVinoEncoder
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.errors import BundleError, EngineError, NumericError
from gpt4roi_runtime.vision.encoder import Encoder
from tests.helpers.bundles import write_fake_bundle
from tests.helpers.tiny_graphs import (
    LEVELS,
    OWN,
    PIXELS,
    WEIGHTS,
    Change,
    add_input,
    as_double,
    drop_last_output,
    encode_model,
    free_side,
    n_boxes,
    regions_model,
    rename,
    swap_levels,
    three_rows_if_told,
    tiny_bundle,
    value_info,
    with_weights_at,
)

Load = Callable[[Bundle], Encoder]


@dataclass(frozen=True)
class Engine:
    """One of them, and its words for what the graphs of these tests declare.

    Attributes:
        package: To import.
        load: A bundle, with a folder for what the engine keeps.
        double: Its name for float64.
        free: Its sign for an axis of any length, called height.
        is_resident: Whether it leaves the pyramid where it is, and so does not look at its numbers.
    """

    package: str
    load: Callable[[Bundle, Path], Encoder]
    double: str
    free: str
    is_resident: bool = False


ONNXRUNTIME = Engine(
    "onnxruntime", lambda bundle, _: OnnxRuntimeEncoder(bundle, n_threads=1), "tensor(double)", "height"
)
RESIDENT = Engine(
    "onnxruntime",
    lambda bundle, _: OnnxRuntimeCudaEncoder(bundle, n_threads=1, provider=ON_CPU),
    "tensor(double)",
    "height",
    is_resident=True,
)
OPENVINO = Engine(
    "openvino",
    lambda bundle, kept: OpenVinoEncoder(bundle, OpenVinoSettings(precision="f32", n_threads=1, cache_folder=kept)),
    "f64",
    "?",
)


@pytest.fixture(params=[ONNXRUNTIME, RESIDENT, OPENVINO], ids=["onnxruntime", "resident", "openvino"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    pytest.importorskip(found.package, reason=f"{found.package} is not installed")
    return found


@pytest.fixture
def load(engine: Engine, tmp_path: Path) -> Load:
    return lambda bundle: engine.load(bundle, tmp_path / "kept")


@pytest.fixture
def encoder(tmp_path: Path, load: Load) -> Iterator[Encoder]:
    encoder = load(tiny_bundle(tmp_path / "bundle"))
    yield encoder
    encoder.close()


def test_an_image_becomes_its_rows_and_levels(encoder: Encoder) -> None:
    features = encoder.encode(PIXELS)
    np.testing.assert_allclose(features.image_embeddings, PIXELS.mean() * WEIGHTS[:2], atol=1e-5)
    pooled = PIXELS.reshape(1, 3, 4, 2, 4, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(features.pyramid[0], pooled, atol=1e-6)
    assert features.pyramid[1].shape == (1, 3, 2, 2)


def test_a_second_image_leaves_the_first_ones_numbers_alone(encoder: Encoder) -> None:
    first = encoder.encode(PIXELS)
    kept = first.image_embeddings.copy()
    encoder.encode(PIXELS + 1)
    np.testing.assert_array_equal(first.image_embeddings, kept)


@pytest.mark.parametrize("n", [1, 2, 100])
def test_any_number_of_boxes_gives_as_many_embeddings(encoder: Encoder, n: int) -> None:
    embeddings = encoder.embed_regions(LEVELS, n_boxes(n))
    assert embeddings.shape == (n, 1, 5)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings[:, 0], n_boxes(n) @ WEIGHTS + 5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rename("pixels", "image"), ["input image", "pixels float32 [1, 3, 8, 8]"]),
        (rename("pyramid_1", "p3"), ["output p3", "pyramid_1"]),
        (swap_levels, ["output pyramid_1", "pyramid_0"]),
        (drop_last_output, ["2 outputs (image_embeddings, pyramid_0)", "3"]),
        (add_input, ["2 inputs (pixels, secret)", "1"]),
        (as_double, ["image_embeddings is {double}", "float32"]),
        (free_side, ["pixels", "{free}"]),
    ],
    ids=["input name", "output name", "order", "too few", "too many", "dtype", "free axis"],
)
def test_an_encode_graph_off_its_contract_is_refused_by_name(
    tmp_path: Path, engine: Engine, load: Load, change: Change, words: list[str]
) -> None:
    model = encode_model()
    change(model)
    bundle = tiny_bundle(tmp_path, encode=model)
    with pytest.raises(BundleError) as refused:
        load(bundle)
    for word in ("encode.onnx", *words):
        assert word.format(double=engine.double, free=engine.free) in refused.value.problem


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"language__embedding_length": 6}, ["encode.onnx", "image_embeddings", "[2, 5]", "[2, 6]"]),
        ({"vision__n_image_rows": 3}, ["encode.onnx", "image_embeddings", "[2, 5]", "[3, 5]"]),
        ({"vision__pyramid": [{"channels": 3, "side": 4}]}, ["encode.onnx", "3 outputs", "2"]),
        (
            {"vision__pyramid": [{"channels": 3, "side": 4}, {"channels": 4, "side": 2}]},
            ["encode.onnx", "pyramid_1", "[1, 3, 2, 2]", "[1, 4, 2, 2]"],
        ),
        ({"vision__n_rows_per_region": 2}, ["regions.onnx", "region_embeddings", "[n, 2, 5]"]),
    ],
    ids=["width", "image rows", "levels", "channels", "rows a region"],
)
def test_a_manifest_that_says_otherwise_is_refused(
    tmp_path: Path, load: Load, changes: dict[str, Any], words: list[str]
) -> None:
    bundle = tiny_bundle(tmp_path, **changes)
    with pytest.raises(BundleError) as refused:
        load(bundle)
    for word in words:
        assert word in refused.value.problem


def test_a_region_graph_for_one_box_only_is_refused(tmp_path: Path, load: Load) -> None:
    model = regions_model()
    model.graph.input[2].CopyFrom(value_info("boxes", 1, 4))
    with pytest.raises(BundleError, match="boxes"):
        load(tiny_bundle(tmp_path, regions=model))


@pytest.mark.parametrize("garbage", [b"x", b"GGUF" * 99, b"\x08\x08", bytes(1000)])
def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, load: Load, garbage: bytes) -> None:
    with pytest.raises(BundleError, match=r"regions\.onnx"):
        load(tiny_bundle(tmp_path, regions=garbage))


def test_a_truncated_graph_is_refused(tmp_path: Path, load: Load) -> None:
    whole = encode_model().SerializeToString()
    with pytest.raises(BundleError, match=r"encode\.onnx"):
        load(tiny_bundle(tmp_path, encode=whole[: len(whole) // 2]))


def test_an_operator_nobody_knows_is_refused(tmp_path: Path, load: Load) -> None:
    model = encode_model()
    model.graph.node[2].op_type = "RunMyScript"
    with pytest.raises(BundleError, match="RunMyScript"):
        load(tiny_bundle(tmp_path, encode=model))


def test_weights_in_a_file_of_the_manifest_are_read(tmp_path: Path, load: Load) -> None:
    files = {
        "encode.onnx": with_weights_at("weights.bin").SerializeToString(),
        "regions.onnx": regions_model().SerializeToString(),
        "weights.bin": OWN,
    }
    encoder = load(open_bundle(write_fake_bundle(tmp_path, files=files)))
    np.testing.assert_allclose(
        encoder.encode(PIXELS).image_embeddings, PIXELS.mean() * WEIGHTS[:2], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_image_that_gives_no_number_is_refused_by_the_outputs_name(encoder: Encoder, bad: float) -> None:
    pixels = PIXELS.copy()
    pixels[0, 1, 7, 7] = bad
    with pytest.raises(NumericError, match="image_embeddings"):
        encoder.encode(pixels)


def test_one_bad_cell_of_a_level_is_refused_by_its_name(tmp_path: Path, engine: Engine, load: Load) -> None:
    model = encode_model()
    rename("pyramid_1", "before")(model)
    model.graph.output[2].name = "pyramid_1"
    model.graph.node.append(helper.make_node("Log", ["before"], ["pyramid_1"]))
    encoder = load(tiny_bundle(tmp_path, encode=model))
    pixels = np.ones((1, 3, 8, 8), dtype=np.float32)
    encoder.encode(pixels)
    pixels[:, 2, 4:, 4:] = -1
    if engine.is_resident:
        pyramid = encoder.encode(pixels).pyramid
        with pytest.raises(NumericError, match="region_embeddings"):
            encoder.embed_regions(pyramid, n_boxes(1))
        return
    with pytest.raises(NumericError, match="pyramid_1"):
        encoder.encode(pixels)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_regions_that_are_no_numbers_are_refused_by_name(encoder: Encoder, bad: float) -> None:
    level = LEVELS[0].copy()
    level[0, 0, 0, 0] = bad
    with pytest.raises(NumericError, match="region_embeddings"):
        encoder.embed_regions((level, LEVELS[1]), n_boxes(2))


def test_rows_other_than_promised_are_caught_when_they_come(tmp_path: Path, load: Load) -> None:
    """What a graph declares is its maker's word: only the rows that come out are a fact."""
    model = encode_model()
    three_rows_if_told(model)
    encoder = load(tiny_bundle(tmp_path, encode=model))
    assert encoder.encode(np.full((1, 3, 8, 8), 2, dtype=np.float32)).image_embeddings.shape == (2, 5)
    with pytest.raises((EngineError, BundleError), match="image_embeddings"):
        encoder.encode(np.full((1, 3, 8, 8), 3, dtype=np.float32))


def test_a_closed_encoder_says_so(encoder: Encoder) -> None:
    encoder.close()
    encoder.close()
    with pytest.raises(EngineError, match="closed"):
        encoder.encode(PIXELS)
    with pytest.raises(EngineError, match="closed"):
        encoder.embed_regions(LEVELS, n_boxes(1))
