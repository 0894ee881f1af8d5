"""One comparison of two engines' numbers, stage by stage, used for every backend.

Does not know which engines they are, nor how the numbers were made.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpt4roi_runtime.errors import NumericError

Stages = Mapping[str, NDArray[np.float32]]
"""Arrays by the name of the stage that made them, in the order of the data flow."""


@dataclass(frozen=True)
class ParityLimits:
    """How far a candidate may be from the reference.

    Attributes:
        relative_error: Largest allowed ``|candidate - reference| / |reference|`` (Frobenius norms).
        cosine: Smallest allowed cosine of the flattened arrays.
    """

    relative_error: float = 1e-4
    cosine: float = 0.9999


@dataclass(frozen=True)
class StageParity:
    """How one stage compares.

    Attributes:
        stage: Its name.
        max_abs: Largest absolute difference of two numbers.
        relative_error: Frobenius norm of the difference over that of the reference.
        cosine: Cosine of the flattened arrays; 1 where both are zero.
        off: What is wrong in words; empty if the stage is within the limits.
    """

    stage: str
    max_abs: float
    relative_error: float
    cosine: float
    off: str = ""


@dataclass(frozen=True)
class ParityReport:
    """All stages in the order of the data flow, so that the first one off is where to look.

    Attributes:
        stages: One entry a stage of the reference.
        limits: What they were held against.
    """

    stages: tuple[StageParity, ...]
    limits: ParityLimits

    @property
    def off(self) -> tuple[StageParity, ...]:
        """The stages outside the limits."""
        return tuple(stage for stage in self.stages if stage.off)

    def require(self) -> None:
        """Accept the candidate or say where it differs.

        Raises:
            NumericError: A stage is outside the limits; all of them are listed, the first one first.
        """
        if self.off:
            lines = "; ".join(f"{stage.stage}: {stage.off}" for stage in self.off)
            raise NumericError(
                f"{len(self.off)} of {len(self.stages)} stages differ from the reference: {lines}",
                f"Allowed: relative error {self.limits.relative_error:g}, cosine {self.limits.cosine:g}. "
                "Look at the first stage listed; those behind it inherit its error.",
            )


def compare(reference: Stages, candidate: Stages, limits: ParityLimits | None = None) -> ParityReport:
    """Compare every stage of the reference with the candidate's stage of the same name.

    Args:
        reference: Numbers believed to be right.
        candidate: Numbers to judge; stages the reference does not have are ignored.
        limits: Thresholds; those of float32 engines if not given.

    Returns:
        The report. Call ``require`` on it to turn a difference into an error.

    Raises:
        NumericError: There is no stage to compare, which would prove nothing.
    """
    if not reference:
        raise NumericError("the reference has no stage", "Give at least one array to compare.")
    limits = limits or ParityLimits()
    return ParityReport(
        stages=tuple(_compare_stage(name, array, candidate.get(name), limits) for name, array in reference.items()),
        limits=limits,
    )


def _compare_stage(
    name: str, reference: NDArray[np.float32], candidate: NDArray[np.float32] | None, limits: ParityLimits
) -> StageParity:
    unknown = float("nan")
    if candidate is None:
        return StageParity(name, unknown, unknown, unknown, off="missing")
    if candidate.shape != reference.shape:
        return StageParity(name, unknown, unknown, unknown, off=f"shape {candidate.shape}, expected {reference.shape}")
    # float64: the norms of a pyramid level sum millions of squares.
    ours, theirs = candidate.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    for side, values in (("", ours), (" in the reference", theirs)):
        if not np.isfinite(values).all():
            return StageParity(name, unknown, unknown, unknown, off=f"NaN or infinity{side}")
    difference, scale = float(np.linalg.norm(ours - theirs)), float(np.linalg.norm(theirs))
    relative_error = difference / scale if scale else (0.0 if difference == 0.0 else float("inf"))
    length = float(np.linalg.norm(ours)) * scale
    cosine = float(ours @ theirs) / length if length else float(difference == 0.0)
    max_abs = float(np.abs(ours - theirs).max(initial=0.0))
    off = ""
    if not (relative_error <= limits.relative_error and cosine >= limits.cosine):
        off = f"relative error {relative_error:.2e}, cosine {cosine:.6f}, max abs {max_abs:.2e}"
    return StageParity(name, max_abs, relative_error, cosine, off)
