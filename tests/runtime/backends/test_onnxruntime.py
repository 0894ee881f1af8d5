import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
from onnx import helper

from gpt4roi_runtime.backends.onnx_graph import import_onnxruntime
from gpt4roi_runtime.backends.onnxruntime import OnnxRuntimeEncoder
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.errors import BundleError, EngineError, EngineMissingError, NumericError
from gpt4roi_runtime.vision.contract import encode_contract, regions_contract
from gpt4roi_runtime.vision.encoder import Encoder
from tests.helpers.bundles import entry, manifest, write_fake_bundle
from tests.helpers.tiny_graphs import (
    LEVELS,
    OWN,
    PIXELS,
    WEIGHTS,
    Change,
    Model,
    add_input,
    as_double,
    drop_last_output,
    encode_model,
    free_side,
    hidden_in_a_node,
    n_boxes,
    regions_model,
    rename,
    swap_levels,
    three_rows_if_told,
    tiny_bundle,
    value_info,
    with_weights_at,
)


@pytest.fixture
def encoder(tmp_path: Path) -> Iterator[OnnxRuntimeEncoder]:
    encoder = OnnxRuntimeEncoder(tiny_bundle(tmp_path), n_threads=1)
    yield encoder
    encoder.close()


# --- what it computes -------------------------------------------------------------------------------------------------


def test_it_keeps_the_promise_of_an_encoder(encoder: OnnxRuntimeEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.engine.startswith("ONNX Runtime ")


def test_an_image_becomes_its_rows_and_levels(encoder: OnnxRuntimeEncoder) -> None:
    features = encoder.encode(PIXELS)
    np.testing.assert_allclose(features.image_embeddings, PIXELS.mean() * WEIGHTS[:2], atol=1e-5)
    pooled = PIXELS.reshape(1, 3, 4, 2, 4, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(features.pyramid[0], pooled, atol=1e-6)
    assert features.pyramid[1].shape == (1, 3, 2, 2)


@pytest.mark.parametrize("n", [1, 2, 100])
def test_any_number_of_boxes_gives_as_many_embeddings(encoder: OnnxRuntimeEncoder, n: int) -> None:
    embeddings = encoder.embed_regions(LEVELS, n_boxes(n))
    assert embeddings.shape == (n, 1, 5)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings[:, 0], n_boxes(n) @ WEIGHTS + 5, rtol=1e-5)


# --- contracts --------------------------------------------------------------------------------------------------------


def test_the_contracts_follow_the_manifest() -> None:
    told = manifest(language__embedding_length=7, vision__n_rows_per_region=3)
    encode, regions = encode_contract(told), regions_contract(told)
    assert [str(one) for one in encode.inputs] == ["pixels float32 [1, 3, 8, 8]"]
    assert [str(one) for one in encode.outputs] == [
        "image_embeddings float32 [2, 7]",
        "pyramid_0 float32 [1, 3, 4, 4]",
        "pyramid_1 float32 [1, 3, 2, 2]",
    ]
    assert regions.inputs[:-1] == encode.outputs[1:]
    assert str(regions.inputs[-1]) == "boxes float32 [n, 4]"
    assert [str(one) for one in regions.outputs] == ["region_embeddings float32 [n, 3, 7]"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rename("pixels", "image"), ["input image", "pixels float32 [1, 3, 8, 8]"]),
        (rename("pyramid_1", "p3"), ["output p3", "pyramid_1"]),
        (swap_levels, ["output pyramid_1", "pyramid_0"]),
        (drop_last_output, ["2 outputs (image_embeddings, pyramid_0)", "3"]),
        (add_input, ["2 inputs (pixels, secret)", "1"]),
        (as_double, ["image_embeddings is tensor(double)", "float32"]),
        (free_side, ["pixels", "height"]),
    ],
    ids=["input name", "output name", "order", "too few", "too many", "dtype", "free axis"],
)
def test_an_encode_graph_off_its_contract_is_refused_by_name(tmp_path: Path, change: Change, words: list[str]) -> None:
    model = encode_model()
    change(model)
    bundle = tiny_bundle(tmp_path, encode=model)
    with pytest.raises(BundleError) as refused:
        OnnxRuntimeEncoder(bundle)
    for word in ("encode.onnx", *words):
        assert word in refused.value.problem


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
def test_a_manifest_that_says_otherwise_is_refused(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    bundle = tiny_bundle(tmp_path, **changes)
    with pytest.raises(BundleError) as refused:
        OnnxRuntimeEncoder(bundle)
    for word in words:
        assert word in refused.value.problem


def test_a_region_graph_for_one_box_only_is_refused(tmp_path: Path) -> None:
    model = regions_model()
    model.graph.input[2].CopyFrom(value_info("boxes", 1, 4))
    with pytest.raises(BundleError, match="boxes"):
        OnnxRuntimeEncoder(tiny_bundle(tmp_path, regions=model))


@pytest.mark.parametrize("garbage", [b"x", b"GGUF" * 99, b"\x08\x08", bytes(1000)])
def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, garbage: bytes) -> None:
    bundle = tiny_bundle(tmp_path, regions=garbage)
    with pytest.raises(BundleError, match=r"regions\.onnx"):
        OnnxRuntimeEncoder(bundle)


