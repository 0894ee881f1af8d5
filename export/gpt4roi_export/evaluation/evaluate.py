"""The story of a measurement: build questions, ask them, score the answers. Does not print."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from gpt4roi_export.dialogues.names import NameIndex
from gpt4roi_export.evaluation import claims
from gpt4roi_export.evaluation.asking import Answered, Progress, answer_all, boxes_of
from gpt4roi_export.evaluation.controls import Outcome, run_controls
from gpt4roi_export.evaluation.intervals import wilson
from gpt4roi_export.evaluation.probes import DOUBT, FOLLOW_UP, build_probes
from gpt4roi_export.evaluation.report import VERSION, Calibration, Record, Report, Score
from gpt4roi_export.evaluation.scoring import Case, asked_about, is_right, names_right
from gpt4roi_export.evaluation.suites import Suite
from gpt4roi_runtime.pipeline import Pipeline

TARGETS: Mapping[str, float] = {
    "trained-objects/name": 0.92,
    "held-out/name": 0.65,
    "real-photos/name": 0.5,
    "color": 0.85,
    "position": 0.92,
    "relation": 0.92,
    "bigger": 0.92,
    "count": 0.8,
    "reject a wrong name": 0.85,
    FOLLOW_UP: 0.85,
}
"""What a share should reach, by task, or by suite and task where one suite is held to something else."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured.

    Attributes:
        n_per_task: Questions for each task of each suite.
        seed: Of the questions.
        controls: Whether regions are spoiled, too, in order to see that they are looked at.
        targets: What shares should reach.
    """

    n_per_task: int = 200
    seed: int = 20
    controls: bool = True
    targets: Mapping[str, float] = field(default_factory=lambda: TARGETS)


def evaluate(
    pipeline: Pipeline, suites: Sequence[Suite], index: NameIndex, settings: EvaluationSettings, progress: Progress
) -> Report:
    """Measure an open bundle.

    Args:
        pipeline: The bundle, as a user would open it.
        suites: Pictures and facts.
        index: All names, for questions about wrong ones.
        settings: What is measured.
        progress: Told how far it is.

    Raises:
        ImageError: A picture cannot be read.
        EngineError: An engine failed.
    """
    started_s = perf_counter()
    records: list[Record] = []
    controls: list[Score] = []
    for suite in suites:
        probes = build_probes(suite, index, settings.seed, settings.n_per_task)
        answered = answer_all(pipeline, suite, probes, progress)
        records += [_record(suite, each) for each in answered]
        if settings.controls:
            outcomes = run_controls(pipeline, suite, probes, answered, progress)
            controls += [_control_score(suite, outcome) for outcome in outcomes]
    manifest = pipeline.bundle.manifest
    return Report(
        version=VERSION,
        bundle_name=manifest.name,
        bundle_id=pipeline.bundle.id,
        seed=settings.seed,
        n_per_task=settings.n_per_task,
        seconds=round(perf_counter() - started_s, 1),
        scores=scores_of(records, settings.targets),
        calibrations=calibrations_of(records),
        controls=tuple(controls),
        records=tuple(records),
    )


def scores_of(records: Sequence[Record], targets: Mapping[str, float]) -> tuple[Score, ...]:
    """Shares of right answers, by suite and task, in the order of the records."""
    by_task: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for record in records:
        by_task[record.suite, record.task].append(record.right)
    return tuple(
        score_of(suite, task, right, targets.get(f"{suite}/{task}", targets.get(task)))
        for (suite, task), right in by_task.items()
    )


def score_of(suite: str, task: str, right: Sequence[bool], target: float | None = None) -> Score:
    """A share of right answers with its interval."""
    interval = wilson(sum(right), len(right))
    return Score(suite, task, len(right), sum(right), round(interval.low, 4), round(interval.high, 4), target)


def calibrations_of(records: Sequence[Record]) -> tuple[Calibration, ...]:
    """What namings said of their own certainty, by suite."""
    by_suite: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.named_right is not None:
            by_suite[record.suite].append(record)
    calibrations = []
    for suite, namings in by_suite.items():
        sure = [record.named_right is True for record in namings if not record.unsure]
        unsure = [record.named_right is True for record in namings if record.unsure]
        calibrations.append(Calibration(suite, len(sure), sum(sure), len(unsure), sum(unsure)))
    return tuple(calibrations)


def case_of(suite: Suite, answered: Answered) -> Case:
    """The last answer to a probe, with all that it is judged by."""
    probe = answered.probe
    return Case(
        exchange=probe.turns[-1],
        answer=answered.answers[-1],
        scene=probe.scene,
        accepted=suite.accepted[probe.scene.id],
        numbers=asked_about(probe.turns),
    )


def _record(suite: Suite, answered: Answered) -> Record:
    probe, case = answered.probe, case_of(suite, answered)
    questions = tuple(turn.question for turn in probe.turns)
    return Record(
        id=probe.id,
        suite=suite.name,
        task=probe.task,
        scene=probe.scene.id,
        image=str(Path(suite.picture(probe.scene)).absolute()),
        boxes={number: box.xyxy for number, box in boxes_of(probe.scene, questions).items()},
        questions=questions,
        answers=answered.answers,
        truth=probe.turns[-1].answer,
        right=is_right(case),
        unsure=claims.is_unsure(answered.answers[-1]),
        named_right=names_right(case) if probe.task in ("name", DOUBT) else None,
    )


def _control_score(suite: Suite, outcome: Outcome) -> Score:
    right = (
        outcome.consistent
        if outcome.name == "swapped"
        else [is_right(case_of(suite, each)) for each in outcome.answered]
    )
    return score_of(suite.name, outcome.name, right)
