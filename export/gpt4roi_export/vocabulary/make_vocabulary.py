"""Makes ``names.tsv`` and ``accepted.tsv`` from the encoder's class names, WordNet and lists written by hand.

Does not know which pictures there are. For developers, from an installed checkout:

    python -m gpt4roi_export.vocabulary.make_vocabulary open_clip.whl timm.whl wordnet-base.deb
"""

import sys
from collections import defaultdict
from pathlib import Path

from gpt4roi_export.class_names import read_class_names
from gpt4roi_export.pictures.deb import read_deb
from gpt4roi_export.vocabulary import N_IMAGENET, Vocabulary, read_pairs
from gpt4roi_export.vocabulary.wordnet import Nouns, ancestors, read_nouns, read_senses
from gpt4roi_export.weights import read_member
from gpt4roi_runtime.errors import InputError
from gpt4roi_runtime.storage import written_aside

CLASS_NAMES = "open_clip/zero_shot_metadata.py"
SYNSETS = "timm/data/_info/imagenet_synsets.txt"
DATA_NOUN = "usr/share/wordnet/data.noun"
INDEX_NOUN = "usr/share/wordnet/index.noun"
_MOST_BYTES = 32 << 20
_HERE = Path(__file__).parent

# The first word of a synset above an animal tells its kind; other things are too mixed there and sorted by hand.
_ANIMALS = {
    "bird": "bird",
    "dog": "dog",
    "feline": "cat",
    "fish": "fish",
    "insect": "insect",
    "arachnid": "spider",
    "reptile": "reptile",
    "amphibian": "amphibian",
    "mollusk": "shellfish",
    "crustacean": "shellfish",
    "coelenterate": "sea animal",
    "echinoderm": "sea animal",
    "mammal": "mammal",
}


def make_vocabulary(
    class_names: tuple[str, ...], synsets: tuple[int, ...], nouns: Nouns, by_hand: Path = _HERE
) -> Vocabulary:
    """All names with their kinds.

    Args:
        class_names: The encoder's, in order.
        synsets: WordNet key of each.
        nouns: WordNet.
        by_hand: Folder with ``corrections.tsv`` (number of a class, better name) and ``by_kind.txt`` (lines
            ``kind: name, name``; names that no class has come after the classes).

    Raises:
        InputError: A name has no kind, or two of them.
    """
    corrected = {int(number): name for number, name in read_pairs(by_hand / "corrections.tsv")}
    classes = tuple(corrected.get(number, name) for number, name in enumerate(class_names))
    sorted_by_hand = _kinds(by_hand / "by_kind.txt")
    pairs = [
        (name, sorted_by_hand.get(name) or _animal_kind(nouns, key, name))
        for name, key in zip(classes, synsets, strict=True)
    ]
    pairs += [(name, kind) for name, kind in sorted_by_hand.items() if name not in classes]
    return Vocabulary(tuple(name for name, _ in pairs), tuple(kind for _, kind in pairs))


def _kinds(path: Path) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, _, names = line.partition(": ")
        for name in names.split(", "):
            if kinds.setdefault(name, kind) != kind:
                raise InputError(f"{name!r} is under {kinds[name]!r} and {kind!r}", f"Keep one of them in {path}.")
    return kinds


def _animal_kind(nouns: Nouns, key: int, name: str) -> str:
    above = (nouns[ancestor].words[0] for ancestor in ancestors(nouns, key))
    kind = next((_ANIMALS[word] for word in above if word in _ANIMALS), None)
    if kind is None:
        raise InputError(f"{name!r} has no kind", "Add it to a line of by_kind.txt.")
    return kind


def accepted_names(
    vocabulary: Vocabulary,
    synsets: tuple[int, ...],
    nouns: Nouns,
    senses: dict[str, tuple[int, ...]],
    same: tuple[tuple[str, ...], ...],
    apart: tuple[str, ...],
) -> dict[str, tuple[str, ...]]:
    """For every name, the other names that are right where it is: synonyms, and classes that are a kind of it.

    Args:
        vocabulary: All names.
        synsets: WordNet key of each of the first ones.
        nouns: WordNet's synsets.
        senses: WordNet's words.
        same: Groups of names that a picture does not tell apart.
        apart: Names of which WordNet's first fitting sense is not the one that is meant.
    """
    below: dict[int, list[int]] = defaultdict(list)
    for number, key in enumerate(synsets):
        for ancestor in ancestors(nouns, key):
            below[ancestor].append(number)
    accepted = {}
    for number, (name, kind) in enumerate(zip(vocabulary.names, vocabulary.kinds, strict=True)):
        keys = (synsets[number],) if number < len(synsets) else senses.get(name.lower(), ())
        # Of the word's senses, the first one that has a class of the name's own kind below it.
        fitting = ([lower for lower in below[key] if vocabulary.kinds[lower] == kind] for key in keys if key in below)
        narrower = [] if name in apart else [vocabulary.names[lower] for lower in next(filter(None, fitting), [])]
        alike = [other for group in same if name in group for other in group]
        accepted[name] = tuple(dict.fromkeys(other for other in (*narrower, *alike) if other != name))
    return accepted


def read_wordnet(package: Path) -> tuple[Nouns, dict[str, tuple[int, ...]]]:
    """WordNet's synsets and words out of Debian's package ``wordnet-base``.

    Raises:
        InputError: The package cannot be read, or holds no WordNet.
    """
    found = dict(read_deb(package, (DATA_NOUN, INDEX_NOUN)))
    if len(found) != 2:  # the two files just named
        raise InputError(f"{package} holds no {DATA_NOUN}", "Expected Debian's package wordnet-base.")
    return read_nouns(found[DATA_NOUN].decode("utf-8")), read_senses(found[INDEX_NOUN].decode("utf-8"))


def main(open_clip: Path, timm: Path, wordnet: Path) -> None:
    """Write ``names.tsv`` and ``accepted.tsv``."""
    class_names = read_class_names(read_member(open_clip, CLASS_NAMES, _MOST_BYTES).decode(), N_IMAGENET)
    synsets = tuple(int(key[1:]) for key in read_member(timm, SYNSETS, _MOST_BYTES).decode().split())
    nouns, senses = read_wordnet(wordnet)
    made = make_vocabulary(class_names, synsets, nouns)
    same, apart = _groups("same.txt", made), _groups("apart.txt", made)[0]
    accepted = accepted_names(made, synsets, nouns, senses, same, apart)
    _write(_HERE / "names.tsv", list(zip(made.names, made.kinds, strict=True)))
    _write(_HERE / "accepted.tsv", [(name, ", ".join(others)) for name, others in accepted.items() if others])


def _groups(file: str, vocabulary: Vocabulary) -> tuple[tuple[str, ...], ...]:
    groups = tuple(tuple(line.split(", ")) for line in (_HERE / file).read_text(encoding="utf-8").splitlines())
    strange = {name for group in groups for name in group} - set(vocabulary.names)
    if strange:
        raise InputError(f"{file} has names that the vocabulary has not: {strange}", "Correct them there.")
    return groups


def _write(path: Path, pairs: list[tuple[str, str]]) -> None:
    with written_aside(path) as file:
        file.write("".join(f"{left}\t{right}\n" for left, right in pairs).encode())


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:4]))
