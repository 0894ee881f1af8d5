from pathlib import Path

import pytest

from gpt4roi_export.imports.requantise import requantise
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.errors import BundleError, SettingsError
from gpt4roi_runtime.verification import verify_bundle
from tests.export.imports.conftest import silent


def test_only_the_language_model_changes(half_bundle: Path, tmp_path: Path) -> None:
    made = requantise(half_bundle, tmp_path / "small", "Q8_0", 1, silent)
    before, after = open_bundle(half_bundle), open_bundle(tmp_path / "small")
    assert made.size_bytes == after.manifest.language.gguf.size_bytes < before.manifest.language.gguf.size_bytes
    assert after.manifest.vision == before.manifest.vision
    assert after.manifest.provenance is not None
    assert before.manifest.provenance is not None
    assert after.manifest.provenance.inputs == before.manifest.provenance.inputs
    assert after.manifest.provenance.settings["language"] == "Q8_0"
    assert after.manifest.provenance.settings["language quantised from"] == "F16"
    assert [check.what for check in verify_bundle(tmp_path / "small") if check.error] == []


def test_what_is_coarse_already_cannot_become_finer(half_bundle: Path, tmp_path: Path) -> None:
    requantise(half_bundle, tmp_path / "small", "Q4_0", 1, silent)
    with pytest.raises(BundleError, match="rounded twice"):
        requantise(tmp_path / "small", tmp_path / "again", "Q8_0", 1, silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small"]


def test_an_unknown_quantisation_leaves_nothing(half_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Q4_X"):
        requantise(half_bundle, tmp_path / "small", "Q4_X", 1, silent)
    assert list(tmp_path.iterdir()) == []
