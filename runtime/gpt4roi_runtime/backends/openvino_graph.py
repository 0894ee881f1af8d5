"""One ONNX graph in OpenVINO, held to a contract; does not know what the graph is for."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Lock
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
from gpt4roi_runtime.backends.openvino_cache import CompiledCache
from gpt4roi_runtime.backends.openvino_joined import keep_joined
from gpt4roi_runtime.backends.openvino_library import (
    CPU,
    check_device,
    computes_bf16,
    import_openvino,
    new_core,
    openvino_version,
    words_of,
)
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.backends.processor import adds_int8_products_wide, processor_features, usable_cores
from gpt4roi_runtime.errors import BundleError, EngineError
from gpt4roi_runtime.vision.contract import FULL_PRECISION, GraphContract, TensorContract

Config = dict[str, str | int | bool]
_SCHEMA = "1"


class OpenVinoGraph:
    """One compiled graph, held to its contract when it is loaded and whenever it has run.

    Args:
        path: The file, whose hash was checked.
        contract: What it reads and returns.
        settings: Device, precision and threads.
        identity: Hashes of the file and of those it reads weights from; a compiled graph is kept under them. Empty
            keeps none.
        weight_files: Files that it may read weights from; their hashes were checked.

    Attributes:
        engine: Name, version, device and precision.

    Raises:
        EngineMissingError: OpenVINO is not installed.
        EngineError: The device or its bfloat16 is not there.
        BundleError: The graph cannot be loaded, reads another file, or differs from its contract.
    """

    def __init__(
        self,
        path: Path,
        contract: GraphContract,
        settings: OpenVinoSettings,
        *,
        identity: Collection[str] = (),
        weight_files: Collection[Path] = (),
    ) -> None:
        openvino = import_openvino()
        core = new_core(openvino)
        check_device(core, settings.device)
        check_external_weights(path, weight_files)
        self._contract = contract
        self._lock = Lock()
        with giving_back():
            model = _read(openvino, path)
            precision = _precision(core, settings, model, path)
            self.engine = f"OpenVINO {openvino_version()} ({', '.join(filter(None, (settings.device, precision)))})"
            check_tensors(path, "input", contract.inputs, _found(contract.inputs, model.inputs, inferred=False))
            check_tensors(path, "output", contract.outputs, _found(contract.outputs, model.outputs, inferred=True))
            config = _config(settings, precision)
            if identity:
                facts = _facts(identity, self.engine, config)
                n_bytes = sum(file.stat().st_size for file in (path, *weight_files))
                compiled = _compiled_with_cache(core, model, settings, config, facts, n_bytes, path)
            else:
                compiled = _compiled(core, model, settings.device, config, path)
            self._request = compiled.create_infer_request()
            del model  # its weights, where they were laid out anew

    def run(self, feeds: dict[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
        """Outputs in the contract's order.

        Raises:
            EngineError: The feeds are not the contract's, the engine failed, or an output has another shape than
                promised.
            NumericError: An output holds NaN or infinity.
        """
        _check_feeds(self._contract, feeds)  # what is missing it would take as zeros
        try:
            with self._lock:  # a request serves one caller at a time
                found = self._request.infer(feeds)
                outputs = [np.asarray(found[index]) for index in range(len(self._contract.outputs))]
        except Exception as error:  # its exceptions share no base but Exception
            raise EngineError(f"OpenVINO failed: {words_of(error)}", "`gpt4roi doctor` shows the machine.") from error
        check_outputs(self._contract, feeds, outputs)
        return outputs


def _precision(core: Any, settings: OpenVinoSettings, model: Any, path: Path) -> str:
    """What products are computed in; an empty string leaves it to the device.

    Raises:
        EngineError: The device does not multiply what was asked for, or the graph does not bear it.
    """
    if _in_full_precision(model):
        if settings.precision == "bf16":
            raise EngineError(
                f"{path.name} is to be computed in float32: its numbers would lose too much in bfloat16",
                "Use precision f32 or auto; or import the checkpoint without --winograd.",
            )
        return "f32"
    if settings.precision == "bf16" and not computes_bf16(core, settings.device):
        raise EngineError(
            f"{settings.device} does not multiply bfloat16 itself, so that it would only be slower",
            "Use precision f32 or auto.",
        )
    if settings.precision != "auto":
        return settings.precision
    if settings.device != CPU:
        return ""
    return "bf16" if computes_bf16(core) else "f32"


def _in_full_precision(model: Any) -> bool:
    """What the file's metadata say, under the name that the reader for ONNX puts them."""
    return all(
        model.has_rt_info(["framework", key]) and model.get_rt_info(["framework", key]).astype(str) == value
        for key, value in FULL_PRECISION.items()
    )


