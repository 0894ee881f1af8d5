"""Where the rows of a step's sequences lie: one after another without padding; padded only inside attention.

Does not know what the rows are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """A step's sequences, longest ones padded to.

    Attributes:
        positions: Of every packed row in its sequence.
        padded: ``[b s]`` index of a packed row for every place of the padded batch; any row where there is none.
        places: Index into the flattened padded batch for every packed row.
        real: ``[b s]`` False for padding.
        hidden: ``[s s]`` True where a row must not look: ahead. Padding stands behind, so it is never seen.
    """

    positions: Int[Tensor, " n"]
    padded: Int[Tensor, "b s"]
    places: Int[Tensor, " n"]
    real: Bool[Tensor, "b s"]
    hidden: Bool[Tensor, "s s"]

    def pad(self, rows: Float[Tensor, "n ..."]) -> Float[Tensor, "b s ..."]:
        """Packed rows as a padded batch; padding holds copies of other rows."""
        return rows.index_select(0, self.padded.flatten()).reshape(*self.padded.shape, *rows.shape[1:])

    def unpad(self, batch: Float[Tensor, "b s ..."]) -> Float[Tensor, "n ..."]:
        """Back to packed rows."""
        return batch.flatten(0, 1).index_select(0, self.places)


def pack(lengths: Sequence[int], device: torch.device) -> Packing:
    """Lay out sequences of these lengths, one after another."""
    of = torch.tensor(lengths)
    column = torch.arange(int(of.max()))
    real = column < of[:, None]
    starts = of.cumsum(0) - of
    return Packing(
        positions=torch.cat([torch.arange(length) for length in lengths]).to(device),
        padded=torch.where(real, starts[:, None] + column, 0).to(device),
        places=real.flatten().nonzero()[:, 0].to(device),
        real=real.to(device),
        hidden=(column[None] > column[:, None]).to(device),
    )
