"""How the controller's wishes become messages to the model's process; the one place that knows what these can carry."""

import os
from pathlib import Path

from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.talk import Prompt
from gpt4roi_desktop.worker import messages as m

CARRIES_SETTINGS = False
"""Whether threads, context and sampling reach the model's process: its messages have no field for them yet."""


def open_bundle(request_id: int, folder: Path, preferences: Preferences) -> m.OpenBundle:
    """Load a model."""
    del preferences
    return m.OpenBundle(request_id, os.fsencode(folder.absolute()))


def ask(request_id: int, prompt: Prompt, preferences: Preferences) -> m.Ask:
    """Ask about the photo."""
    del preferences
    return m.Ask(
        request_id,
        prompt.question,
        {number: box.xyxy for number, box in prompt.regions.items()},
        tuple((turn.question, turn.answer) for turn in prompt.history),
    )
