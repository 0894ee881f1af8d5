"""How sure a model was, of each token it wrote and of each answer it could have given; knows no engine and no token id.

All logarithms are natural ones of the model's own probabilities: before temperature, top-k, top-p and any restriction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Alternative:
    """A token that could have stood in a place.

    Attributes:
        text_bytes: UTF-8 bytes, possibly a part of a character; empty for a token without text, such as the answer's
            end.
        log_probability: Of this token in this place.
    """

    text_bytes: bytes
    log_probability: float


@dataclass(frozen=True)
class TokenScore:
    """A token of an answer.

    Attributes:
        text_bytes: As of ``Alternative``. All tokens of an answer together hold its text, with the lead, white space
            and stop string that are cut off it.
        log_probability: Of this token in its place.
        top: The likeliest tokens of the place, the best first, this one among them where it is one; as many as asked
            for.
    """

    text_bytes: bytes
    log_probability: float
    top: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One answer of a closed list.

    Attributes:
        text: The answer.
        log_likelihood: That what the model writes begins so: the sum of the log-probabilities of the answer's tokens,
            without any end.
        n_tokens: Tokens that were summed.
        probability: That this is the longest answer of the list that the model's own one begins with, if it begins with
            any; all sum up to 1.
    """

    text: str
    log_likelihood: float
    n_tokens: int
    probability: float

    @property
    def mean_log_likelihood(self) -> float:
        """Of a token, on average: compares answers of very different lengths more kindly, and is no probability."""
        return self.log_likelihood / self.n_tokens


def shares(log_likelihoods: Sequence[float]) -> tuple[float, ...]:
    """Probabilities of events that exclude one another, given that one of them happens; they sum up to 1."""
    most = max(log_likelihoods)
    weights = [math.exp(value - most) for value in log_likelihoods]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)
