"""A frozen LLaMA with low-rank additions, laid out for tuning on short dialogues; knows no file and no loss.

Rows of all sequences lie one after another without padding, so that the matrices, where most of the time goes, are
multiplied with nothing but real rows.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from gpt4roi_export.tuning.language_weights import LAYER_NORMS, LanguageWeights, matrix_name
from gpt4roi_export.tuning.layer_parts import attend, gated, rms_norm
from gpt4roi_export.tuning.lora import LoraMatrices, lora_linear
from gpt4roi_export.tuning.packing import Packing

_GROUPS = {
    "qkv": ("attn_q", "attn_k", "attn_v"),
    "output": ("attn_output",),
    "gate_up": ("ffn_gate", "ffn_up"),
    "down": ("ffn_down",),
}
"""Matrices with the same input, multiplied as one."""


class Llama(nn.Module):
    """The frozen model.

    Args:
        weights: From the GGUF.
        dtype: Of the matrices and of the rows on their way.
    """

    table: Tensor
    head: Tensor
    output_norm: Tensor
    frequencies: Tensor

    def __init__(self, weights: LanguageWeights, dtype: torch.dtype) -> None:
        super().__init__()
        self.epsilon = weights.epsilon
        self.dtype = dtype
        tensors = {name: torch.from_numpy(array) for name, array in weights.tensors.items()}
        table = tensors["token_embd.weight"]
        self.register_buffer("table", table.to(dtype))
        self.register_buffer("head", tensors["output.weight"].to(dtype) if "output.weight" in tensors else self.table)
        self.register_buffer("output_norm", tensors["output_norm.weight"].to(dtype))
        self.layers = nn.ModuleList(_Layer(tensors, index, weights, dtype) for index in range(weights.n_layers))
        exponents = torch.arange(0, weights.head_width, 2, dtype=torch.float32) / weights.head_width
        self.register_buffer("frequencies", weights.rope_base**-exponents)
        self.requires_grad_(requires_grad=False)

    def embed(self, ids: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """The model's own rows for tokens."""
        return functional.embedding(ids, self.table)

    def forward(
        self, rows: Float[Tensor, "n d"], packing: Packing, lora: LoraMatrices | None = None
    ) -> Float[Tensor, "n d"]:
        """Hidden rows before the output matrix, after the last norm."""
        rotation = self._rotation(packing.positions)
        hidden = rows.to(self.dtype)
        for layer in self.layers:
            hidden = layer(hidden, packing, rotation, lora)
        return rms_norm(hidden, self.output_norm, self.epsilon)

    def logits(self, hidden: Float[Tensor, "n d"]) -> Float[Tensor, "n v"]:
        """Scores of every token, of the rows that are asked for only."""
        return functional.linear(hidden, self.head)

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        angles = (positions[:, None].float() * self.frequencies).repeat_interleave(2, dim=1)
        return angles.cos().to(self.dtype)[:, None], angles.sin().to(self.dtype)[:, None]


class _Layer(nn.Module):
    attn_norm: Tensor
    ffn_norm: Tensor

    def __init__(self, tensors: dict[str, Tensor], index: int, sizes: LanguageWeights, dtype: torch.dtype) -> None:
        super().__init__()
        self.index = index
        self.n_heads, self.head_width = sizes.n_heads, sizes.head_width
        self.epsilon = sizes.epsilon
        for group, parts in _GROUPS.items():
            matrices = [tensors[matrix_name(index, part)] for part in parts]
            self.register_buffer(group, torch.cat(matrices).to(dtype))
        for norm in LAYER_NORMS:
            self.register_buffer(norm, tensors[matrix_name(index, norm)].to(dtype))

    def forward(
        self, hidden: Tensor, packing: Packing, rotation: tuple[Tensor, Tensor], lora: LoraMatrices | None
    ) -> Tensor:
        normed = rms_norm(hidden, self.attn_norm, self.epsilon)
        qkv = self._multiply("qkv", normed, lora).reshape(len(hidden), -1, self.head_width)
        hidden = hidden + self._multiply("output", attend(qkv, self.n_heads, rotation, packing), lora)
        normed = rms_norm(hidden, self.ffn_norm, self.epsilon)
        return hidden + self._multiply("down", gated(self._multiply("gate_up", normed, lora)), lora)

    def _multiply(self, group: str, rows: Tensor, lora: LoraMatrices | None) -> Tensor:
        matrix: Tensor = getattr(self, group)
        if lora is None:
            return functional.linear(rows, matrix)
        return lora_linear(rows, matrix, lora, self.index, _GROUPS[group])
