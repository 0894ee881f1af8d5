"""`--keep-images` and `--store` on the embedded bundle: off unless asked for, and nothing but faster when on."""

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpt4roi_runtime import image_store
from tests.runtime.cli.conftest import Run, assert_refused

pytestmark = pytest.mark.bundle

ASK = ("--region", "165,10,415,300", "What is <region1>?", "--max-tokens", 8, "--threads", 1)


def ask(run: Run, photo: Path, *more: object) -> dict:
    result = run("ask", photo, *ASK, "--json", *more)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    account = json.loads(result.stdout)
    assert isinstance(account, dict)
    return account


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where photos are kept by default, as far as this test goes."""
    monkeypatch.setattr(image_store, "platformdirs", SimpleNamespace(user_cache_path=lambda _: tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.mark.usefixtures("bundle_dir")
def test_a_photo_is_kept_only_if_its_user_says_so(run: Run, sample_photo: Path, home: Path) -> None:
    plain = ask(run, sample_photo)
    assert not home.exists()
    assert plain["tokens"]["kept"] == 0
    assert f"0.0 MB in 0 files in {home}" in run("doctor").stdout
    first = ask(run, sample_photo, "--keep-images")
    assert len(list(home.iterdir())) == 2
    second = ask(run, sample_photo, "--keep-images")
    assert "encode" in first["seconds"]
    assert "encode" not in second["seconds"]
    assert second["tokens"]["kept"] > 0
    assert plain["answer"] == first["answer"] == second["answer"]
    assert f"MB in 2 files in {home}" in run("doctor").stdout


@pytest.mark.usefixtures("bundle_dir")
def test_folder_size_and_memory_can_be_chosen(
    run: Run, sample_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPT4ROI_STORE", str(tmp_path / "mine"))
    ask(run, sample_photo, "--store-mb", 0)
    assert not (tmp_path / "mine").exists()
    ask(run, sample_photo, "--kept-mb", 0)
    assert len(list((tmp_path / "mine").iterdir())) == 2
    assert f"MB in 2 files in {tmp_path / 'mine'}" in run("doctor").stdout
    result = run("caption", sample_photo, *ASK[:2], "--question", ASK[2], "--json", "--threads", 1)
    assert "reopen" in json.loads(result.stdout)["seconds"]


@pytest.mark.usefixtures("bundle_dir")
def test_a_chat_keeps_the_photo_and_tells_what_it_lost(run: Run, sample_photo: Path, tmp_path: Path) -> None:
    def chat(store: Path) -> str:
        words = ("--region", "165,10,415,300", "--max-tokens", 4, "--threads", 1, "--store", store)
        result = run("chat", sample_photo, *words, stdin="What is <region1>?\n")
        assert result.exit_code == 0
        return result.stderr

    assert chat(tmp_path / "mine") == ""
    assert len(list((tmp_path / "mine").iterdir())) == 2
    (tmp_path / "taken").touch()
    lost = chat(tmp_path / "taken")
    assert lost.startswith("note: the photo is not kept")
    assert lost.count("note:") == 1


@pytest.mark.usefixtures("bundle_dir")
def test_a_full_disk_is_a_note_and_the_answer_is_there(
    run: Run, sample_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = run("ask", sample_photo, *ASK, "--store", tmp_path / "mine")
    assert result.exit_code == 0
    assert len(result.stdout.strip()) > 3
    assert result.stderr.startswith("note: ")
    assert "No space left on device" in result.stderr


def test_help_says_that_it_is_off_and_why(run: Run) -> None:
    words = " ".join(run("ask", "--help").stdout.split())
    assert "tells what the photo shows, so it is off" in words


@pytest.mark.parametrize("words", [("--store-mb", -1), ("--kept-mb", -1), ("--kept-mb", 1 << 40)])
def test_sizes_out_of_range_are_refused(run: Run, sample_photo: Path, words: tuple[object, ...]) -> None:
    assert_refused(run("ask", sample_photo, *ASK, *words))
