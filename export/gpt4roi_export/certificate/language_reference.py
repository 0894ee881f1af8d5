"""LLaMA's forward pass in float32, straight from a checkpoint, with one layer's weights in memory at a time.

Written from the model's definition (LLaMA, arXiv 2302.13971, section 2.2; rotary positions in the layout of the
checkpoint, halves of a head rather than neighbours). Slow, and independent of any GGUF.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gpt4roi_export.released.sizes import LanguageSizes
from gpt4roi_export.tensors import Tensors
from gpt4roi_runtime.arrays import EmbeddingRows

OnLayer = Callable[[int], None]
"""Told how many layers are done."""


def next_token_logits(
    tensors: Tensors, sizes: LanguageSizes, rows: EmbeddingRows, on_layer: OnLayer = lambda _done: None
) -> Float[np.ndarray, " v"]:
    """What the model expects behind a prompt.

    Args:
        tensors: The checkpoint.
        sizes: Its sizes.
        rows: The whole prompt, ``[t d]`` float32, in order from position 0.
        on_layer: Told of the progress.

    Returns:
        A logit for every token of the vocabulary, float32.

    Raises:
        BundleError: A tensor is missing or damaged.
    """
    with torch.inference_mode():
        hidden = torch.from_numpy(np.array(rows, dtype=np.float32))
        rotation = _rotation(len(hidden), sizes)
        for layer in range(sizes.n_layers):
            hidden = _layer(hidden, tensors, f"model.layers.{layer}.", sizes, rotation)
            on_layer(layer + 1)
        last = _norm(hidden[-1:], _weight(tensors, "model.norm.weight"), sizes)
        logits: Float[np.ndarray, " v"] = functional.linear(last, _weight(tensors, "lm_head.weight"))[0].numpy()
        return logits


def _layer(
    hidden: Float[Tensor, "t d"], tensors: Tensors, prefix: str, sizes: LanguageSizes, rotation: tuple[Tensor, Tensor]
) -> Float[Tensor, "t d"]:
    def multiplied(rows: Tensor, name: str) -> Tensor:
        return functional.linear(rows, _weight(tensors, f"{prefix}{name}.weight"))

    normed = _norm(hidden, _weight(tensors, f"{prefix}input_layernorm.weight"), sizes)
    query, key = (
        _rotated(_heads(multiplied(normed, f"self_attn.{part}_proj"), sizes), rotation) for part in ("q", "k")
    )
    value = _heads(multiplied(normed, "self_attn.v_proj"), sizes)
    repeats = sizes.n_heads // sizes.n_kv_heads
    attended = functional.scaled_dot_product_attention(
        query, key.repeat_interleave(repeats, dim=0), value.repeat_interleave(repeats, dim=0), is_causal=True
    )
    hidden = hidden + multiplied(attended.transpose(0, 1).flatten(1), "self_attn.o_proj")
    normed = _norm(hidden, _weight(tensors, f"{prefix}post_attention_layernorm.weight"), sizes)
    inside = functional.silu(multiplied(normed, "mlp.gate_proj")) * multiplied(normed, "mlp.up_proj")
    return hidden + multiplied(inside, "mlp.down_proj")


def _weight(tensors: Tensors, name: str) -> Tensor:
    return torch.from_numpy(tensors.read(name).astype(np.float32))


def _norm(rows: Tensor, weight: Tensor, sizes: LanguageSizes) -> Tensor:
    return rows * torch.rsqrt(rows.square().mean(dim=-1, keepdim=True) + sizes.rms_eps) * weight


def _heads(rows: Float[Tensor, "t w"], sizes: LanguageSizes) -> Float[Tensor, "h t k"]:
    return rows.reshape(len(rows), -1, sizes.head_size).transpose(0, 1)


def _rotation(n_rows: int, sizes: LanguageSizes) -> tuple[Tensor, Tensor]:
    exponents = torch.arange(0, sizes.head_size, 2, dtype=torch.float64) / sizes.head_size
    angles = torch.arange(n_rows, dtype=torch.float64)[:, None] * sizes.rope_theta**-exponents
    both_halves = torch.cat([angles, angles], dim=1)
    return both_halves.cos().float(), both_halves.sin().float()


def _rotated(heads: Float[Tensor, "h t k"], rotation: tuple[Tensor, Tensor]) -> Float[Tensor, "h t k"]:
    first, second = heads.chunk(2, dim=-1)
    cos, sin = rotation
    return heads * cos + torch.cat([-second, first], dim=-1) * sin
