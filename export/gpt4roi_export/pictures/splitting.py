"""Which pictures are held out of training, decided by hashes, so that it never changes with the order or the rest.

Does not know what the pictures look like.
"""

import hashlib

from gpt4roi_export.pictures.index import Named, Split

HELD_OUT_SHARE = 0.12


def split_of_picture(file: str, named: tuple[Named, ...], everyday: frozenset[str]) -> Split:
    """Whether a picture of something may be trained on.

    What the encoder knows is held out picture by picture. Of what it does not know, all pictures of a name go one
    way: otherwise a test would call a thing unseen that another picture taught. Everyday names are always trained.

    Args:
        file: The picture's name in its package.
        named: What it shows.
        everyday: Names that must be learned in any case.
    """
    unknown = sorted({thing.name for thing in named if not thing.known})
    if not unknown:
        return _by_hash(file)
    if any(name in everyday for name in unknown):
        return "train"
    return _by_hash(unknown[0])


def may_be_practised(thing: Named, everyday: frozenset[str]) -> bool:
    """Whether a picture that no suite is made of may teach this thing: not if all pictures of its name are held out."""
    return split_of_picture("", (thing,), everyday) == "train" or thing.known


def split_of_backdrop(file: str) -> Split:
    """Whether a backdrop may be trained on."""
    return _by_hash(f"backdrop {file}")


def _by_hash(text: str) -> Split:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return "held-out" if number < HELD_OUT_SHARE * 2**64 else "train"
