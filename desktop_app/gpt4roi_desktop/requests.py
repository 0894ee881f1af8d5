"""How the controller's wishes become messages to the model's process; the one place that knows what these can carry."""

import os
from pathlib import Path

from gpt4roi_desktop.kept_images import folder_of
from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.surveys import SideBySide
from gpt4roi_desktop.talk import Prompt
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.llm.decoder import Sampling
from gpt4roi_runtime.worker import messages as m


def open_bundle(request_id: int, folder: Path, preferences: Preferences) -> m.OpenBundle:
    """Load a model."""
    language = LlamaCppSettings(n_threads=preferences.n_threads, context_length=preferences.context_length)
    settings = EngineSettings(preferences.n_threads or 0, language, preferences.vision())
    return m.OpenBundle(request_id, os.fsencode(folder.absolute()), settings, store=_store(preferences))


def ask(request_id: int, prompt: Prompt, preferences: Preferences) -> m.Ask:
    """Ask about the photo."""
    return m.Ask(
        request_id,
        prompt.question,
        {number: box.xyxy for number, box in prompt.regions.items()},
        tuple((turn.question, turn.answer) for turn in prompt.history),
        sampling=_sampling(preferences),
        max_tokens=preferences.max_tokens,
    )


def ask_each(request_id: int, rows: SideBySide, preferences: Preferences) -> m.AskEach:
    """Ask one question about many boxes of the photo."""
    return m.AskEach(
        request_id,
        rows.question,
        tuple(box.xyxy for box in rows.boxes),
        sampling=_sampling(preferences),
        max_tokens=preferences.max_tokens,
    )


def _store(preferences: Preferences) -> m.StoreFolder | None:
    """None where the user did not say that images may stay on disk."""
    if not preferences.keep_images:
        return None
    return m.StoreFolder(os.fsencode(folder_of(preferences.store).absolute()), preferences.store_mb << 20)


def _sampling(preferences: Preferences) -> Sampling | None:
    """None where the bundle knows best."""
    if preferences.temperature is None:
        return None
    return Sampling(temperature=preferences.temperature, seed=preferences.seed)
