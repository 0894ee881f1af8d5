"""Every part against the plain formula, in float64, and its gradient against differences."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gpt4roi_export.tuning.answer_loss import answer_losses
from gpt4roi_export.tuning.layer_parts import attend, gated, low_rank_linear, rms_norm
from gpt4roi_export.tuning.packing import pack

CPU = torch.device("cpu")
HEADS, KEY_HEADS, HEAD_WIDTH = 4, 2, 6


def some(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


def test_rms_norm() -> None:
    rows, weight = some(5, 8), some(8, seed=1).detach()
    plain = rows / (rows.square().mean(dim=1, keepdim=True) + 1e-3).sqrt() * weight
    torch.testing.assert_close(rms_norm(rows, weight, 1e-3), plain)
    assert torch.autograd.gradcheck(lambda x: rms_norm(x, weight, 1e-3), (rows,))


def test_gated() -> None:
    rows = some(5, 8)
    torch.testing.assert_close(gated(rows), functional.silu(rows[:, :4]) * rows[:, 4:])
    assert torch.autograd.gradcheck(gated, (rows,))


def test_low_rank_linear() -> None:
    rows, matrix, a, b = some(5, 7), some(9, 7, seed=1).detach(), some(2, 7, seed=2), some(9, 2, seed=3)
    torch.testing.assert_close(low_rank_linear(rows, matrix, a, b), rows @ (matrix + b @ a).T)
    assert torch.autograd.gradcheck(lambda x, y, z: low_rank_linear(x, matrix, y, z), (rows, a, b))


def plain_attention(qkv: Tensor, cos: Tensor, sin: Tensor, lengths: list[int]) -> Tensor:
    """Sequence after sequence, with rotary positions as complex numbers."""
    turn = torch.complex(cos[:, :, ::2], sin[:, :, ::2])
    pairs = torch.view_as_complex(qkv.unflatten(2, (-1, 2)).contiguous())
    turned = torch.view_as_real(pairs * turn).flatten(2)
    mixed = []
    for rows, turned_rows in zip(qkv.split(lengths), turned.split(lengths), strict=True):
        q, k = turned_rows[:, :HEADS], turned_rows[:, HEADS : HEADS + KEY_HEADS]
        k, v = (x.repeat_interleave(HEADS // KEY_HEADS, dim=1) for x in (k, rows[:, HEADS + KEY_HEADS :]))
        heads = functional.scaled_dot_product_attention(
            q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1), is_causal=True
        )
        mixed.append(heads.transpose(0, 1).flatten(1))
    return torch.cat(mixed)


@pytest.mark.parametrize("lengths", [[3], [1, 4, 2]])
def test_attend(lengths: list[int]) -> None:
    packing = pack(lengths, CPU)
    qkv = some(sum(lengths), HEADS + 2 * KEY_HEADS, HEAD_WIDTH)
    frequencies = torch.tensor([1.0, 0.3, 0.1], dtype=torch.float64)
    angles = (packing.positions[:, None] * frequencies).repeat_interleave(2, dim=1)[:, None]
    rotation = (angles.cos(), angles.sin())
    torch.testing.assert_close(attend(qkv, HEADS, rotation, packing), plain_attention(qkv, *rotation, lengths))
    assert torch.autograd.gradcheck(lambda x: attend(x, HEADS, rotation, packing), (qkv,))


def test_packed_rows_survive_padding() -> None:
    packing = pack([2, 3, 1], CPU)
    rows = torch.arange(6.0)[:, None]
    assert packing.positions.tolist() == [0, 1, 0, 1, 2, 0]
    assert packing.real.tolist() == [[True, True, False], [True, True, True], [True, False, False]]
    padded = packing.pad(rows)
    assert padded[packing.real].flatten().tolist() == [0, 1, 2, 3, 4, 5]
    torch.testing.assert_close(packing.unpad(padded), rows)


@pytest.mark.parametrize("n_rows", [1, 300])
def test_answer_losses(n_rows: int) -> None:
    hidden, head = some(n_rows, 4), some(11, 4, seed=1).detach()
    targets = torch.arange(n_rows) % 11
    losses = answer_losses(hidden, head, targets)
    plain = functional.cross_entropy(hidden @ head.T, targets, reduction="none")
    torch.testing.assert_close(losses.double(), plain, rtol=1e-5, atol=1e-5)
    weights = torch.linspace(0.1, 1.0, n_rows)
    (gradient,) = torch.autograd.grad((losses * weights).sum(), hidden)
    (expected,) = torch.autograd.grad((plain * weights).sum(), hidden)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)
