"""The loop: stage after stage, step after step, with checkpoints by the clock. Knows no model and no data format."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import nn

from gpt4roi_export import plain_paths
from gpt4roi_export.tuning.batches import StepLimits, epoch_steps
from gpt4roi_export.tuning.checkpoints import Checkpoint, CheckpointFolder, Position, restore
from gpt4roi_export.tuning.learner import Learner, StepLoss
from gpt4roi_export.tuning.optimiser import Optimiser
from gpt4roi_export.tuning.recipe import Part, Stage
from gpt4roi_export.tuning.report import Log, Report, Smoothed, StepFacts
from gpt4roi_export.tuning.stage_data import Item, StageData
from gpt4roi_runtime.errors import BundleError, NumericError, SettingsError
from gpt4roi_runtime.storage import written_aside

FAILED = "failed-step.jsonl"

Parts = Mapping[Part, Mapping[str, nn.Parameter]]


@dataclass(frozen=True)
class Leg:
    """A stage, ready to run.

    Attributes:
        stage: Of the recipe.
        data: What it learns from.
        learner: Gives the loss of a step.
    """

    stage: Stage
    data: StageData
    learner: Learner


@dataclass(frozen=True)
class Surroundings:
    """Where a run happens.

    Attributes:
        out: Folder of its results, already there.
        checkpoints: Where it saves.
        checkpoint_s: How often.
        log: Hears every step.
        report: Hears every step.
        fingerprint: Of recipe and data.
        stop: Asked after every step; True saves and ends.
    """

    out: Path
    checkpoints: CheckpointFolder
    checkpoint_s: float
    log: Log
    report: Report
    fingerprint: str
    stop: Callable[[], bool]


class Run:
    """All stages of a recipe.

    Args:
        legs: The stages.
        parts: Everything that can learn.
        around: Where it happens.
    """

    def __init__(self, legs: Sequence[Leg], parts: Parts, around: Surroundings) -> None:
        self._legs, self._parts, self._around = legs, parts, around
        self._everything = {name: parameter for named in parts.values() for name, parameter in named.items()}
        self._total_steps = 0
        self._saved_s = time.monotonic()
        self._losses: dict[int, dict[str, float]] = {}

    def go(self, resumed: Checkpoint | None = None) -> bool:
        """Run to the end, or until ``stop`` says so.

        Args:
            resumed: Where to go on.

        Returns:
            Whether the end was reached.

        Raises:
            NumericError: A loss or a gradient is not finite; the step's items are saved.
            OutputError: The disk refused; the last checkpoint is whole.
            BundleError: The checkpoint is another run's.
        """
        first = 0
        if resumed is not None:
            if resumed.position.run != self._around.fingerprint:
                raise BundleError(
                    "the checkpoint belongs to another recipe or to other data", "Begin anew in another folder."
                )
            restore(self._everything, resumed)
            first, self._total_steps = resumed.position.stage, resumed.position.total_steps
        stages = range(first, len(self._legs))
        return all(self._stage(index, resumed if index == first else None) for index in stages)

    def history(self) -> list[tuple[int, dict[str, float]]]:
        """Steps and last smoothed losses of every stage; no losses of those that an earlier process did."""
        lengths = [len(plan_stage(leg.stage, leg.data)) for leg in self._legs]
        return [(length, self._losses.get(index, {})) for index, length in enumerate(lengths)]

    def _stage(self, index: int, resumed: Checkpoint | None) -> bool:
        leg = self._legs[index]
        plan = plan_stage(leg.stage, leg.data)
        optimiser = Optimiser(self._parts, leg.stage, len(plan))
        done = 0
        if resumed is not None:
            optimiser.restore(resumed.tensors)
            done = resumed.position.step
        self._around.report.begin(leg.stage.name, len(plan), done)
        losses = Smoothed()
        for step in range(done, len(plan)):
            facts = self._step(index, step, plan[step], optimiser)
            losses.add({"loss": facts.loss, **facts.by_task})
            self._total_steps += 1
            stop = self._around.stop()
            if stop or time.monotonic() - self._saved_s >= self._around.checkpoint_s:
                self._save(index, step + 1, optimiser)
            if stop:
                return False
        self._losses[index] = losses.means()
        if index + 1 < len(self._legs):
            self._save(index + 1, 0, None)
        else:
            self._save(index, len(plan), optimiser)
        return True

    def _step(self, index: int, step: int, chosen: np.ndarray, optimiser: Optimiser) -> StepFacts:
        leg = self._legs[index]
        began_s = time.perf_counter()
        items = [leg.data.items[item] for item in chosen]
        # All chance of a step comes from its number, so that a resumed run draws the same.
        torch.manual_seed(_mixed(leg.stage.seed, index, step))
        loss = leg.learner.loss(items, np.random.default_rng((leg.stage.seed, index, step)))
        if loss.total.requires_grad:
            torch.autograd.backward(loss.total)
        norm, share = optimiser.step(step)
        value = float(loss.total.detach())
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise self._not_finite(leg, step, items, value, norm)
        facts = _facts(leg.stage.name, step + 1, loss, value, norm, share, time.perf_counter() - began_s)
        self._around.log.step(facts)
        self._around.report.step(facts)
        return facts

    def _save(self, stage: int, step: int, optimiser: Optimiser | None) -> None:
        position = Position(stage, step, self._total_steps, self._around.fingerprint)
        state = {} if optimiser is None else optimiser.state()
        self._around.checkpoints.write(Checkpoint(position, {**self._everything, **state}))
        self._saved_s = time.monotonic()

    def _not_finite(self, leg: Leg, step: int, items: Sequence[Item], loss: float, norm: float) -> NumericError:
        scenes = dict.fromkeys(item.scene for item in items)
        place = self._around.out / FAILED
        with written_aside(place) as file:
            for scene in scenes:
                file.write(msgspec.json.encode(leg.data.scenes[scene].scene, enc_hook=plain_paths.encoded) + b"\n")
        return NumericError(
            f"step {step + 1} of stage {leg.stage.name!r} gave loss {loss} and gradient norm {norm}",
            f"Its scenes are in {place}; look at them, lower the rates, and resume from the last checkpoint.",
        )


def plan_stage(stage: Stage, data: StageData) -> list[np.ndarray]:
    """Items of every step of a stage.

    Raises:
        SettingsError: The weights leave nothing to show.
    """
    limits = StepLimits(stage.tokens_per_step, stage.pictures_per_step)
    steps: list[np.ndarray] = []
    epoch = 0
    while epoch < stage.epochs if stage.epochs is not None else len(steps) < (stage.steps or 0):
        of_epoch = epoch_steps(data.sizes, limits, stage.seed, epoch)
        if not of_epoch:
            raise SettingsError(f"epoch {epoch + 1} of stage {stage.name!r} is empty", "Raise the data's weights.")
        steps += of_epoch
        epoch += 1
    return steps if stage.steps is None else steps[: stage.steps]


def _facts(stage: str, step: int, loss: StepLoss, value: float, norm: float, share: float, seconds: float) -> StepFacts:
    return StepFacts(
        stage=stage,
        step=step,
        loss=value,
        by_task=loss.by_task,
        gradient_norm=norm,
        rate_share=share,
        n_rows=loss.n_rows,
        n_answer_rows=loss.n_answer_rows,
        seconds=seconds,
    )


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, dtype=np.uint64)[0] >> np.uint64(1))
