"""ONNX graphs as values: weights taken out and put back by name, bytes that are always the same.

Does not know torch, so a graph can be assembled where torch is not installed, nor what a graph computes.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from gpt4roi_runtime.errors import BundleError

Weights = Mapping[str, NDArray[np.generic]]
"""Arrays by the name that the graph gives them."""


def check_graph(model: onnx.ModelProto) -> None:
    """Check the graph against ONNX's own rules, shapes included.

    Raises:
        BundleError: The graph breaks them.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as refused:
        raise BundleError(
            f"graph {model.graph.name!r} is not valid ONNX: {refused}", "Make the skeletons again."
        ) from refused


def graph_bytes(model: onnx.ModelProto) -> bytes:
    """The file's content, the same for the same graph."""
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def rename_values(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Give values between nodes other names, everywhere they are used."""
    for node in model.graph.node:
        for values in (node.input, node.output):
            for index, value in enumerate(values):
                values[index] = names.get(value, value)


def take_out_weights(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """A skeleton: the same graph, whose weights have become inputs of the same name, dtype and shape.

    Args:
        model: A complete graph.
        names: The initializers to take out; others are part of the structure and stay.

    Returns:
        A new, valid and small graph.

    Raises:
        BundleError: The graph has no initializer of one of the names.
    """
    skeleton = onnx.ModelProto()
    skeleton.CopyFrom(model)
    taken = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name in names}
    missing = sorted(set(names) - set(taken))
    if missing:
        raise BundleError(
            f"graph {model.graph.name!r} has no weight {missing[0]!r} ({len(missing)} missing)",
            "The exporter folded or renamed it; export without optimising it away.",
        )
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in taken]
    del skeleton.graph.initializer[:]
    skeleton.graph.initializer.extend(kept)
    skeleton.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims))
        for name, tensor in sorted(taken.items())
    )
    check_graph(skeleton)
    return skeleton


def put_in_weights(skeleton: onnx.ModelProto, inputs: Collection[str], weights: Weights) -> onnx.ModelProto:
    """The complete graph of a skeleton: every input that is not in ``inputs`` becomes a weight.

    Args:
        skeleton: As ``take_out_weights`` made it.
        inputs: Names of the inputs that stay inputs.
        weights: The arrays; ones that the graph does not ask for are left out.

    Returns:
        A new, valid graph.

    Raises:
        BundleError: A weight is missing, or has another shape or dtype than the graph wants.
    """
    model = onnx.ModelProto()
    model.CopyFrom(skeleton)
    places = [value for value in skeleton.graph.input if value.name not in inputs]
    real_inputs = [value for value in skeleton.graph.input if value.name in inputs]
    del model.graph.input[:]
    model.graph.input.extend(real_inputs)
    model.graph.initializer.extend(_weight(place, weights) for place in places)
    check_graph(model)
    return model


_DTYPES: Mapping[int, np.dtype[np.generic]] = {
    onnx.TensorProto.FLOAT: np.dtype("<f4"),
    onnx.TensorProto.FLOAT16: np.dtype("<f2"),
}
"""Little-endian on every machine: that is the order of ONNX's raw data."""


def _weight(place: onnx.ValueInfoProto, weights: Weights) -> onnx.TensorProto:
    tensor_type = place.type.tensor_type
    wanted = tuple(dim.dim_value for dim in tensor_type.shape.dim)
    dtype = _DTYPES[tensor_type.elem_type]
    array = weights.get(place.name)
    if array is None or array.dtype != dtype or array.shape != wanted:
        found = "nothing" if array is None else f"{array.dtype} {array.shape}"
        raise BundleError(
            f"weight {place.name!r}: found {found}, the graph wants {dtype} {wanted}",
            "The weights are not those that the skeleton was made for.",
        )
    raw = np.ascontiguousarray(array, dtype=dtype).tobytes()
    return onnx.helper.make_tensor(place.name, tensor_type.elem_type, wanted, raw, raw=True)
