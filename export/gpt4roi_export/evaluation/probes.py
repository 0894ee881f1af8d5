"""Questions with known answers about a suite's scenes, the same number for every task. Knows no model.

The wordings are those kept from training.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec

from gpt4roi_export.dialogues import several, single, talk
from gpt4roi_export.dialogues.desk import Desk, Draft, Writer
from gpt4roi_export.dialogues.habits import as_typed
from gpt4roi_export.dialogues.names import NameIndex
from gpt4roi_export.dialogues.wordings import Phrasings
from gpt4roi_export.dialogues.write import write_dialogues
from gpt4roi_export.evaluation import claims
from gpt4roi_export.evaluation.suites import Suite
from gpt4roi_export.scene import Exchange, Scene
from gpt4roi_runtime.prompt import mentions

FOLLOW_UP = "follow-up"
"""Later turns of a dialogue, whatever they ask."""

DOUBT = "doubt the unknown"
"""The names of things that a model cannot be expected to know."""

_UNSCORED = frozenset({"talk", "sure"})
_ROUNDS = 40  # through all scenes, before a task that finds too few occasions is left with fewer questions


@dataclass(frozen=True)
class Task:
    """One row of the report.

    Attributes:
        writers: Who writes its questions.
        begins: How the right answer has to begin, where a task takes only some of a writer's questions.
        doubtful: Whether the right answer is that one cannot be sure.
    """

    writers: tuple[Writer, ...]
    begins: str = ""
    doubtful: bool = False

    def takes(self, draft: Draft) -> bool:
        """Whether the question belongs here."""
        return draft.answer.startswith(self.begins) and _is_doubtful(draft.task, draft.answer) == self.doubtful


TASKS: Mapping[str, Task] = {
    "name": Task((single.name,)),
    DOUBT: Task((single.name,), doubtful=True),
    "describe": Task((single.describe,)),
    "color": Task((single.color,)),
    "position": Task((single.position,)),
    "size": Task((single.size,)),
    "kind": Task((single.kind, single.category)),
    "confirm a right name": Task((single.yes_no_name,), "Yes"),
    "reject a wrong name": Task((single.yes_no_name,), "No"),
    "yes/no color": Task((single.yes_no_color,)),
    "yes/no position": Task((single.yes_no_place,)),
    "why": Task((single.why,)),
    "relation": Task((several.relation, several.yes_no_relation)),
    "bigger": Task((several.bigger, several.yes_no_bigger)),
    "compare": Task((several.compare,)),
    "both": Task((several.both,)),
    "the same": Task((several.same,), "Yes"),
    "not the same": Task((several.same,), "No"),
    "count": Task((several.count,)),
    "choose": Task((several.choose_name, several.choose_color, several.choose_largest, several.choose_end)),
    "missing": Task((talk.missing,)),
    "image": Task((talk.image,)),
    "beyond": Task((talk.beyond,)),
}
"""What is asked in a single turn."""


@dataclass(frozen=True)
class Probe:
    """A dialogue of which the last answer is scored.

    Attributes:
        id: The same for the same suite, seed and number of questions.
        task: The row of the report.
        scene: What it is about.
        turns: Questions with their right answers.
    """

    id: str
    task: str
    scene: Scene
    turns: tuple[Exchange, ...]


def build_probes(suite: Suite, index: NameIndex, seed: int, n_per_task: int) -> tuple[Probe, ...]:
    """Questions for every task that the suite's facts can answer.

    Args:
        suite: Scenes and their facts.
        index: All names, for questions about wrong ones.
        seed: With the suite's name, all that chance depends on.
        n_per_task: How many for each task; fewer where the scenes do not give as many occasions.
    """
    scenes = [msgspec.structs.replace(scene, dialogues=()) for scene in suite.scenes]
    index = _knowing_synonyms(suite, index)
    probes: list[Probe] = []
    for task in (*TASKS, FOLLOW_UP):
        rng = random.Random(f"{seed}/{suite.name}/{task}")  # noqa: S311 - no secret
        found = _follow_ups(scenes, index, rng) if task == FOLLOW_UP else _single_turns(task, scenes, index, rng)
        for number, (scene, turns) in zip(range(n_per_task), found, strict=False):
            probes.append(Probe(f"{suite.name}/{task}/{number}", task, scene, turns))
    return tuple(probes)


def of_two_things(probes: tuple[Probe, ...]) -> tuple[Probe, ...]:
    """The probes that ask for the names of just two regions, which differ."""
    pairs = []
    for probe in probes:
        names = claims.names(probe.turns[-1].answer) if probe.task == "both" else {}
        if len(names) == 2 and len(set(names.values())) == 2:
            pairs.append(probe)
    return tuple(pairs)


def _knowing_synonyms(suite: Suite, index: NameIndex) -> NameIndex:
    """The index with all that is right for the suite's regions, so that none of it is asked about as a wrong name."""
    accepted = dict(index.accepted)
    for scene in suite.scenes:
        for region, right in zip(scene.regions, suite.accepted.get(scene.id, ()), strict=False):
            if region.name is not None:
                accepted[region.name] = accepted.get(region.name, frozenset()) | right
    return replace(index, accepted=accepted)


def _is_doubtful(task: str, answer: str) -> bool:
    return task == "unsure" or " may be " in answer


def _shuffled_rounds(scenes: list[Scene], rng: random.Random) -> Iterator[Scene]:
    for _ in range(_ROUNDS):
        yield from rng.sample(scenes, len(scenes))


def _single_turns(
    name: str, scenes: list[Scene], index: NameIndex, rng: random.Random
) -> Iterator[tuple[Scene, tuple[Exchange, ...]]]:
    task = TASKS[name]
    # The same thing is not asked twice of the same regions: intervals take answers as independent.
    asked: set[tuple[str, tuple[int, ...] | str]] = set()
    for scene in _shuffled_rounds(scenes, rng):
        draft = rng.choice(task.writers)(Desk(scene, index, Phrasings.HELD_OUT, rng))
        if draft is None or not task.takes(draft):
            continue
        subject = scene.id, tuple(sorted(mentions(draft.question))) or draft.question
        if subject not in asked:
            asked.add(subject)
            yield scene, (Exchange(as_typed(draft.question, rng), draft.answer, draft.task),)


def _follow_ups(
    scenes: list[Scene], index: NameIndex, rng: random.Random
) -> Iterator[tuple[Scene, tuple[Exchange, ...]]]:
    for scene in _shuffled_rounds(scenes, rng):
        for dialogue in write_dialogues(scene, rng, Phrasings.HELD_OUT, index, n_dialogues=1).dialogues:
            last = dialogue[-1]
            scored = last.task not in _UNSCORED and (last.task == "unsure" or " may be " not in last.answer)
            if len(dialogue) > 1 and scored:
                yield scene, dialogue
