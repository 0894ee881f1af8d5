"""The tuned model's sizes, and its weights that nobody trained: the encoder's, and tables of the language's own words.

Does not know torch; the modules that use these weights are in ``modules.tuned``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpt4roi_export.efficientnet_lite import FEATURE_WIDTH, Arrays, folded_weights
from gpt4roi_export.scene import COLORS
from gpt4roi_export.vocabulary import Vocabulary
from gpt4roi_runtime.llm.decoder import Decoder

SIDE_PX = 520
"""Side of the square input. Twice the encoder's native side, so that a quarter of the image is seen at native scale."""
FILLER = ", which is a"
"""The end of these words stands between a kind and a name, as far as there are rows: "cat, which is a tabby cat"."""
SURENESS = ("unsure", "sure")
MIXED = "mixed"
"""Word added to the color row where no color leads."""
PLACES = (("top", "middle", "bottom"), ("left", "center", "right"), ("small", "medium", "large"))
"""Words of the three place rows, from one end to the other."""
MARKS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
"""Words for how far along a box is, in each of these rows: finer than the row's own words tell two boxes apart."""

MAP_CHANNELS = (51, 120, 352)
"""Of the trunk's maps; the finest also holds the picture's mean colors."""
MAP_SIDES = (65, 32, 16)
"""At 520 px."""
N_PLACE_ROWS = len(PLACES)


@dataclass(frozen=True)
class TunedSizes:
    """The widths of the tuned region module.

    Attributes:
        n_names: Names it can tell apart, ImageNet's 1000 first.
        n_colors: Colors it can tell apart.
        n_name_rows: Rows a name takes in the prompt; its kind stands in the first.
        embedding_length: Width of the language model.
        side_px: Side of the square image.
        width: Channels of the fused pyramid.
        groups: Groups of its norms.
        n_fusions: Exchanges between neighbouring levels.
        feature_width: Width in which regions and box embeddings are described.
        box_hidden: First width of the box embedding.
        name_sharpness: Exponent on the names' probabilities before they weigh rows, so that the likeliest name is
            read alone: two that are nearly equal would be read as a mixture that is neither. How likely it is stands
            in a row of its own.
        encoder_say: Share of a name's probability that is the encoder's own, without what was learned behind it. What
            was learned is right about what it was shown, and sure of itself about everything.
        leading_color: Probability of the likeliest color from which on it counts as leading. The language model cannot
            read from a mixture of colors how much of it the first one is; so this is said in a word of its own.
    """

    n_names: int
    n_colors: int
    n_name_rows: int = 6
    embedding_length: int = 576
    side_px: int = 520
    width: int = 64
    groups: int = 8
    n_fusions: int = 2
    feature_width: int = 384
    box_hidden: int = 64
    name_sharpness: float = 64.0
    encoder_say: float = 0.35
    leading_color: float = 0.66

    @property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """Channels and side of the pyramid's levels; the coarsest also carries the encoder's features."""
        finest, middle, coarsest = MAP_SIDES
        return (
            (self.width, finest),
            (self.width, middle),
            (self.width, coarsest),
            (self.width + FEATURE_WIDTH, coarsest),
        )

    @property
    def n_rows(self) -> int:
        """Rows a region takes: sureness, color, height, side, size, then the name."""
        return 2 + N_PLACE_ROWS + self.n_name_rows


def encoder_weights(state: Arrays) -> Mapping[str, NDArray[np.float32]]:
    """The encoder, and its classifier, by the names of ``modules.tuned.TunedVision``.

    Args:
        state: EfficientNet-Lite2 as released.

    Raises:
        BundleError: An array is missing.
    """
    folded = folded_weights(state)
    weights = {f"encoder.trunk.{name}": array for name, array in folded.items() if not name.startswith("classifier.")}
    for part in ("weight", "bias"):
        weights[f"reader.name.closed_form.{part}"] = folded[f"classifier.{part}"]
    return weights


def word_tables(
    vocabulary: Vocabulary, language: Decoder, n_name_rows: int
) -> Mapping[str, NDArray[np.float32] | NDArray[np.float16]]:
    """The tables of ``modules.tuned.RegionWords``, in the language model's own embeddings.

    Args:
        vocabulary: Every name the region module can tell, in its order, and what each is one of.
        language: The language model that will read them; its tokenizer and its embeddings are used.
        n_name_rows: Rows a name takes.

    Raises:
        QuestionError: A name would become a special token.
    """
    # With a leading space: that is how the vocabulary writes a word inside a sentence.
    filler = language.tokenize(FILLER)
    words = [
        language.embed(name_tokens(language.tokenize(f" {name}"), filler, n_name_rows - 1)) for name in vocabulary.names
    ]
    # A small language model does not know by itself that a lynx is a cat; here it can read it.
    names = np.concatenate([_rows_of(vocabulary.kinds, language)[:, None], np.stack(words)], axis=1)
    return {
        "words.names": names.reshape(len(names), -1).astype(np.float16),
        "words.sureness": _rows_of(SURENESS, language),
        "words.colors": _rows_of(COLORS, language),
        "words.mixed": _rows_of((MIXED,), language),
        "words.places": np.stack([_rows_of(words, language) for words in PLACES]),
        "words.marks": _apart(_rows_of(MARKS, language)),
    }


def _rows_of(words: Sequence[str], language: Decoder) -> NDArray[np.float32]:
    """One row a word: the mean of its tokens."""
    return np.stack([language.embed(language.tokenize(f" {word}")).mean(axis=0) for word in words])


def _apart(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """What tells rows apart, without what they share: it is added to rows that are words already."""
    apart: NDArray[np.float32] = rows - rows.mean(axis=0)
    return apart


def name_tokens(name: Sequence[int], filler: Sequence[int], n_rows: int) -> list[int]:
    """A name of any length in ``n_rows`` tokens: as much of the filler's end as there is room for, then the name.

    Args:
        name: Tokens of the name, at least one. Too many are thinned out evenly.
        filler: Tokens to put before it, at least one; the first is repeated if they are too few.
        n_rows: Rows to fill, at least one.
    """
    kept = list(name) if len(name) <= n_rows else [name[row * len(name) // n_rows] for row in range(n_rows)]
    n_filler = n_rows - len(kept)
    return [*([filler[0]] * n_filler + list(filler))[len(filler) :][:n_filler], *kept]
