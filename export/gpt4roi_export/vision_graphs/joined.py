"""The region head's four convolutions as one over the channels of all levels: a sum of convolutions is one of them.

What is added up before the activation are four results of one shape, so their weights may stand side by side and their
biases be summed; an engine then reads and writes the features once.
"""

import onnx
from onnx import helper

HEAD_CONVS = "region_head.level_convs."
JOINED, BIAS = f"{HEAD_CONVS}weight", f"{HEAD_CONVS}bias"


def join_level_convolutions(model: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Rewrite the graph; ``JOINED`` and ``BIAS`` become inputs in the place of the levels' weights and biases.

    Args:
        model: Of the regions, whose weights are inputs. Changed in place.

    Returns:
        What the two are made of, in the order of the levels' channels.
    """
    graph = model.graph
    convs = [node for node in graph.node if node.op_type == "Conv" and node.input[1].startswith(HEAD_CONVS)]
    chain = _sum_of({conv.output[0] for conv in convs}, graph)
    weights, biases = (tuple(conv.input[place] for conv in convs) for place in (1, 2))
    values = {value.name: value for value in graph.input}
    shapes = [[dim.dim_value for dim in values[name].type.tensor_type.shape.dim] for name in weights]
    of_all_levels = [shapes[0][0], sum(shape[1] for shape in shapes), *shapes[0][2:]]
    joined = (
        helper.make_tensor_value_info(JOINED, onnx.TensorProto.FLOAT, of_all_levels),
        helper.make_tensor_value_info(BIAS, onnx.TensorProto.FLOAT, of_all_levels[:1]),
    )
    conv = onnx.NodeProto()
    conv.CopyFrom(convs[0])
    rois, output = f"{HEAD_CONVS}rois", chain[-1].output[0]
    del conv.input[:], conv.output[:]
    conv.input.extend([rois, JOINED, BIAS])
    conv.output.append(output)
    made = [helper.make_node("Concat", [node.input[0] for node in convs], [rois], axis=1), conv]
    gone = [*convs, *chain]
    at = next(index for index, node in enumerate(graph.node) if node == chain[-1])
    nodes = [node for node in graph.node[:at] if node not in gone]
    nodes += [*made, *graph.node[at + 1 :]]
    kept = _needed(nodes, {value.name for value in graph.output})
    del graph.node[:]
    graph.node.extend(kept)
    others = [value for value in graph.input if value.name not in (*weights, *biases)]
    del graph.input[:]
    graph.input.extend([*others, *joined])
    used = {name for node in kept for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    return {JOINED: weights, BIAS: biases}


def _sum_of(outputs: set[str], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The additions that sum these outputs up, and nothing else but zeros, in their order."""
    chain: list[onnx.NodeProto] = []
    reached = set(outputs)
    for node in graph.node:
        if node.op_type == "Add" and reached.intersection(node.input):
            chain.append(node)
            reached.update(node.output)
    return chain


def _needed(nodes: list[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    """Without those whose results nobody reads."""
    wanted = set(outputs)
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]
