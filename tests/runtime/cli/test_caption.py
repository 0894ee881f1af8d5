"""`gpt4roi caption`: many boxes, their layouts, and going on after an interruption."""

import csv
import io
import json
from pathlib import Path

import pytest

from gpt4roi_runtime.pipeline import Pipeline
from tests.runtime.cli.conftest import Run, assert_refused

BOXES = ["165,10,415,300", "318,60,425,330", "0,0,600,400"]
REGIONS = [word for box in BOXES for word in ("--region", box)]
FAST = ("--max-tokens", "6", "--threads", "1", "--context", "512")


@pytest.mark.bundle
@pytest.mark.usefixtures("bundle_dir")
class TestAnswers:
    def test_lines_are_those_of_ask(self, run: Run, sample_photo: Path) -> None:
        result = run("caption", sample_photo, *REGIONS, *FAST)
        assert (result.exit_code, result.stderr) == (0, "")
        lines = {line.split()[1]: line.split(maxsplit=2)[2] for line in result.stdout.splitlines()}
        assert set(lines) == set(BOXES)
        for box in BOXES:
            asked = run("ask", sample_photo, "--region", box, "What is <region1>?", *FAST)
            assert asked.stdout.strip() == lines[box]

    def test_every_layout_holds_every_box(self, run: Run, sample_photo: Path, tmp_path: Path) -> None:
        boxes = tmp_path / "boxes.json"
        boxes.write_text(json.dumps([[float(side) for side in box.split(",")] for box in BOXES]), encoding="utf-8")
        words = ("caption", sample_photo, "--regions", boxes, "--question", "What color is <region1>?", *FAST)
        account = json.loads(run(*words, "--json").stdout)
        assert [one["number"] for one in account["regions"]] == [1, 2, 3]
        assert account["settings"]["max_tokens"] == 6
        assert {"load", "encode", "answers"} <= set(account["seconds"])
        answers = [one["answer"] for one in account["regions"]]
        rows = list(csv.DictReader(io.StringIO(run(*words, "--csv").stdout, newline="")))
        assert [row["answer"] for row in rows] == answers
        lines = sorted(map(json.loads, run(*words, "--jsonl").stdout.splitlines()), key=lambda line: line["number"])
        assert [line["answer"] for line in lines] == answers
        coco = json.loads(run(*words, "--coco").stdout)
        assert [one["caption"] for one in coco["annotations"]] == answers

    def test_proposed_boxes_keep_their_names(self, run: Run, sample_photo: Path) -> None:
        regions = json.loads(run("caption", sample_photo, "--propose", "--json", *FAST).stdout)["regions"]
        found = json.loads(run("propose", sample_photo, "--json").stdout)["regions"]
        assert [(one["name"], one["box_px"]) for one in regions] == [(one["name"], one["box"]) for one in found]

    def test_an_interrupted_run_goes_on(
        self, run: Run, sample_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "out.json"
        words = ("caption", sample_photo, *REGIONS, "--out", target, *FAST)
        asked: list[int] = []
        really = Pipeline.ask_each

        def interrupted(self, image, question, boxes, **more):  # type: ignore[no-untyped-def]
            asked.append(len(boxes))
            for index, answer in enumerate(really(self, image, question, boxes, **more)):
                if len(asked) == 1 and index == 1:
                    raise KeyboardInterrupt
                yield answer

        monkeypatch.setattr(Pipeline, "ask_each", interrupted)
        first = run(*words)
        assert first.exit_code == 130
        assert "1 of 3 answers are kept" in first.stderr
        assert not target.exists()
        assert_refused(run(*words, "--question", "Is <region1> red?"), "another photo, question")
        second = run(*words)
        assert second.exit_code == 0
        assert "1 of 3 boxes were answered before" in second.stderr
        assert [one["number"] for one in json.loads(target.read_text())["regions"]] == [1, 2, 3]
        assert list(tmp_path.iterdir()) == [target]
        assert asked[0] == 3
        assert asked[-1] == 2

    def test_what_was_answered_before_an_interruption_is_printed(
        self, run: Run, sample_photo: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really = Pipeline.ask_each

        def interrupted(self, image, question, boxes, **more):  # type: ignore[no-untyped-def]
            yield next(iter(really(self, image, question, boxes, **more)))
            raise KeyboardInterrupt

        monkeypatch.setattr(Pipeline, "ask_each", interrupted)
        result = run("caption", sample_photo, *REGIONS, "--json", *FAST)
        assert result.exit_code == 130
        assert len(json.loads(result.stdout)["regions"]) == 1

    def test_a_file_s_name_decides_its_layout(self, run: Run, sample_photo: Path, tmp_path: Path) -> None:
        for name, begins in (
            ("a.csv", "number,x1"),
            ("a.jsonl", '{"number":1'),
            ("a.json", "{\n"),
            ("a.txt", "   1  "),
        ):
            result = run("caption", sample_photo, "--region", BOXES[0], "--out", tmp_path / name, *FAST)
            assert (result.exit_code, result.stdout) == (0, "")
            assert (tmp_path / name).read_text().startswith(begins)


class TestRefusals:
    def test_boxes(self, run: Run, sample_photo: Path, tmp_path: Path) -> None:
        empty = tmp_path / "empty.json"
        empty.write_text("[]")
        outside = tmp_path / "outside.json"
        outside.write_text("[[1,1,5,5],[500,10,601,30]]")
        for words, *said in (
            ((), "one way"),
            (("--propose", *REGIONS), "one way"),
            (("--regions", empty, *REGIONS), "one way"),
            (("--regions", empty), "holds no box"),
            (("--regions", outside), "region 2", "500,10,600,30"),
            (("--regions", tmp_path / "none.json"), "none.json"),
            (("--region", "1,2,3"), "'1,2,3'"),
        ):
            assert_refused(run("caption", sample_photo, *words), *said)

    def test_questions(self, run: Run, sample_photo: Path) -> None:
        for question, words in (("What is it?", "never mentioned"), ("<region2>?", "<region2>"), ("", "empty")):
            assert_refused(run("caption", sample_photo, *REGIONS, "--question", question), words)

    @pytest.mark.bundle
    @pytest.mark.usefixtures("bundle_dir")
    def test_a_folder_that_is_not_there(self, run: Run, sample_photo: Path, tmp_path: Path) -> None:
        target = tmp_path / "nowhere" / "out.json"
        assert_refused(run("caption", sample_photo, *REGIONS, "--out", target, *FAST), str(target))
