"""`gpt4roi bench` and `bench compare`: options, output, what is refused, and the embedded model from end to end."""

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt4roi_runtime.bench.measure import Sample
from gpt4roi_runtime.bench.run import Note, Plan
from gpt4roi_runtime.cli import bench
from tests.helpers.child import run_child
from tests.runtime.bench.some_rows import changed, row
from tests.runtime.cli.conftest import Run, assert_refused

FAST = ("-t", "1", "-r", "1", "--no-warmup", "-p", "8", "-n", "2")
ROW = row(Sample(10**9, 8, None), Sample(10**9, 8, None), n_prompt=8)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """What would be measured; a row, a note and another row come back."""
    made: list[Plan] = []

    def run(plan: Plan, meter: object, on_step: object) -> Iterator[object]:
        made.append(plan)
        yield ROW
        yield Note("this cannot be measured")
        yield changed(ROW, test="tg4", n_prompt=0, n_gen=4)

    monkeypatch.setattr(bench, "run", run)
    monkeypatch.setattr(bench, "find_meter", lambda: None)
    return made


class TestOptions:
    def test_defaults(self, run: Run, plans: list[Plan]) -> None:
        result = run("bench")
        assert result.exit_code == 0, result.output
        (plan,) = plans
        assert [test.name for test in plan.tests] == ["pp256", "tg128"]
        assert plan.kinds == ("language", "vision", "pipeline")
        assert (plan.n_repetitions, plan.warm_up, plan.n_sequences) == (5, True, (1, 2, 4, 8, 16))
        assert len(plan.loads) == 1
        assert plan.photo is not None
        assert "this cannot be measured" in result.stderr

    def test_lists_ranges_and_repeated_options(self, run: Run, plans: list[Plan]) -> None:
        words = "-p 0 -n 4,8 -pg 16,4 -pg 2,1 -d 0-64+64 -b 32,64 -ub 16 -ctk f16,q8_0 -t 1 -t 2 -fa 1,off -r 2"
        assert run("bench", *words.split(), "--rows", "language").exit_code == 0
        (plan,) = plans
        names = ["tg4", "tg8", "pp16+tg4", "pp2+tg1"]
        assert [test.name for test in plan.tests] == [*names, *(f"{name} @ d64" for name in names)]
        assert len(plan.loads) == 2 * 2 * 2 * 2
        assert {one.flash_attention for one in plan.loads} == {"on", "off"}
        assert {one.ubatch_size for one in plan.loads} == {16}
        assert (plan.kinds, plan.photo) == (("language",), None)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("-p x", "-p"),
            ("-p -3", "-p"),
            ("-pg 5", "-pg"),
            ("-b 0", "-b"),
            ("-t 0", "-t"),
            ("-t 999999", "-t"),
            ("-ctk f17", "f17"),
            ("-ctv q8_0 -fa off", "flash attention"),
            ("-fa maybe", "maybe"),
            ("-ngl -2", "-ngl"),
            ("-ngl 99999", "-ngl"),
            ("--rows speech", "speech"),
            ("--regions 0", "--regions"),
            ("--image nowhere.jpg", "nowhere.jpg"),
            ("-p 0 -n 0 --rows language", "nothing to measure"),
            ("--bundle nowhere", "nowhere"),
        ],
    )
    def test_what_cannot_be_used_is_refused(self, run: Run, words: str, said: str) -> None:
        assert_refused(run("bench", *words.split()), said)

    @pytest.mark.parametrize("words", ["-o xml", "-r 0", "-r 99999", "compare", "compare a", "--context x"])
    def test_what_is_no_option_is_refused(self, run: Run, words: str) -> None:
        assert_refused(run("bench", *words.split()))


