"""Which vision engines can be chosen here."""

from importlib import metadata

import pytest

from gpt4roi_desktop import engines
from gpt4roi_desktop.engines import Engine, check_installed, vision_engines
from gpt4roi_runtime.backends.vision_settings import BACKENDS, VisionSettings
from gpt4roi_runtime.errors import EngineMissingError

THERE = Engine("onnxruntime", "ONNX Runtime 1.0")
MISSING = Engine("openvino", "OpenVINO", "pip install 'gpt4roi-edge[openvino]'")


def test_they_are_told_with_version_or_with_the_line_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "installed", lambda names: ("onnxruntime 1.0",) if "onnxruntime" in names else ())
    found = vision_engines()
    assert found[:2] == (THERE, MISSING)
    assert [each.name for each in found] == [name for name in BACKENDS if name != "auto"]
    assert [each.install for each in found[2:]] == [
        f"pip install 'gpt4roi-edge[{extra}]'" for extra in ("ort-cuda", "tensorrt", "rtx")
    ]


def test_lines_name_extras_of_this_distribution() -> None:
    known = set(metadata.metadata("gpt4roi-edge").get_all("Provides-Extra") or ())
    assert {extra for _, _, extra in engines._FROM} <= known


@pytest.mark.parametrize("vision", [VisionSettings("openvino"), VisionSettings("auto", "bf16")])
def test_one_that_is_not_installed_is_refused_with_that_line(vision: VisionSettings) -> None:
    with pytest.raises(EngineMissingError, match="OpenVINO is not installed") as caught:
        check_installed(vision, (THERE, MISSING))
    assert caught.value.advice == MISSING.install


@pytest.mark.parametrize("vision", [VisionSettings(), VisionSettings("onnxruntime"), VisionSettings("auto", "f32")])
def test_what_does_not_name_it_is_fine(vision: VisionSettings) -> None:
    check_installed(vision, (THERE, MISSING))
