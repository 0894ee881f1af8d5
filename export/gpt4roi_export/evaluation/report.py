"""The results of a measurement as a JSON file; knows no engine and no terminal."""

from pathlib import Path

import msgspec

from gpt4roi_runtime.errors import InputError
from gpt4roi_runtime.storage import written_aside

VERSION = 1


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share of right answers.

    Attributes:
        suite: Which pictures.
        task: Which questions.
        n: How many were asked.
        n_right: How many answers were right.
        low: Lower end of the 95 % interval of the share.
        high: Upper end.
        target: What it should reach; None where nothing was promised.
    """

    suite: str
    task: str
    n: int
    n_right: int
    low: float
    high: float
    target: float | None = None

    @property
    def share(self) -> float:
        """Of right answers, 0..1."""
        return self.n_right / self.n if self.n else 0.0

    @property
    def reached(self) -> bool | None:
        """Whether the share reached its target; None where there is none, or nothing was asked."""
        return None if self.target is None or not self.n else self.share >= self.target


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the model knows what it does not know: namings by what it said of its own certainty.

    Attributes:
        suite: Which pictures.
        n_sure: Namings without doubt.
        n_sure_right: Of these, how many were right.
        n_unsure: "I am not sure, it may be ...".
        n_unsure_right: Of these, how many were right.
    """

    suite: str
    n_sure: int
    n_sure_right: int
    n_unsure: int
    n_unsure_right: int


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One probe and what came of it.

    Attributes:
        id: The same for the same suite, seed and number of questions.
        suite: Which pictures.
        task: Which questions.
        scene: The scene's id.
        image: Path of its picture.
        boxes: The regions mentioned, in pixels, by number.
        questions: One for each turn.
        answers: What the model said.
        truth: The right answer to the last question.
        right: Whether the last answer is right.
        unsure: Whether the last answer says that it is not certain.
        named_right: Whether the last answer gives the right name; None where it was not asked for.
    """

    id: str
    suite: str
    task: str
    scene: str
    image: str
    boxes: dict[int, tuple[float, float, float, float]]
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    truth: str
    right: bool
    unsure: bool
    named_right: bool | None = None


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measurement of one bundle.

    Attributes:
        version: Of this format.
        bundle_name: From its manifest.
        bundle_id: From its manifest's hash.
        seed: Of the questions.
        n_per_task: How many were wanted.
        seconds: Wall-clock time.
        scores: By suite and task.
        calibrations: By suite.
        controls: The experiments with spoiled regions.
        records: Everything asked, controls left out.
    """

    version: int
    bundle_name: str
    bundle_id: str
    seed: int
    n_per_task: int
    seconds: float
    scores: tuple[Score, ...]
    calibrations: tuple[Calibration, ...]
    controls: tuple[Score, ...]
    records: tuple[Record, ...]


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON; the file appears whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    with written_aside(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(report), indent=1))


def read_report(path: Path) -> Report:
    """Read a report.

    Raises:
        InputError: The file cannot be read, or is not a report of this version.
    """
    try:
        report = msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path} is not a report: {error}", "Measure the bundle again.") from error
    if report.version != VERSION:
        raise InputError(f"{path} has version {report.version}", f"Expected {VERSION}; measure the bundle again.")
    return report