@pytest.mark.usefixtures("plans")
class TestOutput:
    def test_the_table(self, run: Run) -> None:
        lines = run("bench").stdout.splitlines()
        assert lines[0].startswith("| model ")
        assert [line.split("|")[-3].strip() for line in lines[2:4]] == ["pp8", "tg4"]
        assert lines[-1].startswith("build: ")

    def test_settings_that_vary_have_a_column(self, run: Run) -> None:
        assert "| fa |" in run("bench", "-fa", "on,off").stdout.replace("  ", " ")
        assert "n_batch" in run("bench", "-b", "64").stdout
        assert "n_batch" not in run("bench").stdout

    def test_every_form_parses(self, run: Run) -> None:
        names = ["pp8", "tg4"]
        assert [one["test"] for one in json.loads(run("bench", "-o", "json").stdout)] == names
        lines = run("bench", "-o", "jsonl").stdout.splitlines()
        assert [json.loads(line)["test"] for line in lines] == names
        table = csv.DictReader(io.StringIO(run("bench", "-o", "csv").stdout, newline=""))
        assert [one["test"] for one in table] == names
        database = sqlite3.connect(":memory:")
        database.executescript(run("bench", "-o", "sql").stdout)
        assert [one[0] for one in database.execute("SELECT test FROM gpt4roi_bench")] == names
        database.close()

    @pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "sql", "md", "txt"])
    def test_a_file_is_written_in_the_form_of_its_name(self, run: Run, tmp_path: Path, suffix: str) -> None:
        target = tmp_path / f"result.{suffix}"
        assert run("bench", "--out", target).stdout.startswith("| model ")
        form = "json" if suffix == "txt" else suffix
        assert target.read_bytes() == run("bench", "-o", form).stdout_bytes
        assert [path.name for path in tmp_path.iterdir()] == [target.name]

    def test_a_folder_that_is_not_there_is_said(self, run: Run, tmp_path: Path) -> None:
        result = run("bench", "--out", tmp_path / "no" / "x.json")
        assert result.exit_code == 2
        assert "cannot write" in result.stderr


@pytest.mark.parametrize("form", ["json", "md"])
def test_an_interruption_keeps_the_rows_done(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    def interrupted(plan: Plan, meter: object, on_step: object) -> Iterator[object]:
        yield ROW
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "run", interrupted)
    result = run("bench", "-o", form)
    assert result.exit_code == 130
    assert "cancelled" in result.stderr
    if form == "json":
        assert [one["test"] for one in json.loads(result.stdout)] == ["pp8"]
    assert run("bench", "--out", tmp_path / "x.json").exit_code == 130
    assert [one["test"] for one in json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))] == ["pp8"]


def test_an_interruption_before_the_first_row_writes_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(plan: Plan, meter: object, on_step: object) -> Iterator[object]:
        raise KeyboardInterrupt
        yield ROW

    monkeypatch.setattr(bench, "run", interrupted)
    result = run("bench", "--out", tmp_path / "x.json")
    assert (result.exit_code, result.stdout, list(tmp_path.iterdir())) == (130, "", [])


