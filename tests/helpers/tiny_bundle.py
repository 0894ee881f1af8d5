"""A whole bundle with real engines and random weights, that answers within milliseconds and in no language."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.helpers.bundles import write_fake_bundle
from tests.helpers.tiny_gguf import CONTEXT_LENGTH, CONTROL_TOKENS, WIDTH, vocabulary, write_tiny_gguf

N_IMAGE_ROWS = 24
SIDE_PX = 8
N_PIXELS = 3 * SIDE_PX * SIDE_PX


def write_tiny_bundle(folder: Path) -> Path:
    """Write it; the same bytes every time. What it says depends on every pixel, box and word.

    Args:
        folder: Is made.
    """
    folder.mkdir(parents=True)
    words = [text for text, _, _ in vocabulary()]
    opens, closes = CONTROL_TOKENS
    files = {
        "encode.onnx": _encode_model().SerializeToString(),
        "regions.onnx": _regions_model().SerializeToString(),
        "llm.gguf": write_tiny_gguf(folder / "llm.gguf").read_bytes(),
    }
    return write_fake_bundle(
        folder,
        files,
        vision__n_image_rows=N_IMAGE_ROWS,
        language__embedding_length=WIDTH,
        language__vocabulary_size=len(words),
        language__context_length=CONTEXT_LENGTH,
        language__special_tokens={word: words.index(word) for word in ("<s>", opens, closes)},
        prompt__opening=[
            {"type": "token", "token": "<s>"},
            {"type": "token", "token": opens},
            {"type": "image"},
            {"type": "token", "token": closes},
        ],
        prompt__after_question=[{"type": "text", "text": "\n"}],
        prompt__answer_lead="",
        prompt__after_answer=[{"type": "text", "text": "\n"}],
    )


def _encode_model() -> onnx.ModelProto:
    """Two poolings as levels; every image row a mixture of all pixels."""
    return _model(
        [
            helper.make_node("AveragePool", ["pixels"], ["pyramid_0"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("AveragePool", ["pixels"], ["pyramid_1"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Reshape", ["pixels", "line"], ["all"]),
            helper.make_node("MatMul", ["all", "mixture"], ["mixed"]),
            helper.make_node("Reshape", ["mixed", "rows"], ["image_embeddings"]),
        ],
        {"pixels": (1, 3, SIDE_PX, SIDE_PX)},
        {"image_embeddings": (N_IMAGE_ROWS, WIDTH), "pyramid_0": (1, 3, 4, 4), "pyramid_1": (1, 3, 2, 2)},
        {
            "line": np.array([1, N_PIXELS]),
            "mixture": _weights(N_PIXELS, N_IMAGE_ROWS * WIDTH),
            "rows": np.array([N_IMAGE_ROWS, WIDTH]),
        },
    )


def _regions_model() -> onnx.ModelProto:
    """A row is a mixture of the box's four numbers and of the coarse level."""
    return _model(
        [
            helper.make_node("Reshape", ["pyramid_1", "line"], ["all"]),
            helper.make_node("MatMul", ["all", "of_levels"], ["seen"]),
            helper.make_node("ReduceMean", ["pyramid_0"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["boxes", "of_boxes"], ["placed"]),
            helper.make_node("Add", ["placed", "seen"], ["both"]),
            helper.make_node("Add", ["both", "mean"], ["sum"]),
            helper.make_node("Unsqueeze", ["sum", "axis"], ["region_embeddings"]),
        ],
        {"pyramid_0": (1, 3, 4, 4), "pyramid_1": (1, 3, 2, 2), "boxes": ("n", 4)},
        {"region_embeddings": ("n", 1, WIDTH)},
        {
            "line": np.array([1, 12]),
            "of_levels": _weights(12, WIDTH),
            "of_boxes": 4 * _weights(4, WIDTH),
            "axis": np.array([1]),
        },
    )


def _weights(n_rows: int, n_columns: int) -> np.ndarray:
    random = np.random.default_rng([n_rows, n_columns]).standard_normal((n_rows, n_columns), dtype=np.float32)
    return random / np.float32(np.sqrt(n_rows))


def _model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int | str, ...]],
    outputs: dict[str, tuple[int | str, ...]],
    weights: dict[str, np.ndarray],
) -> onnx.ModelProto:
    def values(of: dict[str, tuple[int | str, ...]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in of.items()]

    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "tiny", values(inputs), values(outputs), initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
