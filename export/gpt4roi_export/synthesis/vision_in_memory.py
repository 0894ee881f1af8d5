"""GPT4RoI's vision half with random numbers, each tensor made when it is asked for; nothing is written."""

import zlib

import numpy as np

from gpt4roi_export.checkpoint import checkpoint_name
from gpt4roi_export.modules.gpt4roi import VisionSizes
from gpt4roi_export.tensors import Array, TensorFacts
from gpt4roi_export.vision_graphs.parameters import known_shapes


class RandomTensors:
    """The same numbers every time, of a size that keeps every stage near 1, in float16 as the released files have them.

    Args:
        sizes: Of the whole vision side.
        clip: Whether CLIP's tensors, or those of GPT4RoI.

    Attributes:
        facts: Shape and dtype by the released name.
    """

    def __init__(self, sizes: VisionSizes, *, clip: bool) -> None:
        shapes = {_name(name): shape for name, shape in known_shapes(sizes).items() if name.startswith("vit.") == clip}
        self.facts = {name: TensorFacts(shape, "float16") for name, shape in shapes.items()}

    def read(self, name: str) -> Array:
        """One tensor, float16."""
        shape = self.facts[name].shape
        values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)
        if len(shape) > 1:
            values *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
        elif name.endswith("bias"):
            values *= np.float32(0.1)
        else:
            values *= np.float32(0.1)
            values += np.float32(1)
        return values.astype(np.float16)


def _name(ours: str) -> str:
    if ours.startswith("vit."):
        return "vision_model." + ours.removeprefix("vit.model.")
    return ("" if ours.startswith("projector.") else "model.spi_module.") + checkpoint_name(ours)
