"""Which engine shall run the vision half, and in what precision, as a caller says it; knows no engine."""

from dataclasses import dataclass
from typing import Literal, get_args

from gpt4roi_runtime.errors import SettingsError

EngineName = Literal["onnxruntime", "openvino", "onnxruntime-cuda", "tensorrt", "tensorrt-rtx"]
VisionBackend = Literal["auto", "onnxruntime", "openvino", "onnxruntime-cuda", "tensorrt", "tensorrt-rtx"]
VisionPrecision = Literal["auto", "f32", "bf16"]
BACKENDS: tuple[VisionBackend, ...] = get_args(VisionBackend)
PRECISIONS: tuple[VisionPrecision, ...] = ("auto", "f32", "bf16")
ENGINE_NAMES: dict[EngineName, str] = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "onnxruntime-cuda": "ONNX Runtime on CUDA",
    "tensorrt": "TensorRT",
    "tensorrt-rtx": "TensorRT for RTX",
}


@dataclass(frozen=True)
class VisionSettings:
    """What the caller chooses.

    Attributes:
        backend: ``auto`` takes the first of TensorRT, TensorRT for RTX and ONNX Runtime on CUDA that has all that it
            needs here; without any, what was measured on this machine for the bundle, else ONNX Runtime on the CPU.
        precision: What products are computed in. ``auto`` takes what was measured; without a measurement, float32 in
            ONNX Runtime, and in OpenVINO bfloat16 where the processor multiplies it itself. A plan of TensorRT has the
            one that it was built with.
        device: Of OpenVINO: ``CPU``, ``GPU`` or ``NPU``.

    Raises:
        SettingsError: A value is unknown, or two do not go together.
    """

    backend: VisionBackend = "auto"
    precision: VisionPrecision = "auto"
    device: str = "CPU"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("vision backend", self.backend, BACKENDS),
            ("vision precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise SettingsError(f"{name} {value!r} is unknown", f"Use {', '.join(known)}.")
        if self.backend in ("tensorrt", "tensorrt-rtx") and self.precision != "auto":
            raise SettingsError(
                f"a plan of TensorRT has a precision of its own, so {self.precision} cannot be asked for",
                "Use the precision auto, and choose when the plan is built.",
            )
        if self.backend in ("onnxruntime", "onnxruntime-cuda") and self.precision == "bf16":
            raise SettingsError(
                "ONNX Runtime does not compute in bfloat16", "Use the vision backend openvino, or the precision f32."
            )
        if self.device != "CPU" and self.backend != "openvino":
            raise SettingsError(
                f"the device {self.device!r} needs the vision backend openvino, not {self.backend}",
                "Name both, or take the CPU.",
            )


@dataclass(frozen=True)
class VisionEngine:
    """What the choice comes to.

    Attributes:
        backend: The engine.
        precision: Of its products; ``auto`` leaves it to the engine's settings.
        device: Where it runs.
    """

    backend: EngineName
    precision: VisionPrecision = "f32"
    device: str = "CPU"

    def __str__(self) -> str:
        name = ENGINE_NAMES[self.backend]
        return name if self.backend in ("tensorrt", "tensorrt-rtx") else f"{name} {self.precision}"
