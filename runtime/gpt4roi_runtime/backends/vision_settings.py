"""Which engine shall run the vision half, and in what precision, as a caller says it; knows no engine."""

from dataclasses import dataclass
from typing import Literal

from gpt4roi_runtime.errors import SettingsError

VisionBackend = Literal["auto", "onnxruntime", "openvino"]
VisionPrecision = Literal["auto", "f32", "bf16"]
BACKENDS: tuple[VisionBackend, ...] = ("auto", "onnxruntime", "openvino")
PRECISIONS: tuple[VisionPrecision, ...] = ("auto", "f32", "bf16")


@dataclass(frozen=True)
class VisionSettings:
    """What the caller chooses.

    Attributes:
        backend: ``auto`` takes what was measured on this machine for the bundle, else ONNX Runtime.
        precision: What products are computed in. ``auto`` takes what was measured; without a measurement, float32 in
            ONNX Runtime, and in OpenVINO bfloat16 where the processor multiplies it itself.
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
        if self.backend == "onnxruntime" and self.precision == "bf16":
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

    backend: Literal["onnxruntime", "openvino"]
    precision: VisionPrecision = "f32"
    device: str = "CPU"

    def __str__(self) -> str:
        name = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}[self.backend]
        return f"{name} {self.precision}"
