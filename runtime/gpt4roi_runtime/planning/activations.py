"""How many bytes a graph's values take at its fullest moment, estimated from shapes; knows no weights' values.

A value is alive from the operator that writes it to the last that reads it; what the caller gives is the caller's.
Values whose shape nobody knows count as nothing, so the estimate is a lower bound, and says how much of the graph it
saw.
"""

import math
from dataclasses import dataclass

from gpt4roi_runtime.planning.graph_file import GraphFile
from gpt4roi_runtime.planning.shapes import carried_shapes

_FLOAT_BYTES = 4
_MOST = 0.9


@dataclass(frozen=True)
class Fullest:
    """A graph's fullest moment.

    Attributes:
        size_bytes: Bytes of all values alive in it, every number as float32.
        n_known: Operators whose results' shapes are known.
        n_operators: All operators.
    """

    size_bytes: int
    n_known: int
    n_operators: int

    @property
    def complete(self) -> bool:
        """Whether next to nothing was left out."""
        return self.n_known >= _MOST * self.n_operators


def fullest_moment(graph: GraphFile, n_regions: int) -> Fullest:
    """Walk a graph in order and find where most is alive; an axis of any length counts as ``n_regions``."""
    shapes = carried_shapes(graph, n_regions)
    fixed = _fixed(graph)
    last_use = {name: index for index, operator in enumerate(graph.operators) for name in operator.inputs}
    last_use |= dict.fromkeys(graph.outputs, len(graph.operators))
    alive: dict[str, int] = {}
    most = now = 0
    n_known = 0
    for index, operator in enumerate(graph.operators):
        for name in set(operator.outputs) - fixed:
            alive[name] = _bytes_of(shapes.get(name))
            now += alive[name]
        n_known += all(name in shapes or name in fixed for name in operator.outputs)
        most = max(most, now)
        for name in {*operator.inputs, *operator.outputs}:
            if name in alive and last_use.get(name, index) <= index:
                now -= alive.pop(name)
    return Fullest(most, n_known, len(graph.operators))


def _fixed(graph: GraphFile) -> frozenset[str]:
    """Weights, and what follows from weights alone: an engine computes that once, while it loads."""
    fixed = {"", *graph.weights}
    for operator in graph.operators:
        if fixed.issuperset(operator.inputs):
            fixed.update(operator.outputs)
    return frozenset(fixed)


def _bytes_of(shape: tuple[int, ...] | None) -> int:
    return 0 if shape is None else math.prod(shape) * _FLOAT_BYTES
