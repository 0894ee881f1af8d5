"""A detector so small that its boxes can be computed by hand: 32 pixels, cells of 8 and 16, three bins, two names."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gpt4roi_runtime.bundle.manifest import Detector
from tests.helpers.bundles import entry, write_fake_bundle

FILE = "detector.onnx"
N_CELLS = 4 * 4 + 2 * 2
N_BINS = 3
NAMES = ("cup", "dog")


def detector_tree(content: bytes = b"no graph", **changes: Any) -> dict[str, Any]:
    """What a manifest says of it."""
    facts = {
        "graph": entry(FILE, content),
        "side_px": 32,
        "fit": "letterbox",
        "channels": "bgr",
        "mean": [1.0, 2.0, 3.0],
        "std": [10.0, 20.0, 40.0],
        "strides": [8, 16],
        "n_bins": N_BINS,
        "names": list(NAMES),
        "threshold": 0.35,
        "overlap": 0.6,
    }
    return {**facts, **changes}


def detector_facts(**changes: Any) -> Detector:
    """The same as the manifest's noun."""
    return msgspec.convert(detector_tree(**changes), Detector)


def no_scores() -> np.ndarray:
    """Scores of a detector that sees nothing."""
    return np.zeros((N_CELLS, len(NAMES)), dtype=np.float32)


def one_bin(n_strides: int = 1) -> np.ndarray:
    """Distances of every cell: all four sides that many strides away."""
    logits = np.zeros((N_CELLS, 4, N_BINS), dtype=np.float32)
    logits[:, :, n_strides] = 100.0
    return logits.reshape(N_CELLS, 4 * N_BINS)


def detector_model(scores: np.ndarray | None = None, distances: np.ndarray | None = None) -> onnx.ModelProto:
    """A graph that says the same of every picture; without arguments, a cup round cell 5, from 4,4 to 20,20."""
    if scores is None:
        scores = no_scores()
        scores[5, 0] = 0.9
    weights = {"all_scores": scores, "all_distances": one_bin() if distances is None else distances}
    kinds = {"scores": "all_scores", "distances": "all_distances"}
    graph = helper.make_graph(
        [helper.make_node("Identity", [weight], [output]) for output, weight in kinds.items()],
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 32, 32])],
        [
            helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, *weights[weight].shape])
            for output, weight in kinds.items()
        ],
        [numpy_helper.from_array(array[None], name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_detector_bundle(folder: Path, content: bytes | None = None, **changes: Any) -> Path:
    """A bundle whose detector can be run, and whose other files cannot."""
    content = detector_model().SerializeToString() if content is None else content
    detector = detector_tree(content, **changes)
    return write_fake_bundle(folder, {FILE: content}, detector=detector, vision__external_data=[])