def _config(settings: OpenVinoSettings, precision: str) -> Config:
    config: Config = {"PERFORMANCE_HINT": "LATENCY"}
    if precision:
        config["INFERENCE_PRECISION_HINT"] = precision
    if settings.device == CPU:
        config |= {
            "INFERENCE_NUM_THREADS": settings.threads(),
            "ENABLE_CPU_PINNING": False,  # a pinned thread waits for whoever has its core; the scheduler moves others
            "ENABLE_HYPER_THREADING": settings.threads() > usable_cores(),
        }
        if not adds_int8_products_wide():
            config["LP_TRANSFORMS_MODE"] = "NO"  # 8-bit weights are read as floats: its 8-bit sums would saturate
    return config


def _read(openvino: Any, path: Path) -> Any:
    """The graph by the reader for ONNX, whatever the file's name or first bytes say."""
    try:
        reader = openvino.frontend.FrontEndManager().load_by_framework("onnx")
        model = reader.convert(reader.load(str(path)))
        keep_joined(openvino, model)
    except Exception as error:  # its exceptions share no base but Exception
        raise BundleError(f"OpenVINO cannot load {path}: {words_of(error)}", AGAIN) from error
    return model


def _compiled(core: Any, model: Any, device: str, config: Mapping[str, object], path: Path) -> Any:
    try:
        return core.compile_model(model, device, dict(config))
    except Exception as error:  # its exceptions share no base but Exception
        raise BundleError(f"OpenVINO cannot compile {path}: {words_of(error)}", AGAIN) from error


def _compiled_with_cache(
    core: Any,
    model: Any,
    settings: OpenVinoSettings,
    config: Config,
    facts: Mapping[str, str],
    n_bytes: int,
    path: Path,
) -> Any:
    """The same from a folder where it was compiled before, or with a copy left there."""
    cache = CompiledCache(settings.cache_folder)
    known = cache.sealed(facts)
    if known is not None:
        try:
            return _compiled(core, model, settings.device, {**config, "CACHE_DIR": str(known)}, path)
        except BundleError:  # it cannot read what it wrote
            cache.discard(facts)
    aside = cache.aside(n_bytes)
    if aside is None:
        return _compiled(core, model, settings.device, config, path)
    try:
        compiled = _compiled(core, model, settings.device, {**config, "CACHE_DIR": str(aside)}, path)
        cache.seal(aside, facts)
    except BundleError:  # perhaps only the disk is full
        compiled = _compiled(core, model, settings.device, config, path)
    finally:
        cache.drop(aside)
    return compiled


def _facts(identity: Collection[str], engine: str, config: Config) -> dict[str, str]:
    """All that a compiled graph depends on."""
    settings = {name: str(value) for name, value in config.items()}
    return {
        **settings,
        "schema": _SCHEMA,
        "graph": " ".join(identity),
        "engine": engine,
        "processor": processor_features(),
    }


def _found(promised: Sequence[TensorContract], ports: Sequence[Any], *, inferred: bool) -> list[FoundTensor]:
    names = [contract.name for contract in promised] + [""] * len(ports)
    return [_as_found(wanted, port, inferred=inferred) for wanted, port in zip(names, ports, strict=False)]


def _as_found(wanted: str, port: Any, *, inferred: bool) -> FoundTensor:
    """A port may have many names, one of them the graph's own."""
    names = port.get_names()
    dtype = port.get_element_type().get_type_name()
    shape = port.get_partial_shape()
    sizes = [axis.get_length() if axis.is_static else str(axis) for axis in shape] if shape.rank.is_static else ["?"]
    name = wanted if wanted in names else min(names, default="without a name")
    return FoundTensor(name, dtype, dtype == "f32", tuple(sizes), inferred)


def _check_feeds(contract: GraphContract, feeds: Mapping[str, npt.NDArray[np.float32]]) -> None:
    for promised in contract.inputs:
        values = feeds.get(promised.name)
        if values is None:
            raise EngineError(f"OpenVINO failed: {promised} was not given", "Give every input of the graph.")
        fits = values.ndim == len(promised.shape) and all(
            size >= 1 if wanted is None else size == wanted
            for size, wanted in zip(values.shape, promised.shape, strict=True)
        )
        if values.dtype != np.float32 or not fits:
            raise EngineError(
                f"OpenVINO failed: {promised.name} is {values.dtype} {list(values.shape)}, not {promised}",
                "Give the shapes that the manifest says.",
            )
