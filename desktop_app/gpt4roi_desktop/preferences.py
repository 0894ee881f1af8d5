"""What a user chose for good: colours, models, how engines run and answers are written. Knows no Qt and no engine.

Read as a stranger's file: what cannot be read counts as nothing chosen.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gpt4roi_runtime.storage import written_aside

Theme = Literal["system", "light", "dark"]
MAX_THREADS = 512
MIN_CONTEXT, MAX_CONTEXT = 64, 1 << 20
MAX_ANSWER = 1 << 16
MAX_TEMPERATURE = 10.0
MAX_SEED = (1 << 32) - 1
_MAX_FILE_BYTES = 1 << 20
_MOST_MODELS = 50

_Path = Annotated[str, Meta(min_length=1, max_length=4096)]


class Preferences(msgspec.Struct, frozen=True, omit_defaults=True):
    """All choices; None is what the model or the machine recommends.

    Attributes:
        theme: Colours of the window.
        n_threads: Of both engines.
        context_length: Rows of prompt and answer together.
        temperature: 0 takes the likeliest token.
        max_tokens: Most tokens of an answer.
        seed: Start of the random numbers, where temperature is above 0.
        model: Folder of the bundle that was used last; empty is the embedded one.
        models: Folders of bundles that were used, the last one first.
        camera: Number of the camera.
    """

    theme: Theme = "system"
    n_threads: Annotated[int, Meta(ge=1, le=MAX_THREADS)] | None = None
    context_length: Annotated[int, Meta(ge=MIN_CONTEXT, le=MAX_CONTEXT)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=MAX_TEMPERATURE)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_ANSWER)] | None = None
    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)] = 0
    model: Annotated[str, Meta(max_length=4096)] = ""
    models: Annotated[tuple[_Path, ...], Meta(max_length=_MOST_MODELS)] = ()
    camera: Annotated[int, Meta(ge=0, le=63)] = 0

    def engines(self) -> tuple[object, ...]:
        """What an engine has to be loaded anew for."""
        return (self.n_threads, self.context_length)

    def with_model(self, folder: Path) -> "Preferences":
        """A model that is used from now on."""
        name = str(folder).encode("utf-8", "replace").decode()
        others = tuple(each for each in self.models if each != name)
        return msgspec.structs.replace(self, model=name, models=(name, *others)[:_MOST_MODELS])


def load(path: Path) -> Preferences:
    """What was chosen; nothing where the file is missing or cannot be read."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_FILE_BYTES), type=Preferences)
    except (OSError, ValueError, msgspec.MsgspecError):
        return Preferences()


def save(path: Path, preferences: Preferences) -> None:
    """Remember what was chosen.

    Raises:
        OutputError: It cannot be written.
    """
    content = msgspec.json.format(msgspec.json.encode(preferences), indent=2)
    with written_aside(path) as file:
        file.write(content)
