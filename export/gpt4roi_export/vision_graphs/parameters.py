"""The tensors of CLIP's and of GPT4RoI's files under the names of our modules, checked before any of them is read.

Does not know what a tensor is for.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gpt4roi_export.checkpoint import our_name
from gpt4roi_export.modules.clip_vit import HIDDEN_STATE_OF_IMAGE
from gpt4roi_export.modules.gpt4roi import EncodeGraph, RegionsGraph, VisionSizes
from gpt4roi_export.tensors import TensorFacts, Tensors
from gpt4roi_runtime.errors import BundleError

VIT = "vit.model."
_OF_CLIP = re.compile(r"^(?:vision_model\.)?((?:embeddings|encoder|pre_layrnorm|post_layernorm)\..+)$")
_OF_RELEASE = ("model.spi_module.", "model.mm_projector.")
_FLOATS = {"float16", "bfloat16", "float32", "float64"}
_MOST_LISTED = 5


@dataclass(frozen=True)
class Parameters:
    """Every number the two graphs are made of, by our modules' names; nothing is kept.

    Attributes:
        shapes: Of every parameter, in the modules' order.
        places: The source and the name that it has there.
    """

    shapes: Mapping[str, tuple[int, ...]]
    places: Mapping[str, tuple[Tensors, str]]

    def read(self, name: str) -> NDArray[np.float32]:
        """One parameter.

        Raises:
            BundleError: Its file is damaged, or it holds NaN or infinity.
        """
        source, theirs = self.places[name]
        array: NDArray[np.float32] = np.require(source.read(theirs), np.float32, ["C", "W"])
        if not np.isfinite(array.min(initial=0)) or not np.isfinite(array.max(initial=0)):
            raise BundleError(f"tensor {theirs} holds NaN or infinity", "The checkpoint is damaged; fetch it again.")
        return array


def parameters_of(sizes: VisionSizes, clip: Tensors, release: Tensors) -> Parameters:
    """Find every parameter that the graphs need.

    Layers of the ViT behind the last hidden state in use may be there or not.

    Raises:
        BundleError: Tensors are missing, of another shape or no floats, or there are some that GPT4RoI does not have.
    """
    known = known_shapes(sizes)
    of_clip, of_release = clip.facts, release.facts  # once: they are made anew each time, of a thousand tensors
    places = {ours: (clip, theirs) for ours, theirs in clip_names(of_clip).items()}
    places |= {ours: (release, theirs) for ours, theirs in release_names(of_release).items()}
    _refuse(
        "has tensors that GPT4RoI does not have", [theirs for ours, (_, theirs) in places.items() if ours not in known]
    )
    needed = needed_shapes(sizes)
    _refuse("lacks tensors", [name for name in needed if name not in places])
    found = {name: (of_clip if name.startswith(VIT) else of_release)[places[name][1]] for name in needed}
    _refuse(
        "has tensors of another kind than expected",
        [
            _other(places[name][1], facts, needed[name])
            for name, facts in found.items()
            if _is_other(facts, needed[name])
        ],
    )
    return Parameters(shapes=needed, places={name: places[name] for name in needed})


def clip_names(names: Iterable[str]) -> dict[str, str]:
    """Our name to CLIP's, for every parameter of its vision half.

    The files of CLIPModel and of CLIPVisionModel begin them with ``vision_model.``; the latest ones do not.
    """
    matches = {name: _OF_CLIP.match(name) for name in names}
    return {
        VIT + match.group(1): name for name, match in matches.items() if match and not name.endswith("position_ids")
    }


def release_names(names: Iterable[str]) -> dict[str, str]:
    """Our name to that of GPT4RoI's files, for everything that is neither CLIP nor the language model.

    Raises:
        BundleError: A tensor of the region module has an unknown name.
    """
    return {our_name(name): name for name in names if name.startswith(_OF_RELEASE)}


def known_shapes(sizes: VisionSizes) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter of both graphs' modules, made without their numbers."""
    with torch.device("meta"):
        modules = (EncodeGraph(sizes), RegionsGraph(sizes))
    return {name: tuple(parameter.shape) for module in modules for name, parameter in module.named_parameters()}


def needed_shapes(sizes: VisionSizes) -> dict[str, tuple[int, ...]]:
    """The same for those that the graphs read."""
    return {name: shape for name, shape in known_shapes(sizes).items() if not _is_unused(name, sizes)}


def last_layer_used(sizes: VisionSizes) -> int:
    """Layers of the ViT that count: those before the deepest hidden state in use."""
    return max(*sizes.hidden_states_of_levels, sizes.n_layers + 1 + HIDDEN_STATE_OF_IMAGE)


def _is_unused(name: str, sizes: VisionSizes) -> bool:
    if name.startswith(VIT + "post_layernorm."):
        return True
    layer = re.match(re.escape(VIT) + r"encoder\.layers\.(\d+)\.", name)
    return layer is not None and int(layer.group(1)) >= last_layer_used(sizes)


def _is_other(facts: TensorFacts, shape: tuple[int, ...]) -> bool:
    return facts.shape != shape or facts.dtype not in _FLOATS


def _other(name: str, facts: TensorFacts, shape: tuple[int, ...]) -> str:
    return f"{name} is {facts.dtype} {list(facts.shape)} instead of {list(shape)}"


def _refuse(what: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
        raise BundleError(
            f"the checkpoint {what}: {', '.join(names[:_MOST_LISTED])}{more}",
            "Expected GPT4RoI's released tensors and those of openai/clip-vit-large-patch14.",
        )
