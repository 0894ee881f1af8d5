"""One ONNX graph in ONNX Runtime on the CPU, held to a contract; does not know what the graph is for."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.backends.graph_checks import (
    AGAIN,
    FoundTensor,
    check_external_weights,
    check_outputs,
    check_tensors,
)
from gpt4roi_runtime.errors import BundleError, EngineError, EngineMissingError
from gpt4roi_runtime.vision.contract import GraphContract

_ONNX_FLOAT32 = "tensor(float)"


def import_onnxruntime() -> Any:
    """The module, imported when it is first needed.

    Raises:
        EngineMissingError: No distribution is installed, or what is installed is broken.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineMissingError(
            f"ONNX Runtime cannot be imported: {error}", "pip install 'gpt4roi-edge[cpu]'"
        ) from error
    if not hasattr(onnxruntime, "InferenceSession"):
        raise EngineMissingError(
            "ONNX Runtime is broken: two of its distributions were mixed and one was removed",
            "pip uninstall -y onnxruntime onnxruntime-gpu; pip install 'gpt4roi-edge[cpu]'",
        )
    return onnxruntime


def engine_name() -> str:
    """Name and version of the engine.

    Raises:
        EngineMissingError: It is not installed.
    """
    return f"ONNX Runtime {import_onnxruntime().__version__} (CPU)"


class OnnxGraph:
    """One loaded graph, held to its contract when it is loaded and whenever it has run.

    Args:
        path: The file, whose hash was checked.
        contract: What it reads and returns.
        weight_files: Files that it may read weights from; their hashes were checked.
        n_threads: 0 takes as many as there are cores.
        lean: Keep no second copy of the weights, laid out for speed; for a graph that runs once.

    Raises:
        EngineMissingError: No onnxruntime distribution is installed.
        BundleError: The graph cannot be loaded, reads another file, or differs from its contract.
    """

    def __init__(
        self,
        path: Path,
        contract: GraphContract,
        *,
        weight_files: Collection[Path] = (),
        n_threads: int = 0,
        lean: bool = False,
    ) -> None:
        ort = import_onnxruntime()
        self.engine = engine_name()
        check_external_weights(path, weight_files)
        self._contract = contract
        self._session = _session(ort, path, n_threads, lean=lean)
        check_tensors(path, "input", contract.inputs, _found(self._session.get_inputs()))
        check_tensors(path, "output", contract.outputs, _found(self._session.get_outputs()))

    def run(self, feeds: dict[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
        """Outputs in the contract's order.

        Raises:
            EngineError: The engine failed, or an output has another shape than promised.
            NumericError: An output holds NaN or infinity.
        """
        try:
            outputs: list[npt.NDArray[np.float32]] = self._session.run(None, feeds)
        except Exception as error:  # its exceptions share no base but Exception
            raise EngineError(
                f"ONNX Runtime failed: {_first_line(error)}", "`gpt4roi doctor` shows the machine."
            ) from error
        check_outputs(self._contract, feeds, outputs)
        return outputs


def _session(ort: Any, path: Path, n_threads: int, *, lean: bool) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.add_session_config_entry("session.load_model_format", "ONNX")  # and no other, whatever the file's name
    # From the second run on it would keep one block for all values, beside what the first run keeps anyway.
    options.enable_mem_pattern = False
    if lean:
        options.add_session_config_entry("session.disable_prepacking", "1")
    options.log_severity_level = 4  # what matters comes back as an exception
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads must not slow the decoder
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base but Exception
        raise BundleError(f"ONNX Runtime cannot load {path}: {_first_line(error)}", AGAIN) from error


def _found(tensors: Sequence[Any]) -> list[FoundTensor]:
    return [
        FoundTensor(tensor.name, tensor.type, tensor.type == _ONNX_FLOAT32, tuple(tensor.shape)) for tensor in tensors
    ]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
