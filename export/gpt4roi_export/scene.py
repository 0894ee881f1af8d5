"""One picture, what is in its regions, and dialogues about them: a line of a JSONL file of training or test data.

Does not know where pictures come from, what a model makes of them, or how a prompt is laid out.
"""

from pathlib import Path

import msgspec

COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
"""The eleven basic color terms of English (Berlin and Kay, 1969), as answers spell them."""


class RegionFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known about one region; ``<region1>`` is the first of a scene's regions.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the upright picture.
        name: What is in it, in the singular and without an article: "great blue heron".
        color: The color that most of it has, one of ``COLORS``.
        many_colored: Whether it was looked at, and no color leads; without a color, nobody may have looked.
        kind: What ``name`` is one of: "bird".
        sure: Whether a model that sees the picture can be expected to know the name.
    """

    box: tuple[float, float, float, float]
    name: str | None = None
    color: str | None = None
    kind: str | None = None
    sure: bool = True
    many_colored: bool = False

    @property
    def color_was_looked_at(self) -> bool:
        """Whether it is known which color leads, or that none does."""
        return self.color is not None or self.many_colored


class Exchange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One question, with regions written ``<region1>``, and the answer to it.

    Attributes:
        question: As a user would type it.
        answer: Regions are written ``region1``.
        task: What is asked for, where a score is kept per task.
    """

    question: str
    answer: str
    task: str = ""


class Scene(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A picture with its regions and dialogues.

    Attributes:
        id: Unique in its file.
        size: Width and height in pixels.
        regions: In the order of their numbers.
        image: Path of the picture, relative to the file's folder; None if there is no picture, and a region is
            only its name, color and box.
        dialogues: Independent of each other; the turns of one follow each other.
    """

    id: str
    size: tuple[int, int]
    regions: tuple[RegionFacts, ...]
    image: Path | None = None
    dialogues: tuple[tuple[Exchange, ...], ...] = ()
