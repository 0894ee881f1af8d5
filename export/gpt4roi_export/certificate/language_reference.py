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

from gpt4roi_export.language.llama_config import LlamaConfig
from gpt4roi_export.tensors import Tensors
from gpt4roi_runtime.arrays import EmbeddingRows

OnLayer = Callable[[int], None]
"""Told how many layers are done."""


def next_token_logits(
    tensors: Tensors, config: LlamaConfig, rows: EmbeddingRows, on_layer: OnLayer = lambda _done: None
) -> Float[np.ndarray, " v"]:
    """What the model expects behind a prompt.

    Args:
        tensors: The checkpoint.
        config: Its sizes.
        rows: The whole prompt, ``[t d]`` float32, in order from position 0.
        on_layer: Told of the progress.

    Returns:
        A logit for every token of the vocabulary, float32.

    Raises:
        BundleError: A tensor is missing or damaged.
    """
    with torch.inference_mode():
        hidden = torch.from_numpy(np.array(rows, dtype=np.float32))
        rotation = _rotation(len(hidden), config)
        for layer in range(config.num_hidden_layers):
            hidden = _layer(hidden, tensors, f"model.layers.{layer}.", config, rotation)
            on_layer(layer + 1)
        last = _norm(hidden[-1:], _weight(tensors, "model.norm.weight"), config)
        head = "lm_head.weight" if "lm_head.weight" in tensors.facts else "model.embed_tokens.weight"
        logits: Float[np.ndarray, " v"] = functional.linear(last, _weight(tensors, head))[0].numpy()
        return logits


def _layer(
    hidden: Float[Tensor, "t d"], tensors: Tensors, prefix: str, config: LlamaConfig, rotation: tuple[Tensor, Tensor]
) -> Float[Tensor, "t d"]:
    def multiplied(rows: Tensor, name: str) -> Tensor:
        return functional.linear(rows, _weight(tensors, f"{prefix}{name}.weight"))

    normed = _norm(hidden, _weight(tensors, f"{prefix}input_layernorm.weight"), config)
    query, key = (
        _rotated(_heads(multiplied(normed, f"self_attn.{part}_proj"), config), rotation) for part in ("q", "k")
    )
    value = _heads(multiplied(normed, "self_attn.v_proj"), config)
    repeats = config.num_attention_heads // config.n_heads_kv
    attended = functional.scaled_dot_product_attention(
        query, key.repeat_interleave(repeats, dim=0), value.repeat_interleave(repeats, dim=0), is_causal=True
    )
    hidden = hidden + multiplied(attended.transpose(0, 1).flatten(1), "self_attn.o_proj")
    normed = _norm(hidden, _weight(tensors, f"{prefix}post_attention_layernorm.weight"), config)
    inside = functional.silu(multiplied(normed, "mlp.gate_proj")) * multiplied(normed, "mlp.up_proj")
    return hidden + multiplied(inside, "mlp.down_proj")


def _weight(tensors: Tensors, name: str) -> Tensor:
    return torch.from_numpy(tensors.read(name).astype(np.float32))


def _norm(rows: Tensor, weight: Tensor, config: LlamaConfig) -> Tensor:
    return rows * torch.rsqrt(rows.square().mean(dim=-1, keepdim=True) + config.rms_norm_eps) * weight


def _heads(rows: Float[Tensor, "t w"], config: LlamaConfig) -> Float[Tensor, "h t k"]:
    return rows.reshape(len(rows), -1, config.head_width).transpose(0, 1)


def _rotation(n_rows: int, config: LlamaConfig) -> tuple[Tensor, Tensor]:
    exponents = torch.arange(0, config.head_width, 2, dtype=torch.float64) / config.head_width
    angles = torch.arange(n_rows, dtype=torch.float64)[:, None] * config.rotary_base**-exponents
    both_halves = torch.cat([angles, angles], dim=1)
    return both_halves.cos().float(), both_halves.sin().float()


def _rotated(heads: Float[Tensor, "h t k"], rotation: tuple[Tensor, Tensor]) -> Float[Tensor, "h t k"]:
    first, second = heads.chunk(2, dim=-1)
    cos, sin = rotation
    return heads * cos + torch.cat([-second, first], dim=-1) * sin
