import subprocess
import sys

import pytest

ENGINES = {"torch", "PySide6", "onnxruntime", "llama_cpp", "cv2", "onnx", "transformers"}


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh Python holds after running ``code``."""
    script = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert child.returncode == 0, child.stderr
    return set(child.stdout.split())


def test_the_check_sees_what_is_loaded() -> None:
    assert loaded_after("import onnxruntime") >= {"onnxruntime"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_after("import gpt4roi_runtime")
    assert not loaded & (ENGINES | {"numpy", "PIL", "msgspec", "jaxtyping", "beartype", "gguf"})


def test_without_a_gpu_nothing_of_its_engines_is_imported() -> None:
    code = (
        "from gpt4roi_runtime.backends import load, vision_candidates\n"
        "def no_gpu(): raise vision_candidates.EngineMissingError('no driver', 'none')\n"
        "settings = vision_candidates.VisionSettings()\n"
        "assert vision_candidates.candidates(None, settings, find=no_gpu) == ()"
    )
    script = f"{code}\nimport sys; print(*sys.modules)"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert child.returncode == 0, child.stderr
    of_gpus = ("tensorrt", "cuda", "gpt4roi_runtime.backends.tensorrt", "gpt4roi_runtime.backends.onnxruntime_cuda")
    assert [name for name in child.stdout.split() if name.startswith(of_gpus)] == []


@pytest.mark.parametrize(
    "code",
    [
        "import gpt4roi_runtime as r; [getattr(r, name) for name in r.__all__]",
        "from gpt4roi_runtime import *",
        "import gpt4roi_runtime.pipeline",
        "import gpt4roi_runtime.cli",
    ],
)
def test_no_public_name_loads_an_engine(code: str) -> None:
    assert not loaded_after(code) & ENGINES
