"""Two results held against each other: rows joined by test and settings, ratios with uncertainty; prints nothing.

The ratio is B's mean over A's. Its relative standard uncertainty is that of a quotient of independent means, the root
of the summed squares of their relative standard errors (JCGM 100:2008, 5.1.6):

    u(R) / R = sqrt( (s_A / m_A)^2 / n_A  +  (s_B / m_B)^2 / n_B )

widened to an interval of 95 % by Student's t with the effective degrees of freedom of Welch and Satterthwaite (the
same, G.4.1). Repetitions of one run share its moment: what changes between runs, such as other work of the machine, is
not in it. Results come from others: they are read up to a size, and every field is checked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Literal

import msgspec

from gpt4roi_runtime.bench.matrix import LanguageTest
from gpt4roi_runtime.bench.spread import deviation, mean
from gpt4roi_runtime.errors import InputError, SettingsError

MAX_FILE_BYTES = 64 << 20
SETTINGS = ("n_threads", "n_batch", "n_ubatch", "type_k", "type_v", "n_gpu_layers", "flash_attn", "image")
"""Fields that have to be equal for two rows to be the same test."""

Verdict = Literal["within noise", "B faster", "B slower", "B larger", "B smaller", "unknown"]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
Speed = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
Name = Annotated[str, msgspec.Meta(max_length=4096)]

_HOW = "Make one with `gpt4roi bench -o json --out FILE`, or with llama-bench -o json."
_OF_VISION = ("n_threads", "image")
_OF_LANGUAGE = tuple(name for name in SETTINGS if name != "image")
# Two-sided 95 % of Student's t for 1 to 30 degrees of freedom.
_T_95 = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)


class Entry(msgspec.Struct, frozen=True):
    """What a comparison needs of a row, ours or llama-bench's."""

    n_batch: Count
    n_ubatch: Count
    n_threads: Count
    type_k: Name
    type_v: Name
    n_gpu_layers: int
    flash_attn: int | bool
    n_prompt: Count
    n_gen: Count
    n_depth: Count = 0
    backends: Name = ""
    avg_ts: Speed | None = None
    samples_ts: Annotated[tuple[Speed, ...], msgspec.Meta(max_length=100_000)] = ()
    test: Name = ""
    kind: Name = "language"
    image: Name = ""
    peak_rss_bytes: Count | None = None

    @property
    def name(self) -> str:
        """The test's; llama-bench's rows do not say it."""
        return self.test or LanguageTest(self.n_prompt, self.n_gen, self.n_depth).name

    @property
    def is_memory(self) -> bool:
        """Whether bytes are what it measured, and not time."""
        return self.avg_ts is None and not self.samples_ts and self.peak_rss_bytes is not None

    @property
    def values(self) -> tuple[float, ...]:
        """Speed of every repetition, or bytes."""
        if self.is_memory:
            return (float(self.peak_rss_bytes or 0),)
        return self.samples_ts or ((self.avg_ts,) if self.avg_ts is not None else ())

    def settings(self, ignored: Sequence[str] = ()) -> dict[str, int | str]:
        """What the test depends on; layers for a GPU mean nothing without one."""
        names = {"language": _OF_LANGUAGE, "vision": _OF_VISION}.get(self.kind, SETTINGS)
        facts: dict[str, int | str] = {name: getattr(self, name) for name in names if name not in ignored}
        if self.backends == "CPU" and "n_gpu_layers" in facts:
            facts["n_gpu_layers"] = 0
        return {name: int(value) if isinstance(value, bool) else value for name, value in facts.items()}


@dataclass(frozen=True)
class Ratio:
    """One test in both results.

    Attributes:
        test: Its name.
        settings: What it was made with.
        unit: What ``mean_a`` and ``mean_b`` count.
        mean_a: Of A.
        mean_b: Of B.
        n_a: Repetitions of A.
        n_b: Repetitions of B.
        ratio: B over A; above 1, B is faster, or takes more memory.
        uncertainty: Half of its interval of 95 %; None where there are too few repetitions to tell.
        verdict: In words.
    """

    test: str
    settings: dict[str, int | str]
    unit: Literal["items/s", "bytes"]
    mean_a: float
    mean_b: float
    n_a: int
    n_b: int
    ratio: float
    uncertainty: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Single:
    """A test that only one result has."""

    test: str
    settings: dict[str, int | str]


@dataclass(frozen=True)
class Comparison:
    """Everything that was found."""

    ratios: tuple[Ratio, ...]
    only_a: tuple[Single, ...]
    only_b: tuple[Single, ...]


