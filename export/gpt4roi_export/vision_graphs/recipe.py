"""A graph together with what each of its weights is made from; and the passes' common ground.

Knows no checkpoint and no numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import onnx

Part = Literal["values", "int8", "scales", "winograd"]
"""Of a parameter: its numbers; its numbers in 8 bits; what each output channel's 8-bit numbers are multiplied by; the
matrices of ``winograd.transformed``."""


@dataclass(frozen=True)
class Stored:
    """One array of the weights' file; its dtype and shape are those of the graph's input of that name.

    Attributes:
        name: In the graph.
        parameter: In our modules.
        part: What of the parameter.
        turned: Whether its two axes are exchanged.
        beside: Parameters whose input channels come behind its own, or, of a bias, that are added to it.
    """

    name: str
    parameter: str
    part: Part = "values"
    turned: bool = False
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A valid graph whose weights are further inputs.

    Attributes:
        model: The graph.
        inputs: Names of the inputs that stay inputs.
        stored: What the others are made from, parts of one parameter side by side.
    """

    model: onnx.ModelProto
    inputs: tuple[str, ...]
    stored: tuple[Stored, ...]

    def copy_of_model(self) -> onnx.ModelProto:
        """For a pass to change."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        return model


def nodes_with_places(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.NodeProto]]:
    """Every convolution and every product with a weight, as ``parameter#n``: its n-th use, in the order of the graph.

    The torch modules run in the same order, so a number observed there finds its node here.
    """
    weights = {value.name for value in model.graph.input}
    n_uses: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in ("Conv", "MatMul") and node.input[1] in weights:
            parameter = node.input[1]
            yield place(parameter, n_uses.get(parameter, 0)), node
            n_uses[parameter] = n_uses.get(parameter, 0) + 1


def place(parameter: str, use: int) -> str:
    """Name of one use of a weight; the first is number 0."""
    return f"{parameter}#{use}"
