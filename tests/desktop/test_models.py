"""Bundles as a person chooses between them."""

from pathlib import Path

import pytest

from gpt4roi_desktop.models import Memory, known_folders, read_card, with_memory
from gpt4roi_desktop.preferences import Preferences
from gpt4roi_runtime import default_bundle
from tests.helpers.bundles import FILES, write_fake_bundle


def test_what_the_manifest_says(tmp_path: Path) -> None:
    card = read_card(write_fake_bundle(tmp_path / "tiny"))
    assert (card.name, card.summary, card.can) == ("tiny", "Knows nothing.", ("be opened",))
    assert card.size_bytes == sum(map(len, FILES.values()))
    assert card.licences == (("all", "Apache-2.0", "made for a test"),)
    assert card.usable


def test_files_that_tell_nothing_are_said(tmp_path: Path) -> None:
    card = with_memory(read_card(write_fake_bundle(tmp_path / "tiny")), Preferences())
    assert card.memory is None
    assert "llm.gguf" in card.problem


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    card = with_memory(read_card(tmp_path), Preferences())
    assert not card.usable
    assert "manifest.json" in card.problem
    assert not read_card(tmp_path / "gone").usable


@pytest.mark.bundle
def test_the_embedded_bundle_has_a_plan(bundle_dir: Path) -> None:
    card = with_memory(read_card(bundle_dir), Preferences(context_length=512))
    assert card.memory is not None
    assert card.memory.context_length == 512
    assert 300e6 < card.memory.needed_bytes < 3e9
    assert card.problem == ""


@pytest.mark.bundle
def test_too_large_a_context_is_said(bundle_dir: Path) -> None:
    card = with_memory(read_card(bundle_dir), Preferences(context_length=1 << 20))
    assert card.usable
    assert card.memory is None
    assert "positions" in card.problem


def test_fits() -> None:
    assert Memory(100, 100, 1).fits
    assert not Memory(101, 100, 1).fits


def test_the_embedded_bundle_is_always_offered() -> None:
    chosen = Preferences().with_model(Path("b")).with_model(default_bundle())
    assert known_folders(chosen) == (default_bundle(), Path("b"))