class TestCompare:
    def write(self, path: Path, *rows: object) -> Path:
        path.write_text(json.dumps(list(rows)), encoding="utf-8")
        return path

    @pytest.fixture
    def files(self, run: Run, plans: list[Plan], tmp_path: Path) -> tuple[Path, Path]:
        for name in ("a.json", "b.json"):
            assert run("bench", "--out", tmp_path / name).exit_code == 0
        return tmp_path / "a.json", tmp_path / "b.json"

    def test_forms(self, run: Run, files: tuple[Path, Path]) -> None:
        assert "within noise" in run("bench", "compare", *files).stdout
        assert len(json.loads(run("bench", "compare", *files, "-o", "json").stdout)["ratios"]) == 2
        table = csv.DictReader(io.StringIO(run("bench", "compare", *files, "-o", "csv").stdout, newline=""))
        assert [one["ratio"] for one in table] == ["1.0", "1.0"]

    def test_what_cannot_be_compared_is_refused(self, run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
        broken = tmp_path / "broken.json"
        broken.write_text("{", encoding="utf-8")
        assert_refused(run("bench", "compare", files[0], broken), "broken.json")
        assert_refused(run("bench", "compare", files[0], tmp_path / "none"), "none")
        assert_refused(run("bench", "compare", *files, "--ignore", "color"), "color")


@pytest.mark.bundle
@pytest.mark.usefixtures("bundle_dir")
class TestOnTheEmbeddedModel:
    def test_every_row_is_there(self, run: Run, tmp_path: Path) -> None:
        target = tmp_path / "all.json"
        result = run("bench", *FAST, "--regions", "1,2", "--sequences", "1,2", "--progress", "--out", target)
        assert result.exit_code == 0, result.output
        rows = {one["test"]: one for one in json.loads(target.read_text(encoding="utf-8"))}
        assert list(rows) == [
            "bundle load",
            "image decode",
            "preprocess",
            "encode",
            "regions1",
            "regions2",
            "pp8",
            "tg2",
            "prefill cold",
            "prefill image hit",
            "prefill prefix hit",
            "ttft cold",
            "ttft open",
            "tpot",
            "captions1",
            "captions2",
            "peak rss",
        ]
        assert rows["pp8"]["model_n_params"] > 100_000_000
        assert rows["pp8"]["n_threads"] == 1
        assert rows["encode"]["vision_engine"].startswith("ONNX Runtime")
        peak = rows["peak rss"]
        assert peak["peak_rss_bytes"] > 100_000_000
        assert peak["rss_over_plan"] == pytest.approx(peak["peak_rss_bytes"] / peak["planned_bytes"])
        assert rows["tpot"]["rss_over_plan"] is None
        assert all(one["avg_ns"] > 0 for one in rows.values() if one["test"] != "peak rss")
        assert "gpt4roi bench: encode: 1/1" in result.stderr
        compared = json.loads(run("bench", "compare", target, target, "-o", "json").stdout)["ratios"]
        assert {one["verdict"] for one in compared if one["test"] != "peak rss"} == {"unknown"}  # of one repetition

    def test_the_peak_of_memory_is_near_the_plan(self, tmp_path: Path) -> None:
        target = tmp_path / "peak.json"
        words = ("bench", *FAST, "--rows", "pipeline", "--sequences", "16", "--regions", "16", "--out", str(target))
        child = run_child("from gpt4roi_runtime.__main__ import main; main()", *words)  # this process holds more
        assert child.returncode == 0, child.stderr
        rows = {one["test"]: one for one in json.loads(target.read_text(encoding="utf-8"))}
        assert 0.5 < rows["peak rss"]["rss_over_plan"] < 1.1

    def test_settings_reach_the_engine(self, run: Run) -> None:
        words = (*FAST, "--rows", "language", "-ctk", "q8_0", "-ctv", "q8_0", "-b", "16,32", "-ub", "8", "-o", "json")
        rows = json.loads(run("bench", *words).stdout)
        assert [(one["n_batch"], one["n_ubatch"], one["test"]) for one in rows] == [
            (16, 8, "pp8"),
            (16, 8, "tg2"),
            (32, 8, "pp8"),
            (32, 8, "tg2"),
        ]
        assert {one["flash_attn"] for one in rows} == {1}

    def test_the_vision_half_alone(self, run: Run) -> None:
        rows = json.loads(run("bench", *FAST, "--rows", "vision", "--regions", "1", "-b", "16,32", "-o", "json").stdout)
        assert [one["test"] for one in rows] == ["image decode", "preprocess", "encode", "regions1"]

    def test_no_gpu_and_too_long_a_context_are_said(self, run: Run) -> None:
        assert_refused(run("bench", *FAST, "--rows", "language", "-ngl", "1"), "GPU")
        assert_refused(run("bench", *FAST, "--rows", "language", "-d", "9000"), "context_length")