def read_result(path: Path) -> tuple[Entry, ...]:
    """Rows of a file of JSON or JSON lines, written by us or by llama-bench.

    Raises:
        InputError: It cannot be read, is too large, or is no such file.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # a NUL in the name
        raise InputError(f"{path} cannot be read: {error}", "Check the path and its rights.") from error
    if len(raw) > MAX_FILE_BYTES:
        raise InputError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB", _HOW)
    try:
        if raw.lstrip()[:1] == b"[":
            return msgspec.json.decode(raw, type=tuple[Entry, ...])
        return tuple(msgspec.json.decode(line, type=Entry) for line in raw.splitlines() if line.strip())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is no result of a benchmark: {error}", _HOW) from error


def compare(a: Sequence[Entry], b: Sequence[Entry], ignored: Sequence[str] = ()) -> Comparison:
    """Join two results and work out the ratios, in A's order.

    Args:
        a: Rows of A.
        b: Rows of B.
        ignored: Names of settings that may differ.

    Raises:
        SettingsError: A name that is no setting, or a result with two rows of one test and the same settings.
    """
    for name in ignored:
        if name not in SETTINGS:
            raise SettingsError(f"{name!r} is no setting that rows are joined by", f"Use {', '.join(SETTINGS)}.")
    first, second = _by_key("A", a, ignored), _by_key("B", b, ignored)
    return Comparison(
        ratios=tuple(_ratio(entry, second[key], ignored) for key, entry in first.items() if key in second),
        only_a=tuple(Single(entry.name, entry.settings(ignored)) for key, entry in first.items() if key not in second),
        only_b=tuple(Single(entry.name, entry.settings(ignored)) for key, entry in second.items() if key not in first),
    )


def relative_interval(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Half of the interval of 95 % of mean(b) / mean(a), as a part of that ratio; see above.

    Returns:
        None where a side has fewer than two values, or a mean of 0.
    """
    if min(len(a), len(b)) < 2 or not mean(a) or not mean(b):
        return None
    squares = [(deviation(values) / mean(values)) ** 2 / len(values) for values in (a, b)]
    together = sum(squares)
    if together == 0:
        return 0.0
    freedom = together**2 / sum(square**2 / (len(values) - 1) for square, values in zip(squares, (a, b), strict=True))
    return _student(freedom) * math.sqrt(together)


def _student(freedom: float) -> float:
    """Two-sided 95 % of Student's t; degrees that are no whole number are rounded down (JCGM 100:2008, G.4.1)."""
    whole = max(1, math.floor(freedom))
    if whole <= len(_T_95):
        return _T_95[whole - 1]
    z = NormalDist().inv_cdf(0.975)
    return z + (z**3 + z) / (4 * whole)  # the first term of its expansion about the normal distribution


def _by_key(side: str, entries: Sequence[Entry], ignored: Sequence[str]) -> dict[tuple[object, ...], Entry]:
    found: dict[tuple[object, ...], Entry] = {}
    for entry in entries:
        if not entry.values:
            continue
        key = (entry.name, entry.is_memory, *sorted(entry.settings(ignored).items()))
        if key in found:
            raise SettingsError(
                f"{side} has two rows of {entry.name} with the same settings: {_words(entry.settings(ignored))}",
                "Compare results of one run each, or ignore fewer settings.",
            )
        found[key] = entry
    return found


def _ratio(a: Entry, b: Entry, ignored: Sequence[str]) -> Ratio:
    mean_a, mean_b = mean(a.values), mean(b.values)
    ratio = mean_b / mean_a if mean_a else math.inf
    part = relative_interval(a.values, b.values)
    uncertainty = None if part is None else part * ratio
    return Ratio(
        test=a.name,
        settings=a.settings(ignored),
        unit="bytes" if a.is_memory else "items/s",
        mean_a=mean_a,
        mean_b=mean_b,
        n_a=len(a.values),
        n_b=len(b.values),
        ratio=ratio,
        uncertainty=uncertainty,
        verdict=_verdict(ratio, uncertainty, is_memory=a.is_memory),
    )


def _verdict(ratio: float, uncertainty: float | None, *, is_memory: bool) -> Verdict:
    if is_memory:
        return "B larger" if ratio > 1 else "B smaller" if ratio < 1 else "within noise"
    if uncertainty is None:
        return "unknown"
    if abs(ratio - 1) <= uncertainty:
        return "within noise"
    return "B faster" if ratio > 1 else "B slower"


def _words(settings: dict[str, int | str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
