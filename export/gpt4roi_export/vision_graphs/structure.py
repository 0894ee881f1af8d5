"""The two graphs without a single weight: traced from modules that have shapes and no numbers.

Knows no checkpoint, and not in what precision the weights will be stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import onnx
import onnx_ir
import torch
from onnx import helper
from onnxscript import optimizer
from torch._subclasses.fake_tensor import FakeTensorMode

from gpt4roi_export.graphs import PYRAMID, strip, traced
from gpt4roi_export.modules.gpt4roi import EncodeGraph, RegionsGraph, VisionSizes
from gpt4roi_export.modules.pyramid import N_LEVELS
from gpt4roi_export.onnx_files import check_graph, rename_values
from gpt4roi_export.vision_graphs.joined import join_level_convolutions
from gpt4roi_export.vision_graphs.recipe import Recipe, Stored
from gpt4roi_runtime.bundle.manifest import MAX_REGIONS
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.vision.contract import BOXES, IMAGE_EMBEDDINGS, PIXELS, REGION_EMBEDDINGS

_POSITIONS = "vit.model.embeddings.position_ids"
_LINEAR = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}


@dataclass(frozen=True)
class Structure:
    """A valid float32 graph whose weights are further inputs, by their parameters' names.

    Attributes:
        model: The graph.
        inputs: Names of the inputs that stay inputs.
        turned: Weights that the graph wants transposed.
        joined: Weights that are several parameters side by side, in the order of their input channels, and biases that
            are the sum of several.
    """

    model: onnx.ModelProto
    inputs: tuple[str, ...]
    turned: frozenset[str]
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the weights, in the order of their use."""
        return tuple(value.name for value in self.model.graph.input if value.name not in self.inputs)


# Tracing takes seconds and gives the same each time; whoever changes a graph changes a copy.
@lru_cache(maxsize=4)
def encode_structure(sizes: VisionSizes) -> Structure:
    """``pixels`` -> ``image_embeddings``, ``pyramid_0`` .. ``pyramid_3``."""
    with FakeTensorMode():
        pixels = torch.zeros(1, 3, sizes.side_px, sizes.side_px)
        program = traced(EncodeGraph(sizes), {PIXELS: pixels}, (IMAGE_EMBEDDINGS, *PYRAMID), dynamic={})
    return _structure("encode", program.model, (PIXELS,))


@lru_cache(maxsize=4)
def regions_structure(sizes: VisionSizes) -> Structure:
    """``pyramid_0`` .. ``pyramid_3``, ``boxes`` -> ``region_embeddings``; the RoIAligns give ``roi_0`` .. ``roi_3``."""
    grid = sizes.side_px // sizes.patch_px
    with FakeTensorMode():
        sides = [grid * 2 ** (N_LEVELS - 1 - level) for level in range(N_LEVELS)]
        inputs = {name: torch.zeros(1, sizes.width, side, side) for name, side in zip(PYRAMID, sides, strict=True)}
        inputs[BOXES] = torch.zeros(3, 4)  # with one box, the exporter would take the count for a constant
        n_regions = torch.export.Dim("n_regions", min=1, max=MAX_REGIONS)
        program = traced(RegionsGraph(sizes), inputs, (REGION_EMBEDDINGS,), {BOXES: {0: n_regions}})
    structure = _structure("regions", program.model, (*PYRAMID, BOXES))
    aligned = [node.output[0] for node in structure.model.graph.node if node.op_type == "RoiAlign"]
    rename_values(structure.model, {name: f"roi_{level}" for level, name in enumerate(aligned)})
    joined = join_level_convolutions(structure.model)
    _in_order_of_use(structure.model, structure.inputs)
    check_graph(structure.model)
    return replace(structure, joined=joined)


def recipe_of(structure: Structure) -> Recipe:
    """Every weight as it is, in float32."""

    def stored(name: str) -> Stored:
        parameter, *beside = structure.joined.get(name, (name,))
        return Stored(name, parameter, turned=name in structure.turned, beside=tuple(beside))

    return Recipe(structure.model, structure.inputs, tuple(map(stored, structure.weights)))


def _structure(name: str, model: onnx_ir.Model, inputs: tuple[str, ...]) -> Structure:
    _weights_to_inputs(model)
    # Folds the arithmetic on shapes; what depends on a weight stays, because weights are inputs here.
    optimizer.optimize(model)
    proto = onnx_ir.to_proto(model)
    strip(proto, name)
    _gemms_to_products(proto)
    turned = _turn_weights(proto, inputs)
    _in_order_of_use(proto, inputs)
    check_graph(proto)
    return Structure(proto, inputs, turned)


def _weights_to_inputs(model: onnx_ir.Model) -> None:
    for name, value in list(model.graph.initializers.items()):
        if name == _POSITIONS and value.shape is not None:  # a buffer, the only one: 0, 1, 2, ...
            positions = np.arange(*value.shape.numpy()[1:], dtype=np.int64)[None]
            value.const_value = onnx_ir.tensor(positions, name=name)
        elif value.dtype == onnx_ir.DataType.FLOAT:
            del model.graph.initializers[name]
            value.const_value = None
            model.graph.inputs.append(value)
        else:
            raise BundleError(
                f"the exporter made a constant {name!r} of type {value.dtype}",
                "Use the versions of torch and transformers that constraints.txt names.",
            )


def _gemms_to_products(model: onnx.ModelProto) -> None:
    """A layer as product and sum, as the exporter writes most; only a product's 8-bit weight stays one in an engine."""
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "Gemm" or {part.name: part.f or part.i for part in node.attribute} != _LINEAR:
            nodes.append(node)
            continue
        (read, weight, bias), (output,) = node.input, node.output
        nodes += [
            helper.make_node("Transpose", [weight], [f"{output}_weight"], perm=[1, 0]),
            helper.make_node("MatMul", [read, f"{output}_weight"], [f"{output}_product"]),
            helper.make_node("Add", [f"{output}_product", bias], [output]),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _turn_weights(model: onnx.ModelProto, inputs: tuple[str, ...]) -> frozenset[str]:
    """Have weights stored transposed where that is the only way they are used; engines would keep both otherwise."""
    weights = {value.name: value for value in model.graph.input if value.name not in inputs}
    n_uses = dict.fromkeys(weights, 0)
    for node in model.graph.node:
        for value in node.input:
            if value in n_uses:
                n_uses[value] += 1
    turns = [
        node
        for node in model.graph.node
        if node.op_type == "Transpose" and n_uses.get(node.input[0]) == 1 and list(node.attribute[0].ints) == [1, 0]
    ]
    for node in turns:
        dims = weights[node.input[0]].type.tensor_type.shape.dim
        dims[0].dim_value, dims[1].dim_value = dims[1].dim_value, dims[0].dim_value
        model.graph.node.remove(node)
    rename_values(model, {node.output[0]: node.input[0] for node in turns})
    return frozenset(node.input[0] for node in turns)


def _in_order_of_use(model: onnx.ModelProto, inputs: tuple[str, ...]) -> None:
    """Inputs first, then the weights as the graph meets them; one that it never meets goes."""
    values = {value.name: value for value in model.graph.input}
    used = dict.fromkeys(value for node in model.graph.node for value in node.input if value in values)
    kept = [values[name] for name in (*inputs, *(name for name in used if name not in inputs))]
    del model.graph.input[:]
    model.graph.input.extend(kept)
