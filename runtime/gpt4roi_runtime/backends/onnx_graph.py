"""One ONNX graph in ONNX Runtime, held to a contract; does not know what the graph is for."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.backends.freed_memory import giving_back
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


@dataclass(frozen=True)
class OnnxProvider:
    """What of ONNX Runtime runs a graph.

    Attributes:
        name: ONNX Runtime's own, such as ``CUDAExecutionProvider``.
        device: Where its tensors lie, in ONNX Runtime's word: ``cpu`` or ``cuda``.
        options: Its own settings.
    """

    name: str = "CPUExecutionProvider"
    device: str = "cpu"
    options: dict[str, str] = field(default_factory=dict)


ON_CPU = OnnxProvider()


class OnnxGraph:
    """One loaded graph, held to its contract when it is loaded and whenever it has run.

    Args:
        path: The file, whose hash was checked.
        contract: What it reads and returns.
        weight_files: Files that it may read weights from; their hashes were checked.
        n_threads: 0 takes as many as there are cores.
        lean: Keep no second copy of the weights, laid out for speed; for a graph that runs once.
        provider: Runs it; operators that it does not know go to the CPU.

    Raises:
        EngineMissingError: No onnxruntime distribution is installed, or the provider does not load.
        EngineError: The graph cannot be loaded on a GPU, whose memory may be full.
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
        provider: OnnxProvider = ON_CPU,
    ) -> None:
        ort = import_onnxruntime()
        self.engine = engine_name()
        check_external_weights(path, weight_files)
        self._contract = contract
        self._device = provider.device
        with giving_back():
            self._session = _session(ort, path, n_threads, provider, lean=lean)
        check_tensors(path, "input", contract.inputs, _found(self._session.get_inputs()))
        check_tensors(path, "output", contract.outputs, _found(self._session.get_outputs()))

    def run(self, feeds: dict[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
        """Outputs in the contract's order.

        Raises:
            EngineError: The engine failed, or an output has another shape than promised.
            NumericError: An output holds NaN or infinity.
        """
        with _translated():
            outputs: list[npt.NDArray[np.float32]] = self._session.run(None, feeds)
        check_outputs(self._contract, feeds, outputs)
        return outputs

    def run_resident(self, feeds: Mapping[str, Any], kept: Collection[str] = ()) -> list[Any]:
        """The same, with tensors that stay where the provider has them.

        Args:
            feeds: Of every input, an array or an ``OrtValue`` of an earlier run.
            kept: Outputs to leave there, as ``OrtValue``; the others come as arrays. What is left is not looked at.

        Returns:
            Outputs in the contract's order.

        Raises:
            EngineError: The engine failed, or an output has another shape than promised.
            NumericError: An array holds NaN or infinity.
        """
        with _translated():
            binding = self._session.io_binding()
            for name, values in feeds.items():
                if isinstance(values, np.ndarray):
                    binding.bind_cpu_input(name, values)
                else:
                    binding.bind_ortvalue_input(name, values)
            for promised in self._contract.outputs:
                binding.bind_output(promised.name, self._device if promised.name in kept else "cpu")
            self._session.run_with_iobinding(binding)
            found = [
                value if promised.name in kept else value.numpy()
                for promised, value in zip(self._contract.outputs, binding.get_outputs(), strict=True)
            ]
        self._check(feeds, found, kept)
        return found

    def moved(self, values: npt.NDArray[np.float32]) -> Any:
        """A copy of an array where the provider has its tensors, as ``OrtValue``.

        Raises:
            EngineError: There is no room.
        """
        with _translated():
            return import_onnxruntime().OrtValue.ortvalue_from_numpy(values, self._device, 0)

    def _check(self, feeds: Mapping[str, Any], found: Sequence[Any], kept: Collection[str]) -> None:
        arrays = {name: values for name, values in feeds.items() if isinstance(values, np.ndarray)}
        here = [promised for promised in self._contract.outputs if promised.name not in kept]
        outputs = [values for values in found if isinstance(values, np.ndarray)]
        check_outputs(replace(self._contract, outputs=tuple(here)), arrays, outputs)
        for promised, value in zip(self._contract.outputs, found, strict=True):
            if promised.name in kept and tuple(value.shape()) != promised.shape:
                raise EngineError(
                    f"the graph returned {promised.name} of shape {tuple(value.shape())}, not {promised.shape}", AGAIN
                )


def _session(ort: Any, path: Path, n_threads: int, provider: OnnxProvider, *, lean: bool) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.add_session_config_entry("session.load_model_format", "ONNX")  # and no other, whatever the file's name
    # Values go when nobody reads them any more. It would keep their places for the next run instead, each as large as
    # it ever was, and from the second run on one block for all of them too; no run is faster for it.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    if lean:
        options.add_session_config_entry("session.disable_prepacking", "1")
    options.log_severity_level = 4  # what matters comes back as an exception
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads must not slow the decoder
    try:
        # Without its own falling back, which prints, and hides what went wrong.
        session = ort.InferenceSession(
            str(path), options, providers=[(provider.name, provider.options)], enable_fallback=0
        )
    except Exception as error:  # its exceptions share no base but Exception
        problem = f"ONNX Runtime cannot load {path}: {_first_line(error)}"
        if provider.device != ON_CPU.device:  # full memory of a GPU is no fault of the bundle, and the CPU may do
            raise EngineError(f"{problem} ({provider.name})", "`gpt4roi doctor` says what is there.") from error
        raise BundleError(problem, AGAIN) from error
    if session.get_providers()[0] != provider.name:  # it lists providers that do not load, and goes on without
        raise EngineMissingError(
            f"ONNX Runtime does not load its {provider.name}: a library of CUDA or cuDNN is missing, or the driver is "
            "too old",
            "`gpt4roi doctor` says what is there.",
        )
    return session


@contextmanager
def _translated() -> Iterator[None]:
    """Whatever fails inside is the engine's failure."""
    try:
        yield
    except Exception as error:  # its exceptions share no base but Exception
        raise EngineError(
            f"ONNX Runtime failed: {_first_line(error)}", "`gpt4roi doctor` shows the machine."
        ) from error


def _found(tensors: Sequence[Any]) -> list[FoundTensor]:
    return [
        FoundTensor(tensor.name, tensor.type, tensor.type == _ONNX_FLOAT32, tuple(tensor.shape)) for tensor in tensors
    ]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