def test_a_truncated_graph_is_refused(tmp_path: Path) -> None:
    whole = encode_model().SerializeToString()
    bundle = tiny_bundle(tmp_path, encode=whole[: len(whole) // 2])
    with pytest.raises(BundleError, match=r"encode\.onnx"):
        OnnxRuntimeEncoder(bundle)


def test_an_operator_nobody_knows_is_refused(tmp_path: Path) -> None:
    model = encode_model()
    model.graph.node[2].op_type = "RunMyScript"
    with pytest.raises(BundleError, match="RunMyScript"):
        OnnxRuntimeEncoder(tiny_bundle(tmp_path, encode=model))


# --- weights in other files -------------------------------------------------------------------------------------------


def test_weights_in_a_file_of_the_manifest_are_read(tmp_path: Path) -> None:
    files = {
        "encode.onnx": with_weights_at("weights.bin").SerializeToString(),
        "regions.onnx": regions_model().SerializeToString(),
        "weights.bin": OWN,
    }
    encoder = OnnxRuntimeEncoder(open_bundle(write_fake_bundle(tmp_path, files=files)))
    np.testing.assert_allclose(
        encoder.encode(PIXELS).image_embeddings, PIXELS.mean() * WEIGHTS[:2], rtol=1e-4, atol=1e-6
    )


class _AnyGraphLoads(ModuleType):
    """An ONNX Runtime that checks nothing: releases before 1.24 read weights from wherever the graph says."""

    __version__ = "1.20.0"

    class SessionOptions(SimpleNamespace):
        def add_session_config_entry(self, *_: str) -> None:
            pass

    @staticmethod
    def InferenceSession(path: str, *_: object, **__: object) -> NoReturn:  # noqa: N802
        pytest.fail(f"{Path(path).name} was shown to the engine")


@pytest.mark.parametrize("where", ["above", "absolute", "link", "linked folder", "unlisted"])
@pytest.mark.parametrize("hide", [with_weights_at, hidden_in_a_node], ids=["weights", "constant"])
@pytest.mark.parametrize("engine", ["installed", "old"])
def test_weights_outside_the_manifest_are_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, hide: Callable[[str], Model], engine: str
) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "elsewhere").mkdir()
    secret = tmp_path / "elsewhere" / "secret.bin"
    secret.write_bytes(OWN)
    (tmp_path / "bundle" / "link.bin").symlink_to(secret)
    (tmp_path / "bundle" / "folder").symlink_to(secret.parent)
    (tmp_path / "bundle" / "unlisted.bin").write_bytes(OWN)
    location = {
        "above": "../elsewhere/secret.bin",
        "absolute": str(secret),
        "link": "link.bin",
        "linked folder": "folder/secret.bin",
        "unlisted": "unlisted.bin",
    }[where]
    bundle = tiny_bundle(tmp_path / "bundle", encode=hide(location))
    if engine == "old":
        monkeypatch.setitem(sys.modules, "onnxruntime", _AnyGraphLoads("onnxruntime"))
    with pytest.raises(BundleError):
        OnnxRuntimeEncoder(bundle)


# --- while it runs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_image_that_gives_no_number_is_refused_by_the_outputs_name(encoder: OnnxRuntimeEncoder, bad: float) -> None:
    pixels = PIXELS.copy()
    pixels[0, 1, 7, 7] = bad
    with pytest.raises(NumericError, match="image_embeddings"):
        encoder.encode(pixels)


