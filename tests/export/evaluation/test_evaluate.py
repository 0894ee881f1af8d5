"""A whole measurement with a model that reads regions, and with one that does not."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from gpt4roi_export.cli import commands
from gpt4roi_export.dialogues.names import NameIndex
from gpt4roi_export.evaluation.compare import ALL, compare
from gpt4roi_export.evaluation.controls import is_swapped
from gpt4roi_export.evaluation.evaluate import EvaluationSettings, calibrations_of, evaluate, score_of, scores_of
from gpt4roi_export.evaluation.report import Record, Report, read_report, write_report
from gpt4roi_export.evaluation.tables import (
    calibration_table,
    control_table,
    difference_table,
    score_table,
)
from gpt4roi_runtime.errors import InputError
from tests.export.evaluation.made import open_fake, write_suite

N = 6
SETTINGS = EvaluationSettings(n_per_task=N, seed=1)


@pytest.fixture(scope="module")
def seeing(index: NameIndex, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return _measure(index, tmp_path_factory.mktemp("seeing"), blind=False)


@pytest.fixture(scope="module")
def blind(index: NameIndex, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return _measure(index, tmp_path_factory.mktemp("blind"), blind=True)


def _measure(index: NameIndex, folder: Path, *, blind: bool) -> Report:
    suite = write_suite(folder / "suite")
    pipeline, _ = open_fake(folder / "bundle", blind=blind)
    return evaluate(pipeline, [suite], index, SETTINGS, lambda doing, done: None)


def _shares(report: Report) -> dict[str, float]:
    return {score.task: score.share for score in (*report.scores, *report.controls)}


def test_a_model_that_sees_names_everything_and_controls_show_it(seeing: Report) -> None:
    shares = _shares(seeing)
    assert shares["name"] == shares["both"] == 1
    assert shares["reject a wrong name"] == shares["count"] == 0
    assert shares["blank"] == 0
    assert shares["swapped"] == 1


def test_a_blind_model_is_found_out(blind: Report) -> None:
    shares = _shares(blind)
    assert 0 < shares["name"] < 1
    assert shares["blank"] == shares["name"]
    assert next(score for score in blind.controls if score.task == "swapped").n == 0  # it never tells two things apart


def test_a_picture_is_encoded_once_for_all_its_questions(index: NameIndex, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite")
    pipeline, encoder = open_fake(tmp_path / "bundle")
    settings = EvaluationSettings(n_per_task=N, controls=False)
    report = evaluate(pipeline, [suite], index, settings, lambda doing, done: None)
    assert encoder.n_encoded == len(suite.scenes)
    assert len(report.records) > 10 * len(suite.scenes)
    assert report.controls == ()


def test_progress_goes_to_the_end(index: NameIndex, tmp_path: Path) -> None:
    heard: list[float] = []
    pipeline, _ = open_fake(tmp_path / "bundle")
    settings = EvaluationSettings(n_per_task=2, controls=False)
    evaluate(pipeline, [write_suite(tmp_path / "suite")], index, settings, lambda doing, done: heard.append(done))
    assert heard == sorted(heard)
    assert heard[-1] == 1


def test_follow_ups_go_on_from_the_models_own_answers(seeing: Report) -> None:
    follow_ups = [record for record in seeing.records if record.task == "follow-up"]
    assert len(follow_ups) == N
    assert all(len(record.answers) == len(record.questions) > 1 for record in follow_ups)


def _record(number: int, task: str = "name", **changes: bool) -> Record:
    flags = {"right": False, "unsure": False, **changes}
    return Record(str(number), "s", task, "a", "a.png", {}, ("?",), ("a",), "b", **flags)


def test_targets_may_be_set_for_one_suite() -> None:
    records = [_record(1, right=True), _record(2), _record(3, task="color", right=True)]
    name, color = scores_of(records, {"name": 0.9, "s/name": 0.5, "color": 0.5})
    assert (name.n, name.n_right, name.target, name.reached) == (2, 1, 0.5, True)
    assert (color.share, color.target) == (1.0, 0.5)
    assert scores_of(records, {})[0].reached is None
    assert score_of("s", "name", [False], 0.5).reached is False
    assert score_of("s", "name", [], 0.5).reached is None


def test_calibration_counts_namings_by_what_they_say() -> None:
    records = [
        _record(1, right=True, named_right=True),
        _record(2, named_right=False),
        _record(3, unsure=True, named_right=False),
        _record(4, right=True, unsure=True, named_right=True),
        _record(5, "doubt", right=True, unsure=True, named_right=False),
        _record(6, "color", right=True),
    ]
    (calibration,) = calibrations_of(records)
    assert (calibration.n_sure, calibration.n_sure_right) == (2, 1)
    assert (calibration.n_unsure, calibration.n_unsure_right) == (3, 1)


def test_a_report_comes_back_from_its_file(seeing: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "r.json", seeing)
    assert read_report(tmp_path / "r.json") == seeing


@pytest.mark.parametrize("content", ["", "{}", "[1]"])
def test_what_is_no_report_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(InputError, match="is not a report"):
        read_report(tmp_path / "r.json")


def test_a_report_of_another_version_is_refused(seeing: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "r.json", seeing)
    text = (tmp_path / "r.json").read_text().replace('"version": 1', '"version": 9', 1)
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match="version 9"):
        read_report(tmp_path / "r.json")


def test_two_bundles_are_compared_on_the_same_questions(seeing: Report, blind: Report) -> None:
    differences = {(each.suite, each.task): each for each in compare(blind, seeing)}
    assert differences["suite", "both"].first == 0
    assert differences["suite", "both"].second == 1
    assert 0 < differences["suite", "both"].low < 1
    whole = differences[ALL, ALL]
    assert whole.n == len(seeing.records)
    assert whole.low < whole.second - whole.first < whole.high


def test_reports_on_different_questions_are_not_compared(seeing: Report, index: NameIndex, tmp_path: Path) -> None:
    pipeline, _ = open_fake(tmp_path / "bundle")
    suite = write_suite(tmp_path / "suite")
    for settings in (EvaluationSettings(N, seed=2, controls=False), EvaluationSettings(N - 1, seed=1, controls=False)):
        other = evaluate(pipeline, [suite], index, settings, lambda doing, done: None)
        with pytest.raises(InputError, match=r"different questions|in one report"):
            compare(seeing, other)


@pytest.mark.parametrize(
    ("before", "after", "swapped"),
    [
        ("region1 is a cat and region2 is a dog.", "region1 is a dog and region2 is a cat.", True),
        ("region1 is a cat and region2 is a dog.", "region1 is a cat and region2 is a dog.", False),
        ("region1 is a cat and region2 is a dog.", "region1 is a dog.", False),
        ("A cat and a dog.", "A dog and a cat.", False),  # nothing is said of a region
    ],
)
def test_swaps(before: str, after: str, *, swapped: bool) -> None:
    assert is_swapped(before, after) == swapped


def test_tables_show_every_row(seeing: Report, blind: Report) -> None:
    assert score_table(seeing).row_count == len(seeing.scores)
    assert control_table(seeing).row_count == 3
    assert calibration_table(seeing).row_count == 2
    assert difference_table(compare(seeing, blind)).row_count == len(seeing.scores) + 1


def test_the_command_compares_two_reports(seeing: Report, blind: Report, tmp_path: Path) -> None:
    for name, report in (("first", blind), ("second", seeing)):
        write_report(tmp_path / name, report)
    told = CliRunner().invoke(commands, ["compare", str(tmp_path / "first"), str(tmp_path / "second")])
    assert told.exit_code == 0
    assert "all" in told.output
    refused = CliRunner().invoke(commands, ["compare", str(tmp_path / "first"), str(tmp_path / "none")])
    assert isinstance(refused.exception, InputError)
