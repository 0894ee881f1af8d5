"""The sizes of a LLaMA, from the ``config.json`` beside its weights; knows no tensor and no GGUF.

A field that would make it another network than llama.cpp's ``llama`` is refused, not ignored.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gpt4roi_runtime.backends.gguf_header import MAX_BLOCK_COUNT, MAX_VOCABULARY, MAX_WIDTH
from gpt4roi_runtime.errors import BundleError

_MAX_BYTES = 1 << 20
_ADVICE = "Expected the config.json of a LLaMA checkpoint, such as llama-7b-hf's or GPT4RoI-7B's."
_ROTARY_BASE = 10000.0

Width = Annotated[int, Meta(ge=1, le=MAX_WIDTH)]


class RotaryPositions(msgspec.Struct, frozen=True):
    """How newer files write it."""

    rope_type: Literal["default"] = "default"
    rope_theta: Annotated[float, Meta(gt=0, le=1e9)] = _ROTARY_BASE


class LlamaConfig(msgspec.Struct, frozen=True):
    """What ``config.json`` says, in its own words; other fields of the file are somebody else's.

    Attributes:
        hidden_size: Width of a row.
        intermediate_size: Width inside the feed-forward network.
        num_hidden_layers: Layers.
        num_attention_heads: Query heads.
        vocab_size: Rows of ``embed_tokens``.
        num_key_value_heads: Key and value heads; as many as query heads if absent.
        rms_norm_eps: Added under the root of every norm.
        max_position_embeddings: Positions it was trained for; LLaMA-1 has 2048, and its early files do not say so.
        rope_theta: Base of the rotary positions.
        rope_parameters: The same in newer files.
        rope_scaling: Must be absent.
        hidden_act: Must be ``silu``.
        head_dim: Width of a head; must be ``hidden_size / num_attention_heads`` where it is given.
        tie_word_embeddings: Whether ``lm_head`` may be missing and is ``embed_tokens`` then.
        attention_bias: Must be false.
        mlp_bias: Must be false.
    """

    hidden_size: Width
    intermediate_size: Width
    num_hidden_layers: Annotated[int, Meta(ge=1, le=MAX_BLOCK_COUNT)]
    num_attention_heads: Width
    vocab_size: Annotated[int, Meta(ge=1, le=MAX_VOCABULARY)]
    num_key_value_heads: Width | None = None
    rms_norm_eps: Annotated[float, Meta(gt=0, le=1)] = 1e-6
    max_position_embeddings: Annotated[int, Meta(ge=64, le=1 << 20)] = 2048
    rope_theta: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    rope_parameters: RotaryPositions | None = None
    rope_scaling: None = None
    hidden_act: Literal["silu"] = "silu"
    head_dim: Width | None = None
    tie_word_embeddings: bool = False
    attention_bias: Literal[False] | None = None
    mlp_bias: Literal[False] | None = None

    @property
    def n_heads_kv(self) -> int:
        """Key and value heads."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_width(self) -> int:
        """Width of one head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def rotary_base(self) -> float:
        """Base of the rotary positions, wherever it was written."""
        if self.rope_theta is not None:
            return self.rope_theta
        return _ROTARY_BASE if self.rope_parameters is None else self.rope_parameters.rope_theta


def read_llama_config(path: Path) -> LlamaConfig:
    """Read and check a ``config.json``.

    Raises:
        BundleError: It is missing, damaged, or not a plain LLaMA's.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as failed:
        raise BundleError(f"cannot read {path}: {failed.strerror or failed}", _ADVICE) from failed
    if len(content) > _MAX_BYTES:
        raise BundleError(f"{path} is longer than {_MAX_BYTES} bytes", _ADVICE)
    try:
        return checked(msgspec.json.decode(content, type=LlamaConfig))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise BundleError(f"{path} is not a plain LLaMA's: {wrong}", _ADVICE) from wrong


def checked(config: LlamaConfig) -> LlamaConfig:
    """The same config, if its numbers go together.

    Raises:
        BundleError: They do not.
    """
    heads, heads_kv = config.num_attention_heads, config.n_heads_kv
    if config.hidden_size % heads or config.head_width % 2:
        raise BundleError(f"{config.hidden_size} rows for {heads} heads, expected a multiple of {2 * heads}", _ADVICE)
    if heads % heads_kv:
        raise BundleError(f"{heads} query heads for {heads_kv} key heads, expected a multiple of these", _ADVICE)
    if config.head_dim not in (None, config.head_width):
        raise BundleError(f"heads are {config.head_dim} wide, expected {config.head_width}", _ADVICE)
    return config
