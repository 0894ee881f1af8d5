"""The wheel holds what a user needs, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_module_and_its_data_are_inside(names: set[str]) -> None:
    for folder in ("runtime", "export", "desktop_app"):
        sources = {
            path.relative_to(REPOSITORY / folder).as_posix() for path in (REPOSITORY / folder).glob("gpt4roi_*/**/*.py")
        }
        assert sources
        assert sources <= names
    for data in (
        "gpt4roi_runtime/py.typed",
        "gpt4roi_runtime/samples/astronaut.jpg",
        "gpt4roi_export/embedded_weights.txt",
        "gpt4roi_export/skeletons/encode.onnx",
        "gpt4roi_export/skeletons/regions.onnx",
    ):
        assert data in names


def test_nothing_else_is_inside(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "gpt4roi_runtime",
        "gpt4roi_export",
        "gpt4roi_desktop",
    }
    licences = {Path(name).name for name in names if ".dist-info/" in name}
    assert {"LICENSE", "NOTICE", "METADATA"} <= licences
