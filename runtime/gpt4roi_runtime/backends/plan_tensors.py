"""How the inputs and outputs of a plan lie in memory, to and from float32 as the bundle's contract has them."""

from math import prod

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.bundle.plans import PlanRecord, PlanTensor
from gpt4roi_runtime.errors import PlanError
from gpt4roi_runtime.vision.contract import BOXES, GraphContract

_CHANNEL_STEP = 8
"""Channels last are rounded up to a multiple of it."""

Float32 = npt.NDArray[np.float32]
Stored = npt.NDArray[np.floating]


def stored_shape(tensor: PlanTensor, n_regions: int = 1) -> tuple[int, ...]:
    """Axes in the order in which they lie in memory, padding included."""
    shape = contract_shape(tensor, n_regions)
    if tensor.layout == "linear":
        return shape
    n, channels, height, width = shape
    return (n, height, width, -(-channels // _CHANNEL_STEP) * _CHANNEL_STEP)


def stored_bytes(tensor: PlanTensor, n_regions: int = 1) -> int:
    """Bytes of it."""
    return prod(stored_shape(tensor, n_regions)) * np.dtype(tensor.dtype).itemsize


def contract_shape(tensor: PlanTensor, n_regions: int = 1) -> tuple[int, ...]:
    """Axes in the order in which the contract names them."""
    return tuple(n_regions if size is None else size for size in tensor.shape)


def store(tensor: PlanTensor, values: Float32, place: Stored) -> None:
    """Write float32 values of the contract's shape into memory of the stored one; padding is left alone."""
    with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinity, which is refused where it comes out
        if tensor.layout == "linear":
            place[...] = values
        else:
            place[..., : values.shape[1]] = values.transpose(0, 2, 3, 1)


def load(tensor: PlanTensor, place: Stored) -> Float32:
    """A float32 copy in the contract's shape."""
    if tensor.layout == "linear":
        return place.astype(np.float32)
    channels = tensor.shape[1]
    return np.ascontiguousarray(place[..., :channels].transpose(0, 3, 1, 2), dtype=np.float32)


def check_record(record: PlanRecord, contract: GraphContract, loaded: tuple[str, ...]) -> None:
    """Hold a plan against what its bundle promises.

    Args:
        record: Of the plan.
        contract: Of the graph.
        loaded: Names of the inputs and outputs that the plan really has.

    Raises:
        PlanError: Another name, shape, or type of the boxes.
    """
    for role, promised, found in (
        ("input", contract.inputs, record.inputs),
        ("output", contract.outputs, record.outputs),
    ):
        wanted = {tensor.name: tensor.shape for tensor in promised}
        has = {tensor.name: tensor.shape for tensor in found}
        if wanted != has:
            raise PlanError(f"the plan {record.key.name} has {role}s {has}; the manifest says {wanted}", _AGAIN)
    names = {tensor.name for tensor in (*record.inputs, *record.outputs)}
    if names != set(loaded):
        raise PlanError(
            f"the plan {record.key.name} holds {', '.join(sorted(loaded))}; its record says {', '.join(sorted(names))}",
            _AGAIN,
        )
    if any(tensor.name == BOXES and tensor.dtype != "float32" for tensor in record.inputs):
        raise PlanError(f"the plan {record.key.name} rounds its boxes to float16", _AGAIN)


_AGAIN = "Build it again: gpt4roi-export engines --force."
