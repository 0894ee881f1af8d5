"""Whether a window can be shown, before Qt ends the process over it."""

import sys
from pathlib import Path

import pytest

from gpt4roi_desktop.system_libraries import DEBIAN_PACKAGES, check_screen
from gpt4roi_runtime.errors import EngineMissingError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Qt brings all it needs on other systems")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A library that the loader refuses."""
    path = tmp_path / "libqxcb.so"
    path.write_bytes(b"no library")
    return path


@pytest.mark.parametrize("environment", [{}, {"DISPLAY": ""}])
def test_without_a_screen_it_says_what_is_not_set(environment: dict[str, str]) -> None:
    with pytest.raises(EngineMissingError, match="neither DISPLAY nor WAYLAND_DISPLAY") as caught:
        check_screen(environment)
    assert "gpt4roi ask" in caught.value.advice


def test_a_library_that_x11_lacks_is_named_with_the_packages(broken: Path) -> None:
    with pytest.raises(EngineMissingError, match=r"libqxcb\.so") as caught:
        check_screen({"DISPLAY": ":0"}, broken)
    assert all(name in caught.value.advice for name in DEBIAN_PACKAGES)


@pytest.mark.parametrize("name", ["WAYLAND_DISPLAY", "QT_QPA_PLATFORM"])
def test_without_x11_its_libraries_are_not_needed(name: str, broken: Path) -> None:
    check_screen({"DISPLAY": ":0", name: "offscreen"}, broken)


def test_a_qt_without_x11_is_left_to_itself(tmp_path: Path) -> None:
    check_screen({"DISPLAY": ":0"}, tmp_path / "libqxcb.so")
