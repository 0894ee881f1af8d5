"""How llama.cpp shall be run on this machine, checked before it hears of it; does not know the model."""

from dataclasses import dataclass
from typing import Literal, get_args

from gpt4roi_runtime.backends.processor import usable_cores
from gpt4roi_runtime.errors import SettingsError

FlashAttention = Literal["auto", "on", "off"]
Repack = Literal["auto", "on", "off"]
CacheType = Literal["f32", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
CACHE_TYPES: tuple[CacheType, ...] = get_args(CacheType)
_FLOATS = ("f32", "f16")

MAX_CONTEXT_LENGTH = 1 << 20
MAX_BATCH_SIZE = 8192
MAX_THREADS = 512
MAX_GPU_LAYERS = 10_000
ALL_LAYERS = -1
MAX_KEPT_BYTES = 1 << 40
MAX_ANSWERS = 16
"""Answers side by side: more gain little, and each takes its rows of the KV cache."""

_FLASH_ATTENTION_FROM_WIDTH = 2048


@dataclass(frozen=True)
class LlamaCppSettings:
    """Settings of one loaded model.

    Attributes:
        n_threads: Threads for prefill and decode; ``None`` takes every physical core this process may use, and fewer
            while other processes keep some of them busy.
        context_length: Rows of the KV cache, prompt and answer together; ``None`` takes the model's own, at most 4096.
            llama.cpp rounds it up to a multiple of 256.
        batch_size: Most rows in one call. A prompt split in the same places gives the same logits on every run; another
            split differs by some 5e-3 of KL divergence.
        flash_attention: ``auto`` switches it on for models 2048 wide or wider, where the faster prefill outweighs the
            slower decoding of long answers on a CPU, and where ``type_v`` needs it.
        repack: Rearrange weights for the CPU's matrix units while loading. ``auto`` asks the self-test.
        ubatch_size: Most rows computed at once within a call; ``None`` takes ``batch_size``.
        type_k: Type of the KV cache's keys.
        type_v: Type of its values; any but the floats needs flash attention.
        n_gpu_layers: Layers that a GPU works on, where llama.cpp was built for one; -1 takes all.
        kept_bytes: Most bytes in which the prefixes of images are kept beside the one that is worked on; ``None`` takes
            256 MiB, or what is free if that is less.

    Raises:
        SettingsError: A value is out of its range.
    """

    n_threads: int | None = None
    context_length: int | None = None
    batch_size: int = 512
    flash_attention: FlashAttention = "auto"
    repack: Repack = "auto"
    kept_bytes: int | None = None
    ubatch_size: int | None = None
    type_k: CacheType = "f16"
    type_v: CacheType = "f16"
    n_gpu_layers: int = 0

    def __post_init__(self) -> None:
        if self.n_threads is not None:
            _check_range("n_threads", self.n_threads, 1, MAX_THREADS)
        if self.context_length is not None:
            _check_range("context_length", self.context_length, 64, MAX_CONTEXT_LENGTH)
        if self.kept_bytes is not None:
            _check_range("kept_bytes", self.kept_bytes, 0, MAX_KEPT_BYTES)
        _check_range("batch_size", self.batch_size, 1, MAX_BATCH_SIZE)
        for name, value in (("flash_attention", self.flash_attention), ("repack", self.repack)):
            if value not in ("auto", "on", "off"):
                raise SettingsError(f"{name} {value!r} is unknown", "Use auto, on or off.")
        if self.ubatch_size is not None:
            _check_range("ubatch_size", self.ubatch_size, 1, MAX_BATCH_SIZE)
        _check_range("n_gpu_layers", self.n_gpu_layers, ALL_LAYERS, MAX_GPU_LAYERS)
        self._check_cache_types()

    def threads(self) -> int:
        """The number of threads to use on this machine."""
        return self.n_threads if self.n_threads is not None else usable_cores()

    def context_for(self, trained_length: int) -> int:
        """Rows of the KV cache for a model trained on ``trained_length`` positions.

        Raises:
            SettingsError: More were asked for than the model was trained for.
        """
        if self.context_length is None:
            return min(trained_length, 4096)
        if self.context_length > trained_length:
            raise SettingsError(
                f"context_length {self.context_length} is more than the {trained_length} positions of this model",
                f"Use {trained_length} or less; further on its answers are noise.",
            )
        return self.context_length

    def wants_flash_attention(self, embedding_length: int) -> bool:
        """Whether to switch flash attention on for a model of this width."""
        if self.flash_attention == "auto":
            return embedding_length >= _FLASH_ATTENTION_FROM_WIDTH or self.type_v not in _FLOATS
        return self.flash_attention == "on"

    def rows_at_once(self) -> int:
        """Most rows computed at once."""
        return min(self.batch_size, self.ubatch_size or self.batch_size)

    def _check_cache_types(self) -> None:
        for name, value in (("type_k", self.type_k), ("type_v", self.type_v)):
            if value not in CACHE_TYPES:
                raise SettingsError(f"{name} {value!r} is unknown", f"Use {', '.join(CACHE_TYPES)}.")
        if self.type_v not in _FLOATS and self.flash_attention == "off":
            raise SettingsError(
                f"type_v {self.type_v} needs flash attention, which is off", "Switch it on, or keep values as f16."
            )


def _check_range(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise SettingsError(f"{name} {value} is out of range", f"Use a whole number from {lowest} to {highest}.")
