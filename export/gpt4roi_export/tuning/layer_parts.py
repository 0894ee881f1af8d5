"""The parts of a transformer layer, with gradients written by hand for speed on a CPU.

On a CPU, reading and writing rows costs as much as multiplying them. Torch's own gradients write everything once more
than they must (zeros to add into, copies of slices, scattered sums); these do not. Each part equals the plain formula,
which the tests hold it against. Knows neither files nor the order of a layer.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gpt4roi_export.tuning.packing import Packing


def rms_norm(rows: Float[Tensor, "n d"], weight: Float[Tensor, " d"], epsilon: float) -> Float[Tensor, "n d"]:
    """``rows / rms(rows) * weight``, the mean of squares in float32."""
    normed: Tensor = _RmsNorm.apply(rows, weight, epsilon)  # type: ignore[no-untyped-call]
    return normed


def gated(gate_up: Float[Tensor, "n m"]) -> Float[Tensor, "n half"]:
    """``silu(gate) * up`` of a row's two halves."""
    result: Tensor = _Gated.apply(gate_up)  # type: ignore[no-untyped-call]
    return result


def low_rank_linear(
    rows: Float[Tensor, "n i"], matrix: Float[Tensor, "o i"], a: Float[Tensor, "r i"], b: Float[Tensor, "o r"]
) -> Float[Tensor, "n o"]:
    """``rows @ (matrix + b @ a).T``; the matrix is frozen."""
    result: Tensor = _LowRankLinear.apply(rows, matrix, a, b)  # type: ignore[no-untyped-call]
    return result


def attend(
    qkv: Float[Tensor, "n h w"], n_heads: int, rotation: tuple[Tensor, Tensor], packing: Packing
) -> Float[Tensor, "n d"]:
    """Causal attention inside every sequence, with rotary positions.

    Args:
        qkv: Query heads, key heads and value heads of every packed row; key heads are shared by groups of query heads.
        n_heads: How many of them are query heads.
        rotation: Cosines and sines ``[n 1 w]`` of every packed row; neighbours have the same.
        packing: Where sequences begin and end.
    """
    mixed: Tensor = _Attend.apply(qkv, n_heads, *rotation, packing)  # type: ignore[no-untyped-call]
    return mixed


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.epsilon = epsilon
        return torch.nn.functional.rms_norm(rows, weight.shape, weight, epsilon)

    @staticmethod
    def backward(ctx: Any, *of_normed: Tensor) -> tuple[Tensor, None, None]:
        rows, weight = ctx.saved_tensors
        exact = torch.promote_types(rows.dtype, torch.float32)
        length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True, dtype=exact)
        factor = torch.rsqrt(length.square() / rows.shape[-1] + ctx.epsilon)
        weighted = of_normed[0] * weight
        along = (weighted * rows).sum(dim=-1, keepdim=True, dtype=exact)
        share = factor.pow(3) * along / rows.shape[-1]
        return weighted.mul_(factor.to(rows.dtype)).addcmul_(rows, share.to(rows.dtype), value=-1.0), None, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, dim=1)
        opened = torch.nn.functional.silu(gate)
        ctx.save_for_backward(gate_up, opened)
        return opened * up

    @staticmethod
    def backward(ctx: Any, *of_result: Tensor) -> Tensor:
        gate_up, opened = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=1)
        gradient = torch.empty_like(gate_up)
        of_gate, of_up = gradient.chunk(2, dim=1)
        torch.mul(of_result[0], opened, out=of_up)
        of_gate.copy_(torch.ops.aten.silu_backward(of_result[0] * up, gate))
        return gradient


