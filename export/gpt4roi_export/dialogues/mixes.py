"""What dialogues are about, and how often: of everything, or of what is hard to learn. Data; writes no question."""

from collections.abc import Mapping
from dataclasses import dataclass

from gpt4roi_export.dialogues import several, single, talk
from gpt4roi_export.dialogues.desk import Writer
from gpt4roi_export.dialogues.imagine import ImagineSettings


@dataclass(frozen=True)
class Mix:
    """What is asked.

    Attributes:
        writers: Who writes an exchange, and how often, where the scene gives an occasion.
        turns: Weights of dialogues of so many turns.
        follow_ups: Share of the later turns that try to take up the last one.
        scenes: What is usual in scenes that are imagined for it.
    """

    writers: tuple[tuple[Writer, float], ...]
    turns: Mapping[int, float]
    follow_ups: float
    scenes: ImagineSettings


_MANY_TURNS = {4: 0.2, 5: 0.3, 6: 0.5}
"""Of short questions."""

EVERYTHING = Mix(
    writers=(
        (single.name, 3.5),
        (single.describe, 2.6),
        (single.color, 1.2),
        (single.position, 2.5),
        (single.size, 0.8),
        (single.kind, 1.0),
        (single.category, 1.0),
        (single.yes_no_name, 4.0),
        (single.yes_no_color, 1.0),
        (single.yes_no_place, 2.4),
        (single.why, 2.4),
        (several.relation, 3.5),
        (several.yes_no_relation, 4.5),
        (several.bigger, 3.0),
        (several.yes_no_bigger, 3.5),
        (several.smaller, 1.0),
        (several.yes_no_smaller, 1.0),
        (several.compare, 2.0),
        (several.both, 2.2),
        (several.same, 1.5),
        (several.count, 3.5),
        (several.choose_name, 2.2),
        (several.choose_color, 1.2),
        (several.choose_largest, 2.2),
        (several.choose_end, 1.6),
        (talk.missing, 0.5),
        (talk.image, 0.3),
        (talk.beyond, 1.7),
        (talk.greeting, 0.1),
        (talk.help_wanted, 0.1),
    ),
    turns={1: 0.1, 2: 0.15, 3: 0.2, 4: 0.2, 5: 0.15, 6: 0.2},
    follow_ups=0.45,
    scenes=ImagineSettings(),
)

COMPARISONS = Mix(
    writers=(
        (several.relation, 3.0),
        (several.yes_no_relation, 3.5),
        (several.bigger, 3.0),
        (several.yes_no_bigger, 3.0),
        (several.smaller, 1.5),
        (several.yes_no_smaller, 1.0),
        (several.choose_largest, 2.5),
        (several.choose_end, 2.5),
        (several.order_next, 3.0),
    ),
    turns=_MANY_TURNS,
    follow_ups=0.0,
    scenes=ImagineSettings(n_regions=(0.0, 5.0, 1.5, 0.5)),
)
"""Many short questions about few regions: among everything else, a small model does not begin to compare."""

MATCHES = Mix(
    writers=(
        (several.same, 4.0),
        (several.count, 4.0),
        (several.choose_name, 3.0),
        (several.choose_color, 1.0),
        (single.yes_no_name, 2.0),
        (single.yes_no_place, 1.0),
        (single.position, 2.5),
        (single.category, 1.0),
        (single.kind, 0.7),
        (single.why, 1.0),
    ),
    turns=_MANY_TURNS,
    follow_ups=0.0,
    scenes=ImagineSettings(n_regions=(0.0, 5.0, 2.5, 1.5, 0.7), unsure=0.05, same_name=0.4, same_kind=0.2),
)
"""The same for what matches: two things each other, a thing its name, a box its place."""

MIXES: Mapping[str, Mix] = {"everything": EVERYTHING, "comparisons": COMPARISONS, "matches": MATCHES}
