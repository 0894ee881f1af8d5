"""What a run leaves: the language model's additions, the trained vision tensors, and how they came about.

Does not know how they were trained.
"""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save

from gpt4roi_export import plain_paths
from gpt4roi_export.adapter import Adapter, LowRank, write_adapter
from gpt4roi_export.modules.tuned import Trunk, TunedVision
from gpt4roi_export.tuned_part import ADAPTER, VISION
from gpt4roi_export.tuning.lora import LoraMatrices
from gpt4roi_export.tuning.recipe import Recipe
from gpt4roi_runtime.errors import NumericError
from gpt4roi_runtime.storage import written_aside

STORY = "tuned.json"
_LIBRARIES = ("torch", "numpy", "safetensors", "gguf", "llama-cpp-python")
_LARGEST_HALF = 65504.0


class StageStory(msgspec.Struct, frozen=True):
    """What one stage did.

    Attributes:
        name: Of the recipe.
        steps: Done.
        data: SHA-256 of each file.
        skipped: Lines that could not be used.
        losses: Smoothed, at the end.
    """

    name: str
    steps: int
    data: tuple[str, ...]
    skipped: int
    losses: Mapping[str, float]


class Story(msgspec.Struct, frozen=True):
    """How the tensors came about.

    Attributes:
        recipe: As it was read, with paths shortened to names.
        stages: What they did.
        base: SHA-256 of the language model's file.
        versions: Of Python and the libraries.
    """

    recipe: Recipe
    stages: Sequence[StageStory]
    base: str
    versions: Mapping[str, str]


def save_tuned(out: Path, vision: TunedVision, lora: LoraMatrices | None, published: Trunk, story: Story) -> None:
    """Write ``adapter.safetensors``, ``vision.safetensors`` and ``tuned.json``.

    Args:
        out: Folder, already there.
        vision: Only what learns, and which names were shown, is written.
        lora: None if the language model was not tuned; then there is no adapter.
        published: The encoder before it learned.
        story: How they came about.

    Raises:
        NumericError: A tensor is not finite or does not fit half floats.
        OutputError: The disk refused.
    """
    if lora is not None:
        write_adapter(out / ADAPTER, _adapter(lora))
    with written_aside(out / VISION) as file:
        file.write(save(vision_tensors(vision, published)))
    with written_aside(out / STORY) as file:
        file.write(msgspec.json.format(msgspec.json.encode(story, enc_hook=plain_paths.encoded), indent=2) + b"\n")


def versions() -> dict[str, str]:
    """Of Python and the libraries that numbers depend on."""
    return {"python": platform.python_version()} | {library: version(library) for library in _LIBRARIES}


def vision_tensors(vision: TunedVision, published: Trunk) -> dict[str, torch.Tensor]:
    """What training changes in the vision side, as half floats, by the names of its state.

    Args:
        vision: After training.
        published: The encoder before it; of a vision side whose encoder is still the same, it is left out.

    Raises:
        NumericError: A number does not fit half floats.
    """
    trained = [*vision.region_parameters(), *vision.projector_parameters()]
    pairs = zip(vision.encoder.parameters(), published.parameters(), strict=True)
    if any(not torch.equal(learned, before) for learned, before in pairs):
        trained += vision.encoder_parameters()
    known = {id(parameter) for parameter in trained}
    tensors = {name: tensor.detach() for name, tensor in vision.named_parameters() if id(tensor) in known}
    tensors["reader.name.shown"] = vision.reader.name.shown
    return {name: _half(name, tensor) for name, tensor in tensors.items()}


def _adapter(lora: LoraMatrices) -> Adapter:
    named = {name: _half(name, parameter.detach()).numpy() for name, parameter in lora.named().items()}
    bases = sorted({name.rpartition(".")[0] for name in named})
    return Adapter({base: LowRank(named[f"{base}.lora_a"], named[f"{base}.lora_b"]) for base in bases}, lora.scale)


def _half(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if not bool((tensor.abs() <= _LARGEST_HALF).all()):
        raise NumericError(f"{name} holds a number that half floats cannot", "Lower the rates, and tune again.")
    return tensor.cpu().contiguous().half()
