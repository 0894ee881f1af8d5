"""Where tuning starts: the vision side in closed form, or with an earlier run's numbers.

Does not know recipes, data or losses.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gpt4roi_export.adapter import read_adapter
from gpt4roi_export.efficientnet_lite import Arrays
from gpt4roi_export.modules.tuned import TunedVision
from gpt4roi_export.scene import COLORS
from gpt4roi_export.tuned import TunedSizes, encoder_weights, word_tables
from gpt4roi_export.tuned_part import ADAPTER, VISION, TunedPart
from gpt4roi_export.tuning.imagined import Vocabulary
from gpt4roi_export.tuning.lora import LoraMatrices
from gpt4roi_export.vocabulary import read_vocabulary
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.llm.decoder import Decoder

_FETCH_AGAIN = "Fetch the weights again."
_ANOTHER_RUN = "Begin with a run of the same sizes."


def starting_vision(state: Arrays, language: Decoder, *, seed: int = 0) -> tuple[TunedVision, Vocabulary]:
    """The vision side as it is before the first step, and the names it tells.

    Args:
        state: EfficientNet-Lite2 as released.
        language: The language model that will read the rows.
        seed: Of what starts at random.

    Raises:
        BundleError: An array of the encoder is missing.
    """
    vocabulary = read_vocabulary()
    sizes = TunedSizes(len(vocabulary.names), len(COLORS), embedding_length=language.info.embedding_length)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        vision = TunedVision(sizes)
    tables = word_tables(vocabulary, language, sizes.n_name_rows)
    missing = _put_in(vision, {**encoder_weights(state), **tables}, _FETCH_AGAIN)
    known = tuple(name for name in missing if name.startswith(("encoder.", "reader.name.closed_form.")))
    if known:
        raise BundleError(f"the encoder lacks {known[0]!r}", _FETCH_AGAIN)
    return vision, Vocabulary.of(vocabulary.names, vocabulary.kinds)


def put_in_earlier_run(folder: Path, vision: TunedVision, lora: LoraMatrices | None) -> None:
    """Put the numbers that an earlier run left into models of the same sizes.

    Args:
        folder: It must hold the vision tensors; the adapter may be missing.
        vision: To be filled.
        lora: To be filled, if there is an adapter.

    Raises:
        BundleError: The files are damaged, or of other sizes.
    """
    _put_in(vision, TunedPart(folder / ADAPTER, folder / VISION).vision_weights(), _ANOTHER_RUN)
    if lora is None or not (folder / ADAPTER).is_file():
        return
    adapter = read_adapter(folder / ADAPTER)
    if adapter.scale != lora.scale:
        raise BundleError(f"{folder / ADAPTER} has scale {adapter.scale}, the recipe {lora.scale}", _ANOTHER_RUN)
    factors = {f"{name}.lora_a": pair.a for name, pair in adapter.pairs.items()}
    factors |= {f"{name}.lora_b": pair.b for name, pair in adapter.pairs.items()}
    for name, parameter in lora.named().items():
        if name not in factors or factors[name].shape != tuple(parameter.shape):
            raise BundleError(f"{folder / ADAPTER} has no {name!r} of shape {tuple(parameter.shape)}", _ANOTHER_RUN)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(factors[name].astype(np.float32)))


def _put_in(vision: TunedVision, weights: Mapping[str, NDArray[np.generic]], advice: str) -> list[str]:
    """Fill what ``weights`` names; returns what it does not."""
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    try:
        missing, unexpected = vision.load_state_dict(tensors, strict=False)
    except RuntimeError as unfit:
        raise BundleError(f"weights do not fit the region module: {unfit}", advice) from unfit
    if unexpected:
        raise BundleError(f"the region module has no {unexpected[0]!r}", advice)
    return list(missing)
