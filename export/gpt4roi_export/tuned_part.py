"""What tuning leaves and a bundle is made of: two files in a folder, and a card for people.

Knows neither torch nor what the tensors mean. The part that came with this package makes the embedded model; a folder
that ``gpt4roi-export tune`` wrote makes another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from gpt4roi_runtime.errors import BundleError

PACKAGED = Path(__file__).with_name("embedded_model")
ADAPTER, VISION = "adapter.safetensors", "vision.safetensors"
_CARD = ("model_card.md", "model_card_wrong.jpg")
_MAX_BYTES = 1 << 30
_TUNE_AGAIN = "Name a folder that gpt4roi-export tune wrote."


@dataclass(frozen=True)
class TunedPart:
    """The files of a tuned model.

    Attributes:
        adapter: The language model's low-rank additions.
        vision: The region module.
        card: The model card and its picture, where somebody wrote one.
    """

    adapter: Path
    vision: Path
    card: tuple[Path, ...] = ()

    @classmethod
    def of(cls, folder: Path) -> "TunedPart":
        """Those of a folder.

        Raises:
            BundleError: One is not there.
        """
        card = tuple(folder / name for name in _CARD if (folder / name).is_file())
        part = cls(folder / ADAPTER, folder / VISION, card)
        for path in (part.adapter, part.vision):
            if not path.is_file():
                raise BundleError(f"{folder} holds no {path.name}", _TUNE_AGAIN)
        return part

    def vision_weights(self) -> Mapping[str, NDArray[np.float32]]:
        """The region module's tensors by the names of ``modules.tuned``, as the graphs want them.

        Raises:
            BundleError: The file is damaged, or holds something that is no finite number.
        """
        try:
            if self.vision.stat().st_size > _MAX_BYTES:
                raise BundleError(f"{self.vision} is larger than {_MAX_BYTES} bytes", _TUNE_AGAIN)
            arrays = load(self.vision.read_bytes())
        except (OSError, SafetensorError, ValueError, KeyError) as refused:
            raise BundleError(f"{self.vision} cannot be read: {refused}", _TUNE_AGAIN) from refused
        for name, array in arrays.items():
            if array.dtype not in (np.float16, np.float32) or not np.isfinite(array).all():
                raise BundleError(f"{name} in {self.vision} is not made of finite floats", _TUNE_AGAIN)
        return {name: array.astype(np.float32) for name, array in arrays.items()}
