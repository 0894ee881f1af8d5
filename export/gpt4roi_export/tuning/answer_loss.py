"""Cross-entropy of the answers' tokens, computed without keeping the scores of the whole vocabulary.

Does not know where the hidden rows come from.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

_CHUNK_ROWS = 256


class _AnswerLoss(torch.autograd.Function):
    """The gradient is made at once with the loss, while a chunk's scores are at hand; the output matrix is frozen."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), _CHUNK_ROWS):
            chunk = slice(start, start + _CHUNK_ROWS)
            scores = (hidden[chunk] @ head.t()).float()
            right = targets[chunk, None]
            normaliser = scores.logsumexp(dim=1, keepdim=True)
            losses[chunk] = (normaliser - scores.gather(1, right))[:, 0]
            shares = scores.sub_(normaliser).exp_()
            shares.scatter_add_(1, right, torch.full_like(normaliser, -1.0))
            gradient[chunk] = shares.to(head.dtype) @ head
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    def backward(ctx: Any, of_losses: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * of_losses[:, None]).to(gradient.dtype), None, None


def answer_losses(
    hidden: Float[Tensor, "m d"], head: Float[Tensor, "v d"], targets: Int[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """Minus the log-probability of every target.

    Args:
        hidden: The row before each target.
        head: The frozen output matrix.
        targets: Tokens.
    """
    losses: Tensor = _AnswerLoss.apply(hidden, head, targets)  # type: ignore[no-untyped-call]
    return losses
