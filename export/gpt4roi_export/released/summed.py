"""A base and a delta as one source: added up when read, one tensor in memory. Does not know whether they are a pair.

The sum is that of the authors' script: both in float16, added once, rounded to float16. (Two halves added in any wider
format and rounded once give the same.)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gpt4roi_export.tensors import Array, TensorFacts, Tensors


@dataclass(frozen=True)
class Summed:
    """What a delta becomes when its base is added.

    Attributes:
        base: Tensors to add; a table of the vocabulary may have fewer rows than the delta's.
        delta: Every tensor of the sum; those that the base lacks are taken as they are.
    """

    base: Tensors
    delta: Tensors

    @property
    def facts(self) -> Mapping[str, TensorFacts]:
        """Shapes of the delta; float16 wherever something was added."""
        in_base = self.base.facts.keys()
        return {
            name: TensorFacts(fact.shape, "float16") if name in in_base else fact
            for name, fact in self.delta.facts.items()
        }

    def read(self, name: str) -> Array:
        """One sum; the base goes to the first rows where the delta has more."""
        if name not in self.base.facts:
            return self.delta.read(name)
        total = np.array(self.delta.read(name), dtype=np.float16)
        base = self.base.read(name).astype(np.float16, copy=False)
        with np.errstate(over="ignore"):  # whoever uses the numbers checks that they are finite
            total[: len(base)] += base
        return total
