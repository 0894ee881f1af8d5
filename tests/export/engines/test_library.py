import sys
from pathlib import Path

import pytest

from gpt4roi_export.engines.library import builder_environment, import_engine
from gpt4roi_export.engines.plugin_library import NAME, find_plugin
from gpt4roi_runtime.errors import EngineError, EngineMissingError


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What matters of TensorRT for RTX's wheel: a library without the name that its parser opens."""
    folder = tmp_path / "site" / "tensorrt_rtx_libs"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "libtensorrt_rtx.so.1").write_bytes(b"library")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.delitem(sys.modules, "tensorrt_rtx_libs", raising=False)
    return folder


def test_the_parser_finds_its_library_by_a_link_of_ours(wheel: Path, tmp_path: Path) -> None:
    for _ in range(2):  # the second time it is there
        made = builder_environment("tensorrt_rtx", {"LD_LIBRARY_PATH": "/other", "HOME": "/h"}, tmp_path / "links")
        place, other = made["LD_LIBRARY_PATH"].split(":")
        assert (Path(place) / "libtensorrt_rtx.so").samefile(wheel / "libtensorrt_rtx.so.1")
        assert (other, made["HOME"]) == ("/other", "/h")
    assert sorted(path.name for path in wheel.iterdir() if path.is_file()) == ["__init__.py", "libtensorrt_rtx.so.1"]


def test_a_library_that_has_the_name_is_left_alone(wheel: Path, tmp_path: Path) -> None:
    (wheel / "libtensorrt_rtx.so").symlink_to("libtensorrt_rtx.so.1")
    assert builder_environment("tensorrt_rtx", {}, tmp_path / "links") == {}
    assert builder_environment("tensorrt", {}, tmp_path / "links") == {}


def test_where_no_link_can_be_made_the_command_is_said(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "links").write_text("a file")
    with pytest.raises(EngineError, match=r"has no libtensorrt_rtx\.so") as refused:
        builder_environment("tensorrt_rtx", {}, tmp_path / "links")
    assert refused.value.advice == f"ln -s libtensorrt_rtx.so.1 {wheel / 'libtensorrt_rtx.so'}"


def test_a_missing_engine_is_a_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "tensorrt_rtx", raising=False)
    with pytest.raises(EngineMissingError, match="tensorrt_rtx is not installed") as refused:
        import_engine("tensorrt_rtx")
    assert refused.value.advice == "pip install tensorrt-rtx"


def test_an_engine_that_cannot_be_loaded_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("raise OSError('libnvinfer.so.10: not found')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineError, match="cannot be loaded: libnvinfer"):
        import_engine("tensorrt")


def test_a_missing_plugin_is_the_command_that_builds_it(tmp_path: Path) -> None:
    with pytest.raises(EngineMissingError, match=f"there is no plugin at {tmp_path / NAME}") as refused:
        find_plugin(None, (tmp_path,))
    assert "cmake -S runtime/native/roi_align -B build/roi_align" in refused.value.advice


def test_what_is_no_library_is_no_plugin(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("text")
    with pytest.raises(EngineError, match="cannot be loaded"):
        find_plugin(tmp_path / NAME)
