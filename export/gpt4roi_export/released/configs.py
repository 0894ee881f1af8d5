"""``config.json`` of a LLaMA, a GPT4RoI or a CLIP, as far as it decides anything. Does not look at tensors.

What the file says of sizes is believed only where tensors cannot say it; the rest is compared with them.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from gpt4roi_export.tensor_files.tensor_file import unreadable
from gpt4roi_runtime.errors import BundleError

CONFIG_NAME = "config.json"
MAX_JSON_BYTES = 4 << 20

_T = TypeVar("_T")


class RopeParameters(msgspec.Struct, frozen=True):
    """How newer configs say it.

    Attributes:
        rope_type: ``default`` stretches nothing.
        rope_theta: Base of the rotary frequencies.
    """

    rope_type: str = "default"
    rope_theta: float | None = None


class LanguageConfig(msgspec.Struct, frozen=True):
    """Of a LLaMA or a GPT4RoI.

    Attributes:
        hidden_size: Width of an embedding.
        num_hidden_layers: Layers.
        num_attention_heads: Heads.
        intermediate_size: Width inside the feed-forward layers.
        num_key_value_heads: Missing before LLaMA 2: as many as heads.
        rms_norm_eps: Of the norms.
        max_position_embeddings: Context; the earliest conversions call it ``max_sequence_length``.
        max_sequence_length: The same.
        rope_theta: Base of the rotary frequencies.
        rope_scaling: Anything but nothing stretches the context in a way that this project does not know.
        rope_parameters: Both, in newer files.
        hidden_act: Activation.
        mm_vision_tower: Name of the CLIP.
        mm_vision_select_layer: Which hidden state the image tokens are made from.
        mm_use_im_start_end: Whether image tokens are wrapped in two more.
    """

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int | None = None
    num_key_value_heads: int | None = None
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int | None = None
    max_sequence_length: int | None = None
    rope_theta: float | None = None
    rope_scaling: dict[str, msgspec.Raw] | None = None
    rope_parameters: RopeParameters = RopeParameters()
    hidden_act: str | None = None
    mm_vision_tower: str | None = None
    mm_vision_select_layer: int | None = None
    mm_use_im_start_end: bool | None = None


class VisionConfig(msgspec.Struct, frozen=True):
    """Of a CLIP vision tower; what is missing has CLIP's own default, as in the library that wrote the file.

    Attributes:
        hidden_size: Width.
        num_hidden_layers: Layers.
        num_attention_heads: Heads.
        intermediate_size: Width inside the feed-forward layers.
        image_size: Side in pixels.
        patch_size: Side in pixels.
        hidden_act: Activation.
        layer_norm_eps: Of the norms.
    """

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    image_size: int = 224
    patch_size: int = 32
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5


class _Model(msgspec.Struct, frozen=True):
    """A config of vision and text together."""

    vision_config: VisionConfig | None = None


def read_language_config(folder: Path) -> LanguageConfig:
    """The config of a LLaMA or a GPT4RoI.

    Raises:
        BundleError: It is missing, damaged or lacks a size.
    """
    return read_json(folder / CONFIG_NAME, msgspec.json.Decoder(LanguageConfig))


def read_vision_config(folder: Path) -> VisionConfig:
    """The vision part of a CLIP's config, whether there is a text part or not.

    Raises:
        BundleError: It is missing or damaged.
    """
    both = read_json(folder / CONFIG_NAME, msgspec.json.Decoder(_Model))
    return both.vision_config or read_json(folder / CONFIG_NAME, msgspec.json.Decoder(VisionConfig))


def read_json(path: Path, decoder: msgspec.json.Decoder[_T]) -> _T:
    """A small file of JSON from others.

    Raises:
        BundleError: It is missing, not small, not JSON, or lacks what the decoder needs.
    """
    content = _read(path)
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, RecursionError, ValueError) as damaged:
        raise BundleError(f"{path}: {damaged}", "Fetch the file again, or check what was changed in it.") from damaged


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_JSON_BYTES + 1)
    except FileNotFoundError as absent:
        raise BundleError(
            f"{path.parent} has no {path.name}", "Fetch the whole folder, not the weights alone."
        ) from absent
    except OSError as failed:
        raise unreadable(path, failed) from failed
    if len(content) > MAX_JSON_BYTES:
        raise BundleError(f"{path} is larger than {MAX_JSON_BYTES} bytes", "Fetch it again.")
    return content
