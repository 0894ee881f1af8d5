"""The detector's graph in ONNX Runtime: what it returns, and files that are not what they should be."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper

from gpt4roi_runtime.backends.load import EngineSettings, load_detector
from gpt4roi_runtime.backends.onnxruntime_detector import OnnxRuntimeDetector
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.errors import BundleError, EngineError, NumericError
from gpt4roi_runtime.vision.detector import Detector
from tests.helpers.bundles import write_fake_bundle
from tests.helpers.detectors import (
    FILE,
    N_CELLS,
    detector_facts,
    detector_model,
    detector_tree,
    no_scores,
    one_bin,
    write_detector_bundle,
)

PIXELS = np.zeros((1, 3, 32, 32), dtype=np.float32)


def saved(folder: Path, content: bytes | onnx.ModelProto) -> Path:
    path = folder / FILE
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return path


def test_it_keeps_the_promise_of_a_detector(tmp_path: Path) -> None:
    detector = OnnxRuntimeDetector(saved(tmp_path, detector_model()), detector_facts(), n_threads=1)
    assert isinstance(detector, Detector)
    assert detector.engine.startswith("ONNX Runtime ")
    outputs = detector.detect(PIXELS)
    assert np.argwhere(outputs.scores).tolist() == [[5, 0]]
    np.testing.assert_array_equal(outputs.distances, one_bin())
    detector.close()
    detector.close()
    with pytest.raises(EngineError, match="closed"):
        detector.detect(PIXELS)


@pytest.mark.parametrize("content", [b"", b"no graph", bytes(range(256)) * 9], ids=["empty", "text", "bytes"])
def test_what_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BundleError, match=r"detector\.onnx"):
        OnnxRuntimeDetector(saved(tmp_path, content), detector_facts())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": ["cup"]}, "scores"),
        ({"n_bins": 4}, "distances"),
        ({"strides": [8]}, "scores"),
        ({"side_px": 64}, "pixels"),
    ],
)
def test_a_graph_of_other_shapes_than_the_manifests_is_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(BundleError, match=words):
        OnnxRuntimeDetector(saved(tmp_path, detector_model()), detector_facts(**changes))


@pytest.mark.parametrize("location", ["other.bin", "../other.bin", "encode.onnx"])
def test_a_graph_that_reads_another_file_is_refused_before_the_engine_sees_it(tmp_path: Path, location: str) -> None:
    model = detector_model()
    tensor = model.graph.initializer[0]
    external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    with pytest.raises(BundleError, match="does not name"):
        OnnxRuntimeDetector(saved(tmp_path, model), detector_facts())


@pytest.mark.parametrize("score", [-0.1, 1.5, np.nan, np.inf])
def test_scores_that_are_none_are_refused(tmp_path: Path, score: float) -> None:
    scores = no_scores()
    scores[3, 1] = score
    detector = OnnxRuntimeDetector(saved(tmp_path, detector_model(scores)), detector_facts(), n_threads=1)
    with pytest.raises(NumericError, match="scores"):
        detector.detect(PIXELS)


def test_distances_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    distances = one_bin()
    distances[N_CELLS - 1, 0] = np.nan
    model = detector_model(no_scores(), distances)
    with pytest.raises(NumericError, match="distances"):
        OnnxRuntimeDetector(saved(tmp_path, model), detector_facts(), n_threads=1).detect(PIXELS)


# --- in a bundle ------------------------------------------------------------------------------------------------------


def test_a_bundles_detector_is_loaded_once_its_hash_is_right(tmp_path: Path) -> None:
    bundle = open_bundle(write_detector_bundle(tmp_path))
    load_detector(bundle, EngineSettings(vision_threads=1)).close()
    content = bytearray((tmp_path / FILE).read_bytes())
    content[-1] ^= 1
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(BundleError, match="SHA-256"):
        load_detector(bundle, EngineSettings())
    (tmp_path / FILE).unlink()
    with pytest.raises(BundleError, match="missing"):
        load_detector(bundle, EngineSettings())


def test_a_bundle_without_a_detector_says_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has no detector"):
        load_detector(open_bundle(write_fake_bundle(tmp_path)), EngineSettings())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strides": [8, 12]}, "12"),
        ({"std": [1.0, 0.0, 1.0]}, "std"),
        ({"graph": {**detector_tree()["graph"], "path": "../detector.onnx"}}, "leads out"),
        ({"graph": {**detector_tree()["graph"], "path": "encode.onnx"}}, "twice"),
        ({"channels": "gray"}, "channels"),
        ({"names": []}, "names"),
        ({"code": "print()"}, "code"),
    ],
)
def test_a_manifest_with_a_wrong_detector_is_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        open_bundle(write_detector_bundle(tmp_path, **changes))
