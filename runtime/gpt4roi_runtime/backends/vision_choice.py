"""The engine that was fastest on this machine for one bundle, remembered with the measurement; measures nothing.

A record speaks of one bundle, one processor and the engines' versions; where one of them is another now, it says
nothing, and neither does a damaged one.
"""

from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import platformdirs
from msgspec import Meta

from gpt4roi_runtime.backends.distributions import installed_onnxruntimes
from gpt4roi_runtime.backends.processor import processor_features
from gpt4roi_runtime.backends.vision_settings import EngineName, VisionEngine, VisionSettings
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.errors import OutputError
from gpt4roi_runtime.storage import written_aside

_MOST_BYTES = 1 << 16

Seconds = Annotated[float, Meta(ge=0)]


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One engine on one bundle.

    Attributes:
        backend: Its short name.
        precision: Of its products.
        engine: Name and version.
        encode_s: Seconds of the encode graph, median.
        region_s: Of the region graph for one box.
        regions_s: And for 16.
        image_cosine: Of the image rows with those of ONNX Runtime in float32, the worse of two photos.
        region_cosine: Of the region embeddings, the worst of 16 on each.
        refused: Why it is not used, or an empty string.
    """

    backend: EngineName
    precision: Literal["f32", "bf16"]
    engine: str
    encode_s: Seconds = 0.0
    region_s: Seconds = 0.0
    regions_s: Seconds = 0.0
    image_cosine: float = 1.0
    region_cosine: float = 1.0
    refused: str = ""

    @property
    def total_s(self) -> float:
        """One image, a question about one box, and one about 16."""
        return self.encode_s + self.region_s + self.regions_s

    @property
    def choice(self) -> VisionEngine:
        """This engine, to be loaded."""
        return VisionEngine(self.backend, self.precision)


class VisionChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file.

    Attributes:
        version: Of this format.
        bundle_id: What it speaks of.
        machine: On what it was measured; see ``machine_identity``.
        n_threads: That it was measured with.
        chosen: Place in ``measured``.
        measured: Every engine that was tried.
    """

    version: Literal[1]
    bundle_id: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    machine: str
    n_threads: Annotated[int, Meta(ge=1)]
    chosen: Annotated[int, Meta(ge=0)]
    measured: Annotated[tuple[Measured, ...], Meta(min_length=1, max_length=16)]

    @property
    def best(self) -> Measured:
        """What was chosen."""
        return self.measured[self.chosen]


class ChoiceStore:
    """Records in a folder, one a bundle.

    Args:
        folder: ``None`` takes the user's cache.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or platformdirs.user_cache_path("gpt4roi-edge")

    def read(self, bundle_id: str) -> VisionChoice | None:
        """What was measured here for a bundle, or ``None``: never, damaged, or true no more."""
        try:
            with self._place(bundle_id).open("rb") as file:
                choice = msgspec.json.decode(file.read(_MOST_BYTES), type=VisionChoice)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        stale = choice.bundle_id != bundle_id or choice.chosen >= len(choice.measured) or choice.best.refused
        return None if stale or choice.machine != machine_identity() else choice

    def write(self, choice: VisionChoice) -> Path:
        """Remember it, in place of an older one.

        Raises:
            OutputError: The file cannot be written.
        """
        place = self._place(choice.bundle_id)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make {place.parent}: {error.strerror or error}", "Free some space.") from error
        with written_aside(place) as file:
            file.write(msgspec.json.format(msgspec.json.encode(choice), indent=2) + b"\n")
        return place

    def _place(self, bundle_id: str) -> Path:
        return self._folder / f"vision-{bundle_id}.json"


def chosen_engine(bundle: Bundle, settings: VisionSettings, store: ChoiceStore | None = None) -> VisionEngine:
    """What the settings come to on the CPU of this machine, or by name, for this bundle."""
    if settings.backend == "openvino" or (settings.backend == "auto" and settings.precision == "bf16"):
        return VisionEngine("openvino", settings.precision, settings.device)
    if settings.backend in ("tensorrt", "tensorrt-rtx"):
        return VisionEngine(settings.backend, "auto")
    if settings.backend != "auto":
        return VisionEngine(settings.backend)
    if settings.precision == "auto":
        choice = (store or ChoiceStore()).read(bundle.id)
        return choice.best.choice if choice is not None else VisionEngine("onnxruntime")
    return VisionEngine("onnxruntime")


def machine_identity() -> str:
    """Processor and engines, as 24 hex digits."""
    try:
        openvino = metadata.version("openvino")
    except metadata.PackageNotFoundError:
        openvino = "none"
    facts = (processor_features(), *installed_onnxruntimes(), f"openvino {openvino}")
    return sha256("\n".join(facts).encode()).hexdigest()[:24]
