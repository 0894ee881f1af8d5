"""Which packages of the engines are installed, and which of them are in each other's way; imports none of them."""

from dataclasses import dataclass
from importlib import metadata

ONNXRUNTIME_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-qnn",
    "onnxruntime-training",
    "ort-nightly",
    "ort-nightly-gpu",
)
"""All of them install one import package, so the last one wins and removing any of them breaks the rest."""

GPU_ONNXRUNTIME_DISTRIBUTIONS = ("onnxruntime-gpu", "ort-nightly-gpu")
"""Those of them that run on an NVIDIA GPU."""

OPENCV_DISTRIBUTIONS = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
"""So do these."""

TENSORRT_DISTRIBUTIONS = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
RTX_DISTRIBUTIONS = ("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12")


@dataclass(frozen=True)
class Clash:
    """Distributions that should not be together.

    Attributes:
        problem: What is there, and what it does.
        advice: The line that mends it, or an empty string where nothing has to be.
    """

    problem: str
    advice: str


def version_of(distribution: str) -> str | None:
    """Installed version of a distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def installed(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of them that are in this environment, as ``name version``."""
    found = ((name, version_of(name)) for name in names)
    return tuple(f"{name} {version}" for name, version in found if version is not None)


def installed_onnxruntimes() -> tuple[str, ...]:
    """Every distribution of ONNX Runtime in this environment, as ``name version``; more than one is a fault."""
    return installed(ONNXRUNTIME_DISTRIBUTIONS)


def clashes() -> tuple[Clash, ...]:
    """Every set of distributions here of which only one should be."""
    found = []
    for names, what, again in (
        (ONNXRUNTIME_DISTRIBUTIONS, "ONNX Runtime", "pip install 'gpt4roi-edge[cpu]' (or [ort-cuda])"),
        (OPENCV_DISTRIBUTIONS, "OpenCV", "pip install opencv-python-headless"),
    ):
        here = installed(names)
        if len(here) > 1:
            remove = " ".join(one.split()[0] for one in here)
            found.append(
                Clash(
                    f"{len(here)} distributions of {what} ({', '.join(here)}) overwrite each other.",
                    f"Remove all, then install one: pip uninstall -y {remove}; {again}",
                )
            )
    tensorrt, rtx = installed(TENSORRT_DISTRIBUTIONS), installed(RTX_DISTRIBUTIONS)
    if tensorrt and rtx:
        found.append(
            Clash(
                f"TensorRT ({tensorrt[0]}) and TensorRT for RTX ({rtx[0]}) are both installed: two engines of some "
                "gigabytes, whose plans the other cannot read. TensorRT is tried first.",
                "Keep the one whose plans you build; --vision-backend tensorrt-rtx takes the second.",
            )
        )
    return tuple(found)
