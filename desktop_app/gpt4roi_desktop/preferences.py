"""What a user chose for good: colours, keys, models, how engines run, what is kept. Knows no Qt and no engine.

Read as a stranger's file: what cannot be read counts as nothing chosen.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gpt4roi_runtime.backends.vision_settings import VisionBackend, VisionPrecision, VisionSettings
from gpt4roi_runtime.errors import SettingsError
from gpt4roi_runtime.image_store import DEFAULT_BUDGET_BYTES
from gpt4roi_runtime.storage import written_aside

Theme = Literal["system", "light", "dark"]
MAX_THREADS = 512
MIN_CONTEXT, MAX_CONTEXT = 64, 1 << 20
MAX_ANSWER = 1 << 16
MAX_TEMPERATURE = 10.0
MAX_SEED = (1 << 32) - 1
MAX_STORE_MB = 1 << 20
MAX_PATH = 4096
_MAX_FILE_BYTES = 1 << 20
_MOST_MODELS = 50

_Path = Annotated[str, Meta(min_length=1, max_length=MAX_PATH)]
_Action = Annotated[str, Meta(max_length=64)]
_Keys = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=8)]


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
        vision_backend: Engine of the vision half.
        vision_precision: What that multiplies in.
        keep_images: Whether what was computed of a photo stays on disk.
        store: Folder of those; empty is the usual one.
        store_mb: Most MiB of it.
        shortcuts: Keys by the action's name, where they are not the program's own; without any, it has none.

    Raises:
        SettingsError: The vision engine cannot compute in that precision.
    """

    theme: Theme = "system"
    n_threads: Annotated[int, Meta(ge=1, le=MAX_THREADS)] | None = None
    context_length: Annotated[int, Meta(ge=MIN_CONTEXT, le=MAX_CONTEXT)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=MAX_TEMPERATURE)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_ANSWER)] | None = None
    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)] = 0
    model: Annotated[str, Meta(max_length=MAX_PATH)] = ""
    models: Annotated[tuple[_Path, ...], Meta(max_length=_MOST_MODELS)] = ()
    camera: Annotated[int, Meta(ge=0, le=63)] = 0
    vision_backend: VisionBackend = "auto"
    vision_precision: VisionPrecision = "auto"
    keep_images: bool = False
    store: Annotated[str, Meta(max_length=MAX_PATH)] = ""
    store_mb: Annotated[int, Meta(ge=1, le=MAX_STORE_MB)] = DEFAULT_BUDGET_BYTES >> 20
    shortcuts: Annotated[dict[_Action, _Keys], Meta(max_length=200)] = {}

    def __post_init__(self) -> None:
        self.vision()

    def vision(self) -> VisionSettings:
        """The choice of the vision engine, as the runtime takes it."""
        return VisionSettings(self.vision_backend, self.vision_precision)

    def engines(self) -> tuple[object, ...]:
        """What the model has to be loaded anew for."""
        store = (self.store, self.store_mb) if self.keep_images else None
        return (self.n_threads, self.context_length, self.vision(), store)

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
    except (OSError, ValueError, msgspec.MsgspecError, SettingsError):
        return Preferences()


def save(path: Path, preferences: Preferences) -> None:
    """Remember what was chosen.

    Raises:
        OutputError: It cannot be written.
    """
    content = msgspec.json.format(msgspec.json.encode(preferences), indent=2)
    with written_aside(path) as file:
        file.write(content)