class _LowRankLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrix: Tensor, a: Tensor, b: Tensor) -> Tensor:
        thin = rows @ a.t()
        ctx.save_for_backward(rows, matrix, a, b, thin)
        return (rows @ matrix.t()).addmm_(thin, b.t())

    @staticmethod
    def backward(ctx: Any, *of_result: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
        rows, matrix, a, b, thin = ctx.saved_tensors
        gradient = of_result[0]
        of_thin = gradient @ b
        of_rows = (gradient @ matrix).addmm_(of_thin, a)
        return of_rows, None, of_thin.t() @ rows, gradient.t() @ thin


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, n_heads: int, cos: Tensor, sin: Tensor, packing: Packing) -> Tensor:
        n_kv = (qkv.shape[1] - n_heads) // 2
        rotated = qkv.clone()
        _rotate(rotated[:, : n_heads + n_kv], cos, sin)
        q, k, v = _by_key_head(packing.pad(rotated), n_heads, n_kv)
        scores = (q @ k.transpose(1, 2)).mul_(1.0 / math.sqrt(qkv.shape[2]))
        # Query heads of one key head stand below each other, so the mask is repeated for each.
        scores.view(len(q), -1, *packing.hidden.shape).masked_fill_(packing.hidden, -math.inf)
        shares = scores.softmax(dim=-1)
        ctx.save_for_backward(q, k, v, shares, cos, sin)
        ctx.packing, ctx.n_kv, ctx.n_heads = packing, n_kv, n_heads
        return _by_row(shares @ v, packing, n_kv).flatten(1)

    @staticmethod
    def backward(ctx: Any, *of_mixed: Tensor) -> tuple[Tensor, None, None, None, None]:
        q, k, v, shares, cos, sin = ctx.saved_tensors
        packing, n_kv, n_heads = ctx.packing, ctx.n_kv, ctx.n_heads
        scale = 1.0 / math.sqrt(q.shape[2])
        # Padding must not reach keys and values: it looks at real rows.
        outer = packing.pad(of_mixed[0].view(len(of_mixed[0]), n_heads, -1))
        outer = outer.masked_fill_(~packing.real[:, :, None, None], 0.0)
        of_out = _group(outer, n_kv)
        of_scores = _of_scores(of_out @ v.transpose(1, 2), shares)
        of_scores.mul_(scale)
        of_q, of_k, of_v = of_scores @ k, of_scores.transpose(1, 2) @ q, shares.transpose(1, 2) @ of_out
        gradient = torch.cat([_by_row(part, packing, n_kv) for part in (of_q, of_k, of_v)], dim=1)
        _rotate(gradient[:, : n_heads + n_kv], cos, -sin)
        return gradient, None, None, None, None


def _of_scores(of_shares: Tensor, shares: Tensor) -> Tensor:
    """Gradient of a softmax over the last axis."""
    kernel = torch.ops.aten._softmax_backward_data  # noqa: SLF001 - four passes in one; there is no public name
    gradient: Tensor = kernel(of_shares, shares, -1, shares.dtype)
    return gradient


def _rotate(heads: Float[Tensor, "n h w"], cos: Tensor, sin: Tensor) -> None:
    """Rotary positions in place, on neighbouring pairs, which is the order of rows in a GGUF of this architecture.

    Neighbours change places by a multiplication, because every other number is the slowest thing to ask memory for.
    """
    width = heads.shape[2]
    swap = torch.zeros(width, width, dtype=heads.dtype, device=heads.device)
    even = torch.arange(0, width, 2, device=heads.device)
    swap[even + 1, even], swap[even, even + 1] = -1.0, 1.0
    swapped = heads @ swap
    heads.mul_(cos).addcmul_(swapped, sin)


def _by_key_head(batch: Float[Tensor, "b s h w"], n_heads: int, n_kv: int) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = torch.split(batch, [n_heads, n_kv, n_kv], dim=2)
    return _group(q, n_kv), _group(k, n_kv), _group(v, n_kv)


def _group(heads: Float[Tensor, "b s h w"], n_kv: int) -> Float[Tensor, "bk gs w"]:
    """One matrix for every sequence and key head, in which the rows of all its query heads stand below each other."""
    b, s, h, w = heads.shape
    grouped = heads.reshape(b, s, n_kv, h // n_kv, w).permute(0, 2, 3, 1, 4)
    return grouped.reshape(b * n_kv, h // n_kv * s, w)


def _by_row(grouped: Float[Tensor, "bk gs w"], packing: Packing, n_kv: int) -> Float[Tensor, "n h w"]:
    """Back to packed rows."""
    b, s = packing.padded.shape
    heads = grouped.reshape(b, n_kv, -1, s, grouped.shape[-1]).permute(0, 3, 1, 2, 4)
    return packing.unpad(heads.flatten(2, 3))
