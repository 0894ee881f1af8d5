"""`--choices`, `--only` and `--logprobs` on the embedded bundle."""

import csv
import io
import json
import math
from pathlib import Path

import pytest

from tests.runtime.cli.conftest import Run, assert_refused

CUP = ("--region", "165,10,415,300")
SPOON = ("--region", "318,60,425,330")
COLOR = "What color is <region1>?"
FAST = ("--threads", "1", "--context", "512")


@pytest.mark.bundle
@pytest.mark.usefixtures("bundle_dir")
class TestAnswers:
    def test_a_table_names_the_likeliest_first(self, run: Run, sample_photo: Path) -> None:
        result = run("ask", sample_photo, *CUP, "Is <region1> a dog?", "--choices", "Yes,No", *FAST)
        assert (result.exit_code, result.stderr) == (0, "")
        lines = [line.split() for line in result.stdout.splitlines()]
        assert [word for word, _ in lines] == ["No", "Yes"]
        assert sum(float(share) for _, share in lines) == pytest.approx(1, abs=0.02)

    def test_json_has_all_choices_in_their_order(self, run: Run, sample_photo: Path) -> None:
        words = ("ask", sample_photo, *CUP, COLOR, "--choices", "red,brown,dark brown", "--lead", "region1 is")
        account = json.loads(run(*words, "--json", *FAST).stdout)
        assert [choice["text"] for choice in account["choices"]] == ["red", "brown", "dark brown"]
        best = max(account["choices"], key=lambda choice: choice["probability"])
        assert account["answer"] == best["text"]
        assert sum(choice["probability"] for choice in account["choices"]) == pytest.approx(1)
        assert all(choice["log_likelihood"] < 0 and choice["tokens"] > 0 for choice in account["choices"])
        assert {"load", "encode", "regions", "rows", "score"} <= set(account["seconds"])
        assert account["prompt"].endswith("region1 is")
        assert "stop_reason" not in account
        assert "temperature" not in account["settings"]

    def test_only_what_is_listed_is_written(self, run: Run, sample_photo: Path) -> None:
        for extra in ((), ("--temperature", "5", "--seed", "3", "--max-tokens", "1")):
            result = run("ask", sample_photo, *CUP, COLOR, "--only", "sky blue,olive green", *extra, *FAST)
            assert result.stdout in ("sky blue\n", "olive green\n")

    def test_a_restriction_to_the_free_answer_changes_nothing(self, run: Run, sample_photo: Path) -> None:
        words = ("ask", sample_photo, *CUP, COLOR, "--json", *FAST)
        free = json.loads(run(*words).stdout)
        account = json.loads(run(*words, "--only", f'"{free["answer"]}",none').stdout)
        assert (account["answer"], account["tokens"]) == (free["answer"], free["tokens"])

    def test_logprobs_tell_of_every_token(self, run: Run, sample_photo: Path) -> None:
        account = json.loads(run("ask", sample_photo, *CUP, COLOR, "--json", "--logprobs", "2", *FAST).stdout)
        tokens = account["logprobs"]
        assert b"".join(bytes(token["bytes"]) for token in tokens).decode().strip() == account["answer"]
        assert len(tokens) == account["tokens"]["answer"]
        for token in tokens:  # greedy, so each is the likeliest
            assert token["top"][0] == {key: token[key] for key in ("text", "bytes", "logprob")}
            assert sum(math.exp(one["logprob"]) for one in token["top"]) <= 1 + 1e-9
        assert "logprobs" not in json.loads(run("ask", sample_photo, *CUP, COLOR, "--json", *FAST).stdout)

    def test_captions_are_chosen_for_every_box(self, run: Run, sample_photo: Path, tmp_path: Path) -> None:
        words = ("caption", sample_photo, *CUP, *SPOON, "--question", COLOR, "--choices", "red,brown", *FAST)
        regions = json.loads(run(*words, "--json").stdout)["regions"]
        asked = json.loads(run("ask", sample_photo, *SPOON, COLOR, "--choices", "red,brown", "--json", *FAST).stdout)
        shares = {choice["text"]: choice["probability"] for choice in asked["choices"]}
        assert regions[1]["choices"] == pytest.approx(shares, abs=1e-6)
        assert [one["probability"] for one in regions] == [max(one["choices"].values()) for one in regions]
        assert [one["stop_reason"] for one in regions] == ["chosen", "chosen"]
        rows = list(csv.DictReader(io.StringIO(run(*words, "--csv").stdout, newline="")))
        assert [row["answer"] for row in rows] == [one["answer"] for one in regions]
        target = tmp_path / "out.json"
        assert run(*words, "--out", target).exit_code == 0
        assert [one["answer"] for one in json.loads(target.read_text())["regions"]] == [row["answer"] for row in rows]


class TestRefusals:
    """None of these reaches a model."""

    @pytest.mark.parametrize("command", ["ask", "caption"])
    @pytest.mark.parametrize(
        ("choices", "word"),
        [("", "0 choices"), ("yes,,no", "empty"), ("yes,yes", "twice"), ('yes,"no', "cannot read"), ("a ###", "'###'")],
    )
    def test_lists(self, run: Run, sample_photo: Path, command: str, choices: str, word: str) -> None:
        words = [COLOR] if command == "ask" else ["--question", COLOR]
        assert_refused(run(command, sample_photo, *CUP, *words, "--choices", choices), word)
        if command == "ask":
            assert_refused(run(command, sample_photo, *CUP, *words, "--only", choices), word)

    def test_options_that_do_not_go_together(self, run: Run, sample_photo: Path) -> None:
        ask = ("ask", sample_photo, *CUP, COLOR)
        assert_refused(run(*ask, "--choices", "a,b", "--only", "a,b"), "--only")
        assert_refused(run(*ask, "--choices", "a,b", "--json", "--logprobs", "2"), "--logprobs")
        assert_refused(run(*ask, "--logprobs", "2"), "--json")
        assert_refused(run(*ask, "--json", "--logprobs", "21"), "21", "0 to 20")
        assert_refused(run(*ask, "--lead", "it is"), "--lead", "--choices")
        assert_refused(run("caption", sample_photo, *CUP, "--lead", "it is"), "--lead", "--choices")
        assert_refused(run(*ask, "--choices", "a,b", "--lead", "<region1> is"), "region1")

    @pytest.mark.bundle
    @pytest.mark.usefixtures("bundle_dir")
    def test_words_of_the_embedded_model(self, run: Run, sample_photo: Path) -> None:
        for option in ("--choices", "--only"):
            assert_refused(run("ask", sample_photo, *CUP, COLOR, option, "a,<|im_end|>"), "<|im_end|>")
