"""A bundle for the fake child, the command that starts it, and the environment in which it finds itself."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.worker.client import WorkerPipeline
from tests.conftest import REPOSITORY
from tests.helpers.bundles import write_fake_bundle
from tests.helpers.tiny_bundle import write_tiny_bundle

COMMAND = (sys.executable, "-m", "tests.runtime.worker.fake_child")
WATCHED_COMMAND = (sys.executable, "-m", "tests.runtime.worker.watched_child")
PATIENCE_S = 30


@pytest.fixture(scope="module")
def importable() -> Iterator[None]:
    """Let children find the runtime and the tests."""
    folders = [str(REPOSITORY), str(REPOSITORY / "runtime"), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fake_bundle(tmp_path)


@pytest.fixture
def worker(folder: Path, importable: None) -> Iterator[WorkerPipeline]:
    with WorkerPipeline.open(folder, command=COMMAND) as pipeline:
        yield pipeline


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, importable: None) -> Iterator[WorkerPipeline]:
    """One for all tests that leave no trace in it."""
    with WorkerPipeline.open(fake_bundle(tmp_path_factory.mktemp("lasting")), command=COMMAND) as pipeline:
        yield pipeline


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with real engines."""
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "bundle")


def fake_bundle(folder: Path) -> Path:
    return write_fake_bundle(folder / "bundle", decoding__max_tokens=500)


def photo(value: int = 51, width_px: int = 30, height_px: int = 20) -> RgbImage:
    """A photo of one grey."""
    return np.full((height_px, width_px, 3), value, dtype=np.uint8)
