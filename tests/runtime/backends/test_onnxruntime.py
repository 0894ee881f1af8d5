import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NoReturn

import numpy as np
import onnx
import pytest

from gpt4roi_runtime.backends.onnx_graph import import_onnxruntime
from gpt4roi_runtime.backends.onnxruntime import OnnxRuntimeEncoder
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.errors import BundleError, EngineError, EngineMissingError
from gpt4roi_runtime.vision.contract import encode_contract, regions_contract
from gpt4roi_runtime.vision.encoder import Encoder
from tests.helpers.bundles import entry, manifest, write_fake_bundle
from tests.helpers.tiny_graphs import (
    LEVELS,
    OWN,
    PIXELS,
    Model,
    encode_model,
    hidden_in_a_node,
    n_boxes,
    regions_model,
    tiny_bundle,
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


GROWTH = """
import sys
from pathlib import Path
import numpy as np
from gpt4roi_runtime.backends.onnx_graph import OnnxGraph
from gpt4roi_runtime.vision.contract import GraphContract, TensorContract

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

one = {name: TensorContract(name, (1,)) for name in "xy"}
loaded = OnnxGraph(Path(sys.argv[1]), GraphContract((one["x"],), (one["y"],)), n_threads=1)
before = resident_pages()
(found,) = loaded.run({"x": np.array([3], dtype=np.float32)})
print(*found, resident_pages() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_only_a_run_needs_goes_with_it(tmp_path: Path) -> None:
    helper, n_numbers = onnx.helper, 16 << 20
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["large"]),
        helper.make_node("ReduceMax", ["large"], ["y"], keepdims=1),
    ]
    shape = onnx.numpy_helper.from_array(np.array([n_numbers], dtype=np.int64), "shape")
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph(nodes, "large", values[:1], values[1:], [shape])
    path = tmp_path / "g.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    # In a process of its own: a heap that other tests have been in may have room for such a block, and then keeps it.
    done = subprocess.run([sys.executable, "-c", GROWTH, str(path)], capture_output=True, text=True, check=True)
    found, n_pages = done.stdout.split()
    assert float(found) == 3
    # It was four times as much, and is kept by an arena.
    assert int(n_pages) * os.sysconf("SC_PAGE_SIZE") < n_numbers


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


# --- weights in other files -------------------------------------------------------------------------------------------


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


def test_a_failure_of_the_engine_is_ours(encoder: OnnxRuntimeEncoder) -> None:
    with pytest.raises(EngineError, match="ONNX Runtime failed"):
        encoder.embed_regions(LEVELS[:1], n_boxes(1))
    with pytest.raises(EngineError, match="ONNX Runtime failed"):
        encoder.encode(np.zeros((1, 3, 4, 4), dtype=np.float32))


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
