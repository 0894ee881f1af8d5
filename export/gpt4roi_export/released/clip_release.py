"""A folder with a CLIP in it, of which the vision tower matters. Does not know the language model.

Whole CLIPs and vision towers alone are read, with and without the prefix that some versions of the writing library
leave out; the tensors come out under one set of names.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_export.released.configs import CONFIG_NAME, VisionConfig, read_vision_config
from gpt4roi_export.released.expected import check_holds
from gpt4roi_export.released.licence import find_licence
from gpt4roi_export.released.selected import Selected
from gpt4roi_export.released.sizes import VISION_PREFIX, ClipSizes
from gpt4roi_export.tensor_files.open_tensors import CheckpointFiles
from gpt4roi_export.tensors import TensorFacts, Tensors
from gpt4roi_runtime.errors import BundleError

CLASS_EMBEDDING = "embeddings.class_embedding"
_TEXT_PREFIXES = ("text_model.", "text_projection.", "visual_projection.", "logit_scale")
_BUFFER_SUFFIXES = ("embeddings.position_ids",)
_ACTIVATION = "quick_gelu"


@dataclass(frozen=True)
class ClipRelease:
    """A CLIP vision tower.

    Attributes:
        folder: Where it is.
        sizes: Of the tower.
        tensors: Of the tower, all below ``vision_model.``.
        licence: Licence file in the folder, if there is one.
        files: Everything that was read or will be.
    """

    folder: Path
    sizes: ClipSizes
    tensors: Tensors
    licence: Path | None
    files: tuple[Path, ...]


def read_clip_release(folder: Path, opened: CheckpointFiles) -> ClipRelease:
    """Check a CLIP's folder.

    Args:
        folder: With ``config.json``.
        opened: Its tensors.

    Raises:
        BundleError: Something is missing, damaged or does not match.
    """
    config = read_vision_config(folder)
    names = _names(opened.facts)
    tensors = Selected(opened, names)
    facts = tensors.facts
    sizes = _sizes(config, facts, folder)
    check_holds(facts, sizes.shapes(), folder)
    if config.hidden_act != _ACTIVATION:
        raise BundleError(
            f"{folder}: activation {config.hidden_act!r}, expected {_ACTIVATION!r}",
            "GPT4RoI was trained on OpenAI's clip-vit-large-patch14, not on a tower that others trained anew.",
        )
    files = (folder / CONFIG_NAME, *opened.files)
    return ClipRelease(folder, sizes, tensors, find_licence(folder), files)


def _names(facts: Mapping[str, TensorFacts]) -> dict[str, str]:
    """Ours -> theirs, without text and buffers."""
    has_prefix = VISION_PREFIX + CLASS_EMBEDDING in facts
    kept = [name for name in facts if not name.startswith(_TEXT_PREFIXES) and not name.endswith(_BUFFER_SUFFIXES)]
    return {name if has_prefix else VISION_PREFIX + name: name for name in kept}


def _sizes(config: VisionConfig, facts: Mapping[str, TensorFacts], folder: Path) -> ClipSizes:
    """By the config, after checking it against the shapes of the two tensors that tell one CLIP from another."""
    patches = facts.get(VISION_PREFIX + "embeddings.patch_embedding.weight")
    positions = facts.get(VISION_PREFIX + "embeddings.position_embedding.weight")
    if patches is None or len(patches.shape) != 4 or positions is None or len(positions.shape) != 2:
        raise BundleError(f"{folder} lacks the patch or position embedding", "Fetch the checkpoint again.")
    width, _, _, patch_px = patches.shape
    grid = math.isqrt(max(positions.shape[0] - 1, 0))
    said = (config.hidden_size, config.patch_size, config.image_size)
    if said != (width, patch_px, grid * patch_px) or config.num_hidden_layers > len(facts):
        raise BundleError(
            f"{folder}: config.json says width {said[0]}, patches of {said[1]} and images of {said[2]} pixels; "
            f"the tensors say {width}, {patch_px} and {grid * patch_px}",
            "Take config.json and weights from one release.",
        )
    if config.num_attention_heads < 1 or width % config.num_attention_heads:
        raise BundleError(
            f"{folder}: {config.num_attention_heads} heads of {width} channels", "Fetch config.json again."
        )
    return ClipSizes(
        width=width,
        n_layers=config.num_hidden_layers,
        n_heads=config.num_attention_heads,
        mlp_width=config.intermediate_size,
        side_px=config.image_size,
        patch_px=patch_px,
        norm_eps=config.layer_norm_eps,
    )
