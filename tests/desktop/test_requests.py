"""What the controller's messages carry of a user's choices."""

import os
from pathlib import Path

import pytest

from gpt4roi_desktop import requests
from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.talk import Prompt
from gpt4roi_runtime.backends.vision_settings import VisionSettings
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image_store import DEFAULT_BUDGET_BYTES, STORE_VARIABLE
from gpt4roi_runtime.llm.decoder import Sampling
from gpt4roi_runtime.prompt import Turn
from gpt4roi_runtime.worker import messages as m

PROMPT = Prompt("Is it as big as <region2>?", {2: Box(1, 2, 3, 4)}, (Turn("What is <region2>?", "A cup."),))
CHOSEN = Preferences(n_threads=3, context_length=512, temperature=0.5, max_tokens=7, seed=11)


def test_a_model_is_opened_with_the_chosen_threads_and_context() -> None:
    message = requests.open_bundle(4, Path("models"), CHOSEN)
    assert os.fsdecode(message.folder) == str(Path("models").absolute())
    assert message.settings is not None
    assert message.settings.vision_threads == 3
    assert (message.settings.language.n_threads, message.settings.language.context_length) == (3, 512)


def test_without_choices_a_model_is_opened_as_recommended() -> None:
    settings = requests.open_bundle(4, Path("models"), Preferences()).settings
    assert settings is not None
    assert (settings.vision_threads, settings.language.n_threads, settings.language.context_length) == (0, None, None)


def test_a_model_is_opened_with_the_chosen_vision_engine() -> None:
    chosen = Preferences(vision_backend="openvino", vision_precision="bf16")
    settings = requests.open_bundle(4, Path("models"), chosen).settings
    assert settings is not None
    assert settings.vision == VisionSettings("openvino", "bf16")


def test_images_stay_on_disk_only_where_the_user_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert requests.open_bundle(4, Path("models"), Preferences(store=str(tmp_path))).store is None
    chosen = Preferences(keep_images=True, store=str(tmp_path), store_mb=3)
    message = requests.open_bundle(4, Path("models"), chosen)
    assert message.store == m.StoreFolder(os.fsencode(tmp_path), 3 << 20)
    assert m.encoded(message)
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "usual"))
    usual = requests.open_bundle(4, Path("models"), Preferences(keep_images=True)).store
    assert usual == m.StoreFolder(os.fsencode(tmp_path / "usual"), DEFAULT_BUDGET_BYTES)


def test_a_question_carries_how_its_answer_is_written() -> None:
    message = requests.ask(5, PROMPT, CHOSEN)
    assert message.sampling == Sampling(temperature=0.5, seed=11)
    assert message.max_tokens == 7
    assert message.regions == {2: (1, 2, 3, 4)}
    assert message.history == (("What is <region2>?", "A cup."),)


def test_without_choices_the_bundle_decides() -> None:
    message = requests.ask(5, PROMPT, Preferences(seed=11))
    assert (message.sampling, message.max_tokens) == (None, None)
