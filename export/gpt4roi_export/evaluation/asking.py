"""Probes -> answers, through the runtime as a user would ask; knows no scoring.

A picture is encoded once for all its probes. In a dialogue the model goes on from its own answers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpt4roi_export.evaluation.probes import Probe
from gpt4roi_export.evaluation.suites import Suite
from gpt4roi_export.scene import Scene
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.llm.decoder import Sampling
from gpt4roi_runtime.pipeline import EncodedImage, Pipeline
from gpt4roi_runtime.prompt import Turn, mentions

MAX_TOKENS = 80
"""More than any right answer takes."""

GREEDY = Sampling(temperature=0.0)

Progress = Callable[[str, float], None]
"""Told what is being done now, and which share (0..1) of it is done."""

Ask = Callable[[EncodedImage, Probe], tuple[str, ...]]
"""Asks all questions of a probe, and returns the answers."""


@dataclass(frozen=True)
class Answered:
    """A probe and what a model said.

    Attributes:
        probe: The questions and the right answers.
        answers: One for each turn.
    """

    probe: Probe
    answers: tuple[str, ...]


def answer_all(
    pipeline: Pipeline, suite: Suite, probes: Sequence[Probe], progress: Progress, ask: Ask | None = None
) -> tuple[Answered, ...]:
    """Ask every probe.

    Args:
        pipeline: An open bundle.
        suite: Where the pictures are.
        probes: In any order.
        progress: Told how far it is.
        ask: How to ask; None asks ``pipeline``.

    Returns:
        In the order of ``probes``.

    Raises:
        ImageError: A picture cannot be read.
        EngineError: An engine failed.
    """
    asking = ask or (lambda image, probe: answers_to(pipeline, image, probe))
    answers: dict[str, tuple[str, ...]] = {}
    for scene, of_scene in _by_scene(probes):
        image = pipeline.encode(load_image(suite.picture(scene)))
        for probe in of_scene:
            answers[probe.id] = asking(image, probe)
            progress(f"asking about {suite.name}", len(answers) / len(probes))
    return tuple(Answered(probe, answers[probe.id]) for probe in probes)


def answers_to(pipeline: Pipeline, image: EncodedImage, probe: Probe) -> tuple[str, ...]:
    """The model's answers to a probe's questions, each with the dialogue before it.

    Raises:
        EngineError: An engine failed.
    """
    history: tuple[Turn, ...] = ()
    for turn in probe.turns:
        shown = boxes_of(probe.scene, [*(past.question for past in history), turn.question])
        events = pipeline.ask(image, turn.question, shown, history=history, sampling=GREEDY, max_tokens=MAX_TOKENS)
        history = next(event for event in events if isinstance(event, Done)).history
    return tuple(turn.answer for turn in history)


def boxes_of(scene: Scene, questions: Sequence[str]) -> Mapping[int, Box]:
    """The boxes of the regions that questions mention."""
    return {number: Box(*scene.regions[number - 1].box) for number in mentions("\n".join(questions))}


def _by_scene(probes: Sequence[Probe]) -> Iterator[tuple[Scene, list[Probe]]]:
    by_scene: dict[str, list[Probe]] = {}
    for probe in probes:
        by_scene.setdefault(probe.scene.id, []).append(probe)
    for of_scene in by_scene.values():
        yield of_scene[0].scene, of_scene
