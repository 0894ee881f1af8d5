"""How the controller's wishes become messages to the model's process; the one place that knows what these can carry."""

import os
from pathlib import Path

from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.talk import Prompt
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.llm.decoder import Sampling
from gpt4roi_runtime.worker import messages as m


def open_bundle(request_id: int, folder: Path, preferences: Preferences) -> m.OpenBundle:
    """Load a model."""
    language = LlamaCppSettings(n_threads=preferences.n_threads, context_length=preferences.context_length)
    settings = EngineSettings(vision_threads=preferences.n_threads or 0, language=language)
    return m.OpenBundle(request_id, os.fsencode(folder.absolute()), settings)


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


def _sampling(preferences: Preferences) -> Sampling | None:
    """None where the bundle knows best."""
    if preferences.temperature is None:
        return None
    return Sampling(temperature=preferences.temperature, seed=preferences.seed)
