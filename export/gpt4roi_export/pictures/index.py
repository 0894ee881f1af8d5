"""What a picture folder holds: cut-outs, photos and backdrops, and which of them are held out.

Does not know where the pictures came from or what is composed of them.
"""

from pathlib import Path
from typing import Literal

import msgspec

from gpt4roi_runtime.errors import InputError
from gpt4roi_runtime.storage import written_aside

Split = Literal["train", "held-out", "practice"]
"""Trained on and asked about in new scenes; never trained on; trained on and asked about nowhere."""
INDEX = "index.json"

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in 0..1 of the picture."""


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What something is called.

    Attributes:
        name: Of the vocabulary.
        kind: What the name is one of.
        known: Whether the encoder was trained on it before: the name, or a narrower one, is an ImageNet class.
        accepted: The name first, then others that are right as well: synonyms and ImageNet's narrower names.
    """

    name: str
    kind: str
    known: bool
    accepted: tuple[str, ...]


class Cutout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One object on a transparent ground, cropped to what is opaque.

    Attributes:
        path: Of the RGBA picture, in the folder.
        named: What it shows.
        source: Package it came from.
        licence: Of the picture, or of the package.
        photographic: A photo rather than a drawing or a rendering.
        split: Whether it may be trained on.
    """

    path: str
    named: Named
    source: str
    licence: str
    photographic: bool
    split: Split


class Boxed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing on a photo.

    Attributes:
        named: What it is called.
        box: Where it is.
        color: That most of it has, one of ``scene.COLORS``; None where none leads, or nobody looked.
        many_colored: Whether somebody looked, and none leads.
    """

    named: Named
    box: Box
    color: str | None = None
    many_colored: bool = False


class Photo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole photo in which some things are boxed.

    Attributes:
        path: Of the RGB picture, in the folder.
        regions: What is in it, and where.
        source: Package it came from.
        licence: Of the picture, or of the package.
        split: Whether it may be trained on.
    """

    path: str
    regions: tuple[Boxed, ...]
    source: str
    licence: str
    split: Split


class Backdrop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture to paste objects on; the fields are as above."""

    path: str
    source: str
    licence: str
    split: Split


class Pictures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything in a picture folder."""

    cutouts: tuple[Cutout, ...] = ()
    photos: tuple[Photo, ...] = ()
    backdrops: tuple[Backdrop, ...] = ()


def write_index(folder: Path, pictures: Pictures) -> None:
    """Write the index of a picture folder.

    Raises:
        OutputError: It cannot be written.
    """
    with written_aside(folder / INDEX) as file:
        file.write(msgspec.json.format(msgspec.json.encode(pictures), indent=1))


def read_index(folder: Path) -> Pictures:
    """The index of a picture folder.

    Raises:
        InputError: It is missing, damaged, or names a file outside of the folder.
    """
    try:
        pictures = msgspec.json.decode((folder / INDEX).read_bytes(), type=Pictures)
    except (OSError, msgspec.DecodeError) as failed:
        raise InputError(f"cannot read {folder / INDEX}: {failed}", "Make it with gpt4roi-export pictures.") from failed
    paths = [one.path for one in pictures.cutouts]
    paths += [one.path for one in pictures.photos] + [one.path for one in pictures.backdrops]
    for path in paths:
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise InputError(f"{folder / INDEX} names {path!r}", "Expected files inside the folder.")
    return pictures
