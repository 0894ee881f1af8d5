"""Experiments that show whether answers come from the regions: without them, with others', with two of them swapped.

Does not know how a report looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpt4roi_export.evaluation import claims
from gpt4roi_export.evaluation.asking import Answered, Progress, answer_all
from gpt4roi_export.evaluation.perturbing import BlankRegions, PerturbingEncoder, ShuffledRegions, SwappedRegions
from gpt4roi_export.evaluation.probes import Probe, of_two_things
from gpt4roi_export.evaluation.suites import Suite
from gpt4roi_export.scene import Scene
from gpt4roi_runtime.arrays import RegionEmbeddings
from gpt4roi_runtime.geometry import Box, normalise
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.pipeline import Pipeline

_N_ELSEWHERE = 40  # scenes that lend their regions


@dataclass(frozen=True)
class Outcome:
    """What an experiment gave.

    Attributes:
        name: What was done.
        answered: Probes and answers; scored as names, except for swapped regions.
        consistent: For swapped regions, whether each pair of answers was swapped, too.
    """

    name: str
    answered: tuple[Answered, ...]
    consistent: tuple[bool, ...] = ()


def run_controls(
    pipeline: Pipeline, suite: Suite, probes: tuple[Probe, ...], as_asked: Sequence[Answered], progress: Progress
) -> tuple[Outcome, ...]:
    """Ask for names once more, with spoiled regions.

    Args:
        pipeline: An open bundle.
        suite: Where the pictures are.
        probes: All probes of the suite.
        as_asked: What the model said with the real regions.
        progress: Told how far it is.

    Raises:
        EngineError: An engine failed.
    """
    names = [probe for probe in probes if probe.task == "name"]
    if not names:
        return ()
    elsewhere = region_embeddings(pipeline, suite, suite.scenes[:_N_ELSEWHERE])
    outcomes = []
    for name, encoder in (
        ("blank", BlankRegions(pipeline.encoder, elsewhere)),
        ("shuffled", ShuffledRegions(pipeline.encoder, elsewhere)),
    ):
        outcomes.append(Outcome(name, answer_all(_with(pipeline, encoder), suite, names, progress)))
    pairs = of_two_things(probes)
    swapped = answer_all(_with(pipeline, SwappedRegions(pipeline.encoder)), suite, pairs, progress)
    before = {answered.probe.id: answered for answered in as_asked}
    both = [(before[after.probe.id], after) for after in swapped]
    # Where the model takes two things for the same, a swap shows nothing.
    telling = [(first, after) for first, after in both if _tells_apart(first.answers[-1])]
    consistent = tuple(is_swapped(first.answers[-1], after.answers[-1]) for first, after in telling)
    return (*outcomes, Outcome("swapped", tuple(after for _, after in telling), consistent))


def region_embeddings(pipeline: Pipeline, suite: Suite, scenes: Sequence[Scene]) -> RegionEmbeddings:
    """The rows of every region of some scenes, float32 ``[n k d]``.

    Raises:
        EngineError: An engine failed.
    """
    parts = []
    for scene in scenes:
        if not scene.regions:
            continue
        image = pipeline.encode(load_image(suite.picture(scene)))
        boxes = normalise(
            {number: Box(*region.box) for number, region in enumerate(scene.regions, 1)},
            image.width_px,
            image.height_px,
        )
        parts.append(pipeline.encoder.embed_regions(image.features.pyramid, boxes))
    return np.concatenate(parts)


def is_swapped(before: str, after: str) -> bool:
    """Whether two answers give two regions each other's names."""
    first, second = claims.names(before), claims.names(after)
    if len(first) != 2 or first.keys() != second.keys():
        return False
    one, other = first
    return (first[one], first[other]) == (second[other], second[one])


def _tells_apart(answer: str) -> bool:
    names = claims.names(answer)
    return len(names) == 2 and len(set(names.values())) == 2


def _with(pipeline: Pipeline, encoder: PerturbingEncoder) -> Pipeline:
    """The same bundle and language engine behind another vision engine; not to be closed."""
    return Pipeline(pipeline.bundle, encoder, pipeline.decoder)
