"""Keeps OpenVINO from rounding parts that were joined before they are joined; knows no graph of ours.

OpenVINO 2026.4 pulls the rounding of a Concat's result up to its parts, and then gives other numbers: a third off, in a
graph of one Concat, one pair of Quantize- and DequantizeLinear and one convolution. It stops where an operation stands
between the two that it cannot pull through; the larger of a number and the least float32 is one, changes no number, and
costs nothing, because it becomes part of the rounding.
"""

from typing import Any

import numpy as np

_ROUNDING, _JOINING = "FakeQuantize", "Concat"
_MOVES = frozenset({"Clamp", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""What it pulls a rounding through on the way up."""


def keep_joined(openvino: Any, model: Any) -> int:
    """Change the model where that is needed; how many places there were."""
    places = [node.input(0) for node in model.get_ordered_ops() if _rounds_joined(node)]
    least = np.float32(np.finfo(np.float32).min)
    for place in places:
        operators = openvino.opset13
        guarded = operators.maximum(place.get_source_output(), operators.constant(least))
        place.replace_source_output(guarded.output(0))
    return len(places)


def _rounds_joined(node: Any) -> bool:
    if node.get_type_name() != _ROUNDING:
        return False
    above = node.input(0).get_source_output().get_node()
    while above.get_type_name() in _MOVES:
        above = above.input(0).get_source_output().get_node()
    return bool(above.get_type_name() == _JOINING)
