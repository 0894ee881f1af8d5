"""Runs the command line inside the test's process, where a fault can also be planted."""

import shutil
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest

from gpt4roi_runtime.cli import gpt4roi

Run = Callable[..., click.testing.Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `gpt4roi` with the given words; the environment names no bundle, and keeps no photo."""
    for name in ("GPT4ROI_BUNDLE", "GPT4ROI_KEEP_IMAGES", "GPT4ROI_STORE"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: object, stdin: str | None = None) -> click.testing.Result:
        return click.testing.CliRunner().invoke(gpt4roi, list(map(str, words)), input=stdin)

    return run


@pytest.fixture
def own_bundle(bundle_dir: Path, tmp_path: Path) -> Path:
    """A copy of the embedded bundle that a test may damage."""
    return Path(shutil.copytree(bundle_dir, tmp_path / "bundle"))


def assert_refused(result: click.testing.Result, *words: str) -> None:
    """Exit status 2, two lines for a person with the value in them, and nothing on standard output."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stderr.startswith("error: ") or result.stderr.startswith("Usage: ")
    for word in words:
        assert word in result.stderr
    assert result.stdout == ""