def test_one_bad_cell_of_a_level_is_refused_by_its_name(tmp_path: Path) -> None:
    model = encode_model()
    rename("pyramid_1", "before")(model)
    model.graph.output[2].name = "pyramid_1"
    model.graph.node.append(helper.make_node("Log", ["before"], ["pyramid_1"]))
    encoder = OnnxRuntimeEncoder(tiny_bundle(tmp_path, encode=model))
    pixels = np.ones((1, 3, 8, 8), dtype=np.float32)
    encoder.encode(pixels)
    pixels[:, 2, 4:, 4:] = -1
    with pytest.raises(NumericError, match="pyramid_1"):
        encoder.encode(pixels)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_regions_that_are_no_numbers_are_refused_by_name(encoder: OnnxRuntimeEncoder, bad: float) -> None:
    level = LEVELS[0].copy()
    level[0, 0, 0, 0] = bad
    with pytest.raises(NumericError, match="region_embeddings"):
        encoder.embed_regions((level, LEVELS[1]), n_boxes(2))


def test_a_failure_of_the_engine_is_ours(encoder: OnnxRuntimeEncoder) -> None:
    with pytest.raises(EngineError, match="ONNX Runtime failed"):
        encoder.embed_regions(LEVELS[:1], n_boxes(1))
    with pytest.raises(EngineError, match="ONNX Runtime failed"):
        encoder.encode(np.zeros((1, 3, 4, 4), dtype=np.float32))


def test_rows_other_than_promised_are_caught_when_they_come(tmp_path: Path) -> None:
    """What a graph declares is its maker's word: only the rows that come out are a fact."""
    model = encode_model()
    three_rows_if_told(model)
    encoder = OnnxRuntimeEncoder(tiny_bundle(tmp_path, encode=model))
    assert encoder.encode(np.full((1, 3, 8, 8), 2, dtype=np.float32)).image_embeddings.shape == (2, 5)
    with pytest.raises((EngineError, BundleError), match="image_embeddings"):
        encoder.encode(np.full((1, 3, 8, 8), 3, dtype=np.float32))


def test_a_closed_encoder_says_so(encoder: OnnxRuntimeEncoder) -> None:
    encoder.close()
    encoder.close()
    with pytest.raises(EngineError, match="closed"):
        encoder.encode(PIXELS)
    with pytest.raises(EngineError, match="closed"):
        encoder.embed_regions(LEVELS, n_boxes(1))


# --- the engine itself ------------------------------------------------------------------------------------------------


def test_a_missing_engine_names_the_pip_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineMissingError, match="cannot be imported") as missing:
        OnnxRuntimeEncoder(bundle)
    assert missing.value.advice == "pip install 'gpt4roi-edge[cpu]'"


def test_an_engine_of_which_a_part_was_removed_names_the_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    with pytest.raises(EngineMissingError, match="mixed") as broken:
        import_onnxruntime()
    assert "pip uninstall -y onnxruntime" in broken.value.advice


# --- a graph in a folder of its own -----------------------------------------------------------------------------------


def _bundle_with_a_subfolder(folder: Path, location: str) -> Bundle:
    """``sub/encode.onnx`` names ``location``; the manifest lists ``weights.bin`` at the top."""
    content = with_weights_at(location).SerializeToString()
    files = {"encode.onnx": content, "regions.onnx": regions_model().SerializeToString(), "weights.bin": OWN}
    write_fake_bundle(folder, files=files, vision__encode=entry("sub/encode.onnx", content))
    (folder / "sub").mkdir()
    (folder / "encode.onnx").rename(folder / "sub" / "encode.onnx")
    return open_bundle(folder)


def test_a_file_of_the_same_name_beside_the_graph_is_not_the_listed_one(tmp_path: Path) -> None:
    bundle = _bundle_with_a_subfolder(tmp_path, "weights.bin")
    (tmp_path / "sub" / "weights.bin").write_bytes(bytes(len(OWN)))
    with pytest.raises(BundleError, match=r"weights\.bin"):
        OnnxRuntimeEncoder(bundle)


def test_another_format_by_another_ending_is_not_loaded(tmp_path: Path) -> None:
    """An ending of its own makes ONNX Runtime expect its own format; we allow the one we look through."""
    files = {
        "encode.onnx": encode_model().SerializeToString(),
        "regions.onnx": regions_model().SerializeToString(),
    }
    write_fake_bundle(tmp_path, files=files, vision__encode=entry("encode.ort", files["encode.onnx"]))
    (tmp_path / "encode.onnx").rename(tmp_path / "encode.ort")
    encoder = OnnxRuntimeEncoder(open_bundle(tmp_path))
    assert encoder.encode(PIXELS).image_embeddings.shape == (2, 5)
