"""Two reports on the same questions, answer by answer; knows no engine."""

from collections import defaultdict
from dataclasses import dataclass

from gpt4roi_export.evaluation.intervals import paired_difference
from gpt4roi_export.evaluation.report import Record, Report
from gpt4roi_runtime.errors import InputError

ALL = "all"


@dataclass(frozen=True)
class Difference:
    """How two bundles differ in one task.

    Attributes:
        suite: Which pictures.
        task: Which questions; "all" for all of them.
        n: How many both were asked.
        first: Share of right answers of the first bundle.
        second: Of the second.
        low: Lower end of the 95 % interval of the second's share less the first's.
        high: Upper end.
    """

    suite: str
    task: str
    n: int
    first: float
    second: float
    low: float
    high: float


def compare(first: Report, second: Report) -> tuple[Difference, ...]:
    """Paired differences by suite and task, and over all.

    Raises:
        InputError: The two were not asked the same questions.
    """
    others = {record.id: record for record in second.records}
    if [record.id for record in first.records] != list(others):
        raise InputError(
            f"the reports on {first.bundle_name} and {second.bundle_name} hold different questions",
            "Measure both with the same pictures, seed and number of questions.",
        )
    pairs: dict[tuple[str, str], list[tuple[bool, bool]]] = defaultdict(list)
    for record in first.records:
        other = _same_question(record, others[record.id])
        pairs[record.suite, record.task].append((record.right, other.right))
        pairs[ALL, ALL].append((record.right, other.right))
    everything = pairs.pop((ALL, ALL), [])
    return tuple(
        _difference(suite, task, of_task) for (suite, task), of_task in [*pairs.items(), ((ALL, ALL), everything)]
    )


def _same_question(record: Record, other: Record) -> Record:
    if (record.questions, record.truth) != (other.questions, other.truth):
        raise InputError(
            f"question {record.id} is {record.questions[-1]!r} in one report and {other.questions[-1]!r} in the other",
            "Measure both with the same pictures and vocabulary.",
        )
    return other


def _difference(suite: str, task: str, pairs: list[tuple[bool, bool]]) -> Difference:
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    n = len(pairs)
    interval = paired_difference(first, second)
    return Difference(suite, task, n, sum(first) / max(n, 1), sum(second) / max(n, 1), interval.low, interval.high)
