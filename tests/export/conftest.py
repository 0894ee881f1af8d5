from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from gpt4roi_export.weights import WeightSources, find
from gpt4roi_runtime.errors import BundleError

WEIGHTS_DIR = Path(__file__).parents[2] / ".cache" / "weights"


@pytest.fixture(scope="session")
def weight_sources() -> WeightSources:
    try:
        return find(WEIGHTS_DIR, lambda doing, done: None)
    except BundleError as missing:
        pytest.fail(f"the weights are not downloaded (make bundle does): {missing.problem}")


@pytest.fixture(scope="session")
def assembled(weight_sources: WeightSources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from gpt4roi_export.embedded_bundle import assemble
    from gpt4roi_export.tuned_part import PACKAGED, TunedPart

    out = tmp_path_factory.mktemp("assembled") / "embedded"
    assemble(weight_sources, TunedPart.of(PACKAGED), out, lambda doing, done: None)
    return out


RunStages = Callable[..., dict[str, NDArray[np.float32]]]


@pytest.fixture(scope="session")
def run_stages() -> RunStages:
    """Runs a graph in ONNX Runtime."""
    return _run_stages


def _run_stages(
    model: onnx.ModelProto, inputs: dict[str, NDArray[np.float32]], inside: tuple[str, ...] = ()
) -> dict[str, NDArray[np.float32]]:
    """Outputs of ``model``, and of the values between its nodes that ``inside`` names."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in inside)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))
