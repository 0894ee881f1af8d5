"""Whether a checkpoint holds the tensors that its sizes ask for, and nothing that would be left behind unseen.

Knows names, shapes and dtypes, but no numbers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gpt4roi_export.released.sizes import Shapes
from gpt4roi_export.tensors import TensorFacts
from gpt4roi_runtime.errors import BundleError

_DTYPES = frozenset({"float16", "bfloat16", "float32", "float64"})
_SHOWN = 3


def check_holds(facts: Mapping[str, TensorFacts], shapes: Shapes, source: Path) -> None:
    """Compare a checkpoint with what its sizes ask for.

    Args:
        facts: Of the checkpoint, buffers that nobody needs left out.
        shapes: What has to be there.
        source: The folder, for errors.

    Raises:
        BundleError: A tensor is missing, has another shape, holds no floating point numbers, or has no place here.
    """
    absent = [name for name in shapes if name not in facts]
    if absent:
        raise BundleError(
            f"{source} lacks {_some(absent)}",
            "Expected every layer that config.json counts; finish the download, or fetch the checkpoint again.",
        )
    for name, shape in shapes.items():
        if facts[name].shape != shape:
            raise BundleError(
                f"{source}: {name} is {_shape(facts[name].shape)}, expected {_shape(shape)}",
                "The sizes in config.json and the tensors do not belong together; take both from one release.",
            )
        if facts[name].dtype not in _DTYPES:
            raise BundleError(
                f"{source}: {name} is {facts[name].dtype}, expected one of {', '.join(sorted(_DTYPES))}",
                "Take the checkpoint as it was released; a quantised one cannot be imported.",
            )
    foreign = [name for name in facts if name not in shapes]
    if foreign:
        raise BundleError(
            f"{source} holds {_some(foreign)}, which the model has no place for",
            "Expected a plain LLaMA with GPT4RoI's region module, not quantised and without adapters.",
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"
