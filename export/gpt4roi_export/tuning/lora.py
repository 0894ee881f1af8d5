"""Low-rank additions to the language model's matrices: float32 masters, one pair for each matrix of the GGUF.

Does not know how the language model computes, nor files.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from gpt4roi_export.tuning.language_weights import LAYER_MATRICES, LanguageWeights, matrix_name
from gpt4roi_export.tuning.layer_parts import low_rank_linear
from gpt4roi_export.tuning.recipe import Lora


class LoraMatrices(nn.Module):
    """``A`` and ``B`` of every matrix; the addition is ``scale * B @ A`` and starts at zero.

    Args:
        weights: The model's sizes are read from its matrices.
        settings: Rank, scale, dropout and seed.
    """

    def __init__(self, weights: LanguageWeights, settings: Lora) -> None:
        super().__init__()
        self.scale, self.dropout = settings.scale, settings.dropout
        generator = torch.Generator().manual_seed(settings.seed)
        self.a, self.b = nn.ParameterDict(), nn.ParameterDict()
        for layer in range(weights.n_layers):
            for part in LAYER_MATRICES:
                n_out, n_in = weights.tensors[matrix_name(layer, part)].shape
                first = torch.empty(settings.rank, n_in).uniform_(-1.0, 1.0, generator=generator)
                self.a[_key(layer, part)] = nn.Parameter(first / math.sqrt(n_in))
                self.b[_key(layer, part)] = nn.Parameter(torch.zeros(n_out, settings.rank))

    def pair(self, layer: int, part: str) -> tuple[Tensor, Tensor]:
        """``A [rank, in]`` and ``B [out, rank]`` of one matrix."""
        return self.a[_key(layer, part)], self.b[_key(layer, part)]

    def named(self) -> dict[str, nn.Parameter]:
        """All of them by GGUF name: ``blk.3.attn_q.weight.lora_a``."""
        pairs = {}
        for key in self.a:
            layer, part = key.split("|")
            name = matrix_name(int(layer), part)
            pairs[f"{name}.lora_a"], pairs[f"{name}.lora_b"] = self.a[key], self.b[key]
        return pairs


def lora_linear(rows: Tensor, matrix: Tensor, lora: LoraMatrices, layer: int, parts: Sequence[str]) -> Tensor:
    """Multiply with several matrices that have the same input, and add their low-rank parts.

    Args:
        rows: ``[n, in]``.
        matrix: The frozen matrices, one below the other: ``[out, in]``.
        lora: The additions.
        layer: Of the matrices.
        parts: Their names, in the same order.
    """
    pairs = [lora.pair(layer, part) for part in parts]
    a = torch.cat([pair[0] for pair in pairs]).to(rows.dtype)
    b = (_below_each_other([pair[1] for pair in pairs]) * lora.scale).to(rows.dtype)
    if lora.training and lora.dropout:
        thin = functional.linear(functional.dropout(rows, lora.dropout), a)
        return functional.linear(rows, matrix) + functional.linear(thin, b)
    return low_rank_linear(rows, matrix, a, b)


def _below_each_other(blocks: Sequence[Tensor]) -> Tensor:
    """Blocks down the diagonal, zeros elsewhere."""
    whole: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return whole


def _key(layer: int, part: str) -> str:
    return f"{layer}|{part}"  # a dot would not be a name for torch
