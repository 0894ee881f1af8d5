"""What every vision engine's graph is held against: its files before it is loaded, its names, and what it returns.

Knows no engine; the words of the errors say which one was at work.
"""

import os.path
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.backends.onnx_external_data import external_locations
from gpt4roi_runtime.errors import BundleError, EngineError, NumericError
from gpt4roi_runtime.vision.contract import BOXES, GraphContract, TensorContract

AGAIN = "Export or assemble the bundle again; `gpt4roi verify` lists all that is off."

Arrays = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class FoundTensor:
    """An input or output as an engine describes it.

    Attributes:
        name: Its name.
        dtype: In the engine's own words.
        is_float32: What these words mean.
        shape: Names or any other words for free axes.
        inferred: The shape was worked out, not declared: a free axis may turn out to be as promised when it runs.
    """

    name: str
    dtype: str
    is_float32: bool
    shape: tuple[int | str, ...]
    inferred: bool = False

    def keeps(self, promised: TensorContract) -> bool:
        """Whether it is what the manifest says, as far as that can be told before it runs."""
        if (self.name, self.is_float32, len(self.shape)) != (promised.name, True, len(promised.shape)):
            return False
        return all(
            size == wanted if isinstance(size, int) else wanted is None or self.inferred
            for size, wanted in zip(self.shape, promised.shape, strict=True)
        )


def check_external_weights(path: Path, allowed: Collection[Path]) -> None:
    """An engine reads them relative to the graph's own folder; every one must be a file whose hash was checked.

    Raises:
        BundleError: It is no ONNX graph, or reads a file that is not allowed.
    """
    for location in sorted(external_locations(path)):
        if Path(location).is_absolute() or Path(os.path.normpath(path.parent / location)) not in allowed:
            raise BundleError(f"{path} reads weights from {location!r}, a file the manifest does not name", AGAIN)


def check_tensors(path: Path, role: str, promised: Sequence[TensorContract], found: Sequence[FoundTensor]) -> None:
    """Names, order, dtypes and every fixed axis.

    Raises:
        BundleError: One differs from the contract, or there are more or fewer.
    """
    for contract, tensor in zip(promised, found, strict=False):
        if not tensor.keeps(contract):
            raise BundleError(
                f"{path}: {role} {tensor.name} is {tensor.dtype} {list(tensor.shape)}; the manifest says {contract}",
                AGAIN,
            )
    if len(promised) != len(found):
        names = ", ".join(tensor.name for tensor in found)
        raise BundleError(f"{path} has {len(found)} {role}s ({names}); the manifest says {len(promised)}", AGAIN)


def check_outputs(contract: GraphContract, feeds: Arrays, outputs: Sequence[npt.NDArray[np.float32]]) -> None:
    """What came out of a run.

    Raises:
        EngineError: An output has another shape than promised.
        NumericError: An output holds NaN or infinity.
    """
    for promised, values in zip(contract.outputs, outputs, strict=True):
        expected = tuple(len(feeds[BOXES]) if size is None else size for size in promised.shape)
        if values.shape != expected:
            raise EngineError(f"the graph returned {promised.name} of shape {values.shape}, not {expected}", AGAIN)
        if not np.isfinite(values).all():
            raise NumericError(
                f"the vision half returned NaN or infinity in {promised.name}",
                "The graph or its engine is broken: run `gpt4roi verify`, or try another engine.",
            )
