"""How the tokens of several texts are packed into calls behind one prompt; makes no native call.

Every token but a text's last is fed, and the logits behind it score the next one. A call takes tokens of several texts,
each in a sequence of its own, and as many rows as there may be logits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Texts = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Fed:
    """One row of a call.

    Attributes:
        text: Which text, from 0.
        place: Of its token in the text, from 0; its logits are for the place behind.
        sequence: Of the KV cache.
    """

    text: int
    place: int
    sequence: int


def as_calls(texts: Texts, sequences: Sequence[int], n_at_once: int, n_free: int) -> Iterator[tuple[Fed, ...]]:
    """The rows of one call after another; texts that are complete leave the KV cache between calls.

    A text goes on in the next call where one ends, so at most one is there between two calls. The order of the calls
    does not depend on the order of the texts, so neither does any number.

    Args:
        texts: Ids of tokens.
        sequences: That the texts may take in turn, at least as many as rows in a call.
        n_at_once: Most rows of a call.
        n_free: Free rows of the KV cache, at least those of the longest text.
    """
    order = sorted((index for index, text in enumerate(texts) if len(text) > 1), key=lambda index: tuple(texts[index]))
    rows = [
        Fed(index, place, sequences[turn % len(sequences)])
        for turn, index in enumerate(order)
        for place in range(len(texts[index]) - 1)
    ]
    first = 0
    while first < len(rows):
        n_there = rows[first].place  # of a text that began in the call before
        last = first + min(n_at_once, n_free - n_there)
        yield tuple(rows[first:last])
        first = last
