"""The embedded model's weights in closed form: class names become rows of the language model's own embeddings.

Nothing is trained. Does not know torch; the graphs that use these weights are in ``modules.embedded``.

A region's features go through the ImageNet classifier; the softmax weighs the rows of all 1000 class names. Because the
rows are the language model's own token embeddings, it reads a region much as if its name were written there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpt4roi_export.efficientnet_lite import Arrays, folded_weights
from gpt4roi_runtime.llm.decoder import Decoder

SIDE_PX = 520
"""Side of the square input. Twice the encoder's native side, so that a quarter of the image is seen at native scale."""
LEVELS = ((48, 65), (120, 32), (352, 16), (1280, 16))
"""Channels and side of the pyramid's levels at that size."""
FILLER = ", which is a"
"""The end of these words stands before a name, as far as there are rows: "region1 which is a tabby cat"."""


@dataclass(frozen=True)
class NamingSettings:
    """The three choices that the closed form leaves open.

    Attributes:
        n_rows: Rows a name takes in the prompt.
        sharpness: Factor on the classifier's logits. The classifier was trained with smoothed labels, so its softmax
            is flat even when it is right; unsharpened, the mean of the names is mush.
        embedding_length: Width of the language model.
    """

    n_rows: int = 6
    sharpness: float = 12.0
    embedding_length: int = 576


def graph_weights(
    state: Arrays,
    names: Sequence[str],
    language: Decoder,
    settings: NamingSettings,
) -> Mapping[str, NDArray[np.float32]]:
    """Every weight of both graphs, by the names of ``modules.embedded``.

    Args:
        state: EfficientNet-Lite2 as released.
        names: Class names in the order of its outputs.
        language: The language model that will read the names; its tokenizer and its embeddings are used.
        settings: The open choices.

    Returns:
        ``trunk.*`` and ``naming.*``.

    Raises:
        BundleError: An array is missing.
        QuestionError: A name would become a special token.
    """
    folded = folded_weights(state)
    sharpness = np.float32(settings.sharpness)
    weights = {f"trunk.{name}": array for name, array in folded.items() if not name.startswith("classifier.")}
    weights["naming.classifier.weight"] = folded["classifier.weight"] * sharpness
    weights["naming.classifier.bias"] = folded["classifier.bias"] * sharpness
    # With a leading space: that is how the vocabulary writes a word inside a sentence.
    filler = language.tokenize(FILLER)
    rows = [language.embed(name_tokens(language.tokenize(f" {name}"), filler, settings.n_rows)) for name in names]
    weights["naming.names"] = np.stack([row.ravel() for row in rows])
    return weights


def name_tokens(name: Sequence[int], filler: Sequence[int], n_rows: int) -> list[int]:
    """A name of any length in ``n_rows`` tokens: the end of the filler, then the name.

    Args:
        name: Tokens of the name, at least one. Too many are thinned out evenly, so that one row of filler stays.
        filler: Tokens to put before it, at least one; the first is repeated if they are too few.
        n_rows: Rows to fill, at least two.
    """
    most = n_rows - 1
    kept = list(name) if len(name) <= most else [name[row * len(name) // most] for row in range(most)]
    n_filler = n_rows - len(kept)
    return [*([filler[0]] * n_filler + list(filler))[-n_filler:], *kept]
