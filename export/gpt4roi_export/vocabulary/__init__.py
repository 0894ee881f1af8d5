"""The names that regions may have, and the kind of each.

Does not know how the list was made, or which picture shows what.
"""

from dataclasses import dataclass
from pathlib import Path

from gpt4roi_runtime.errors import InputError

N_IMAGENET = 1000
"""So many names come first: the classes of the encoder's own classifier, in its order."""

_NAMES = Path(__file__).with_name("names.tsv")
_ACCEPTED = Path(__file__).with_name("accepted.tsv")
_COCO = Path(__file__).with_name("coco.tsv")


@dataclass(frozen=True)
class Vocabulary:
    """Names in the order of a model's outputs.

    Attributes:
        names: In the singular and without an article, all different.
        kinds: What each of them is one of: "bird".
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]

    def kind_of(self, name: str) -> str:
        """The kind of a name.

        Raises:
            InputError: The name is not in the vocabulary.
        """
        try:
            return self.kinds[self.names.index(name)]
        except ValueError:
            raise InputError(f"{name!r} is not in the vocabulary", "Add it to by_kind.txt and make it anew.") from None


def read_vocabulary(path: Path = _NAMES) -> Vocabulary:
    """The vocabulary of a file with lines ``name<TAB>kind``.

    Raises:
        InputError: The file cannot be read, a line is laid out otherwise, or a name occurs twice.
    """
    pairs = read_pairs(path)
    names = tuple(name for name, _ in pairs)
    if len(set(names)) != len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise InputError(f"{path}: {twice!r} occurs twice", "Every name must be there once.")
    return Vocabulary(names, tuple(kind for _, kind in pairs))


def read_coco_names() -> dict[str, str]:
    """Each of the 80 class names of COCO detectors, in their order, with the name that this vocabulary has for it."""
    return dict(read_pairs(_COCO))


def read_accepted() -> dict[str, tuple[str, ...]]:
    """The names that are right where another one is, by that other: synonyms, and ImageNet's narrower ones."""
    return {name: tuple(others.split(", ")) for name, others in read_pairs(_ACCEPTED)}


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """The two columns of a tab-separated file.

    Raises:
        InputError: The file cannot be read, or a line has not two filled columns.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as failed:
        raise InputError(f"cannot read {path}: {failed}", "Expected a text file of two columns.") from failed
    pairs = []
    for number, line in enumerate(lines, start=1):
        left, _, right = line.partition("\t")
        if not left or not right or "\t" in right:
            raise InputError(f"{path}, line {number}: {line!r}", "Expected two columns with a tab between them.")
        pairs.append((left, right))
    return pairs
