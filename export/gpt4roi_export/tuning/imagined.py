"""What the region module might read in a region of which only the facts are known; for scenes without a picture.

Does not know pictures; the logits are drawn so that their top probability is as high as it is in practice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpt4roi_export.scene import COLORS, RegionFacts

Logits = NDArray[np.float32]

_FLOOR = 1e-5
_SURE_TOP, _UNSURE_TOP = (0.55, 1.0), (0.12, 0.45)
_COLOR_TOP, _FAINT_COLOR_TOP, _NO_COLOR_TOP = (0.7, 0.98), (0.45, 0.62), (0.3, 0.62)
_FAINT = 0.2
"""Share of leading colors that are read as if they hardly led: what color it is can be asked of those too."""
_MOST_LIKE_IT = 4


@dataclass(frozen=True)
class Vocabulary:
    """The names a reading is about.

    Attributes:
        index: Place of every name.
        kinds: Kind of every name.
        of_kind: Places of the names of one kind.
    """

    index: Mapping[str, int]
    kinds: Sequence[str]
    of_kind: Mapping[str, NDArray[np.int64]]

    @classmethod
    def of(cls, names: Sequence[str], kinds: Sequence[str]) -> "Vocabulary":
        """Group the names by kind; where one appears twice, its first place counts."""
        index: dict[str, int] = {}
        groups: dict[str, list[int]] = {}
        for place, (name, kind) in enumerate(zip(names, kinds, strict=True)):
            index.setdefault(name, place)
            groups.setdefault(kind, []).append(place)
        return cls(index, tuple(kinds), {kind: np.array(places) for kind, places in groups.items()})

    def __len__(self) -> int:
        return len(self.kinds)


def imagine_names(region: RegionFacts, vocabulary: Vocabulary, draw: np.random.Generator) -> Logits:
    """Logits over all names.

    Where the facts are sure, the name has most of the probability; where they are not, it is only the likeliest of
    several, most of them of its own kind.

    Args:
        region: The facts; without a name, the reading is about nothing in particular.
        vocabulary: All names.
        draw: Where chance comes from.
    """
    rest = draw.dirichlet(np.full(len(vocabulary), 0.02))
    if region.name is None:
        return _logits(0.5 * rest + 0.5 * _some(vocabulary, draw))
    place = vocabulary.index[region.name]
    low, high = _SURE_TOP if region.sure else _UNSURE_TOP
    top = draw.beta(3.0, 1.2) * (high - low) + low if region.sure else draw.uniform(low, high)
    others = _like_it(place, top, vocabulary, draw)
    share_of_rest = min(0.1, 0.3 * (1.0 - top))
    probabilities = (1.0 - top - share_of_rest) * others + share_of_rest * np.minimum(rest, 0.3)
    # Nothing else may be likelier than what is there.
    probabilities = np.minimum(probabilities, 0.8 * top)
    probabilities[place] = 0.0
    probabilities *= (1.0 - top) / max(probabilities.sum(), _FLOOR)
    probabilities[place] = max(top, 1.2 * float(probabilities.max()))
    return _logits(probabilities / probabilities.sum())


def imagine_colors(region: RegionFacts, draw: np.random.Generator) -> Logits:
    """Logits over ``COLORS``: mostly one stands out where the facts name one, and a few share where they do not."""
    if region.color is None:
        return _logits(_shared(int(draw.integers(len(COLORS))), draw.uniform(*_NO_COLOR_TOP), draw))
    place = COLORS.index(region.color)
    if draw.random() < _FAINT:
        return _logits(_shared(place, draw.uniform(*_FAINT_COLOR_TOP), draw))
    top = draw.uniform(*_COLOR_TOP)
    rest = draw.dirichlet(np.full(len(COLORS), 0.4))
    rest[place] = 0.0
    rest *= (1.0 - top) / max(rest.sum(), _FLOOR)
    rest[place] = top
    return _logits(rest)


def _shared(first: int, top: float, draw: np.random.Generator) -> NDArray[np.float64]:
    """Shares of which ``first`` has ``top``, and two or three others nearly all that is left."""
    others = draw.choice(
        [color for color in range(len(COLORS)) if color != first], size=int(draw.integers(2, 4)), replace=False
    )
    shares = 0.15 * (1.0 - top) * draw.dirichlet(np.full(len(COLORS), 0.4))
    shares[others] += 0.85 * (1.0 - top) * draw.dirichlet(np.full(len(others), 8.0))
    shares[first] += top
    return shares


def _like_it(place: int, top: float, vocabulary: Vocabulary, draw: np.random.Generator) -> NDArray[np.float64]:
    """Shares of a few names that could be taken for the one at ``place``, enough that none must pass it."""
    same = vocabulary.of_kind[vocabulary.kinds[place]]
    same = same[same != place]
    n_needed = int(np.ceil((1.0 - top) / (0.7 * top)))
    n_others = int(draw.integers(max(1, n_needed), max(1, n_needed) + _MOST_LIKE_IT))
    few = draw.choice(same, size=min(n_others, len(same)), replace=False) if len(same) else same
    if len(few) < n_others:
        few = np.concatenate([few, draw.integers(0, len(vocabulary), size=n_others - len(few))])
    shares = np.zeros(len(vocabulary))
    np.add.at(shares, few, draw.dirichlet(np.full(len(few), 3.0)))
    shares[place] = 0.0
    return shares / max(float(shares.sum()), _FLOOR)


def _some(vocabulary: Vocabulary, draw: np.random.Generator) -> NDArray[np.float64]:
    few = draw.integers(0, len(vocabulary), size=6)
    shares = np.zeros(len(vocabulary))
    np.add.at(shares, few, draw.dirichlet(np.full(len(few), 2.0)))
    return shares


def _logits(probabilities: NDArray[np.float64]) -> Logits:
    # A little of everything: a softmax is never exactly zero.
    mixed = 0.999 * probabilities + 0.001 / len(probabilities)
    return np.log(mixed).astype(np.float32)
