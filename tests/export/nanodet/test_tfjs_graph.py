"""TensorFlow.js files as values, and files that are none."""

import json

import numpy as np
import pytest

from gpt4roi_export.nanodet.tfjs_graph import read_tfjs_graph
from gpt4roi_runtime.errors import BundleError
from tests.helpers.tfjs import ModelFiles


def small_model() -> ModelFiles:
    files = ModelFiles((1, 3, 4, 4))
    files.constant("half", np.array([1.5, -2], dtype=np.float16))
    files.constant("whole", np.array([[1, -2], [3, 4]], dtype=np.int32))
    files.constant("none", np.zeros((0, 1), dtype=np.int32))
    files.node("LeakyRelu", "relu", "photo", alpha=0.1, data_format="NHWC", strides=(1, 2, 2, 1), n=7, flag=True)
    return files


def test_constants_keep_the_dtype_they_are_stored_in() -> None:
    files = small_model()
    graph = read_tfjs_graph(files.json_bytes, files.weight_bytes)
    assert graph.constants["half"].dtype == np.float16
    assert graph.constants["half"].tolist() == [1.5, -2]
    assert graph.constants["whole"].tolist() == [[1, -2], [3, 4]]
    assert graph.constants["none"].shape == (0, 1)


def test_operators_have_plain_attributes() -> None:
    files = small_model()
    graph = read_tfjs_graph(files.json_bytes, files.weight_bytes)
    (operator,) = graph.operators
    assert (operator.kind, operator.name, operator.inputs) == ("LeakyRelu", "relu", ("photo",))
    assert operator.attributes == {
        "alpha": 0.1,
        "data_format": "NHWC",
        "strides": (1, 2, 2, 1),
        "n": 7,
        "flag": True,
    }
    assert (graph.input_name, graph.input_shape) == ("photo", (1, 3, 4, 4))


def test_weights_of_another_size_are_refused() -> None:
    files = small_model()
    with pytest.raises(BundleError, match="'whole'"):
        read_tfjs_graph(files.json_bytes, files.weight_bytes[:10])
    with pytest.raises(BundleError, match="21 bytes; the model describes 20"):
        read_tfjs_graph(files.json_bytes, files.weight_bytes + b"!")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "layers-model"},
        {"weightsManifest": []},
        {"modelTopology": {"node": []}},
        {"modelTopology": {"node": [{"op": "Placeholder"}]}},
        {"modelTopology": {"node": [{"name": "a", "op": "Placeholder", "attr": {"shape": {"shape": {"dim": [{}]}}}}]}},
        {"modelTopology": {"node": [{"name": "a", "op": "Placeholder", "attr": {"shape": {"what": 1}}}]}},
        {"weightsManifest": [{"weights": [{"name": "w", "shape": [-4], "dtype": "int32"}]}]},
        {"weightsManifest": [{"weights": [{"name": "w", "shape": [10**9, 10**9], "dtype": "int32"}]}]},
        {"weightsManifest": [{"weights": [{"name": "w", "shape": [5], "dtype": "string"}]}]},
    ],
)
def test_what_is_no_such_model_is_refused(change: dict[str, object]) -> None:
    files = small_model()
    changed = json.dumps({**json.loads(files.json_bytes), **change}).encode()
    with pytest.raises(BundleError):
        read_tfjs_graph(changed, files.weight_bytes)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="not a TensorFlow"):
        read_tfjs_graph(content, b"")
