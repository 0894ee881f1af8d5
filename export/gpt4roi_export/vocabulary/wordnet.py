"""WordNet's nouns: which meaning is a kind of which, read from the database's text file.

Does not know which names are wanted, or what they are used for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gpt4roi_runtime.errors import InputError

_HYPERNYMS = ("@", "@i")


@dataclass(frozen=True)
class Meaning:
    """One synset.

    Attributes:
        words: Its synonyms, spelled with spaces, the most common one first.
        hypernyms: Keys of what it is a kind of.
    """

    words: tuple[str, ...]
    hypernyms: tuple[int, ...]


Nouns = dict[int, Meaning]
"""Synsets by their key, the byte offset in the database (``n01440764`` without its letter)."""


def read_nouns(data_noun: str) -> Nouns:
    """All noun synsets.

    Args:
        data_noun: Text of the database's file ``data.noun``.

    Raises:
        InputError: A line is not laid out as the database's manual says.
    """
    lines = (line for line in data_noun.splitlines() if line and not line.startswith(" "))  # the licence is indented
    return dict(map(_read_line, lines))


def _read_line(line: str) -> tuple[int, Meaning]:
    fields = line.split("|")[0].split()
    try:
        n_words = int(fields[3], 16)
        words = tuple(word.replace("_", " ") for word in fields[4 : 4 + 2 * n_words : 2])
        pointers = fields[5 + 2 * n_words :]
        hypernyms = tuple(
            int(offset) for symbol, offset in zip(pointers[::4], pointers[1::4], strict=False) if symbol in _HYPERNYMS
        )
        return int(fields[0]), Meaning(words, hypernyms)
    except (IndexError, ValueError) as refused:
        raise InputError(f"WordNet line {line[:60]!r} cannot be read", "Fetch the package again.") from refused


def read_senses(index_noun: str) -> dict[str, tuple[int, ...]]:
    """Synset keys of every lower-case noun (with spaces), the most common sense first.

    Args:
        index_noun: Text of the database's file ``index.noun``.

    Raises:
        InputError: A line is not laid out as the database's manual says.
    """
    senses = {}
    for line in index_noun.splitlines():
        if not line or line.startswith(" "):
            continue
        fields = line.split()
        try:
            senses[fields[0].replace("_", " ")] = tuple(map(int, fields[-int(fields[2]) :]))
        except (IndexError, ValueError) as refused:
            raise InputError(f"WordNet line {line[:60]!r} cannot be read", "Fetch the package again.") from refused
    return senses


def ancestors(nouns: Nouns, key: int) -> Iterator[int]:
    """The synset itself and everything it is a kind of, nearest first."""
    waiting, met = [key], set()
    while waiting:
        nearest = waiting.pop(0)
        if nearest in met or nearest not in nouns:
            continue
        met.add(nearest)
        yield nearest
        waiting.extend(nouns[nearest].hypernyms)
