"""`gpt4roi ask` on the embedded bundle: what it prints, writes and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpt4roi_runtime import storage
from gpt4roi_runtime.backends.openvino_cache import CompiledCache
from tests.runtime.cli.conftest import Run, assert_refused

CUP = ("--region", "165,10,415,300")
SPOON = ("--region", "318,60,425,330")
QUESTION = "What is <region1>?"

pytestmark = pytest.mark.bundle


@pytest.mark.usefixtures("bundle_dir")
class TestAnswers:
    def test_text_goes_to_standard_output_alone(self, run: Run, sample_photo: Path) -> None:
        result = run("ask", sample_photo, *CUP, QUESTION)
        assert result.exit_code == 0
        assert len(result.stdout.strip()) > 3
        assert result.stderr == ""

    def test_json_accounts_for_everything(self, run: Run, sample_photo: Path) -> None:
        result = run("ask", sample_photo, *CUP, *SPOON, "Is <region1> beside <region2>?", "--json", "--seed", "7")
        account = json.loads(result.stdout)
        assert account["answer"]
        assert account["photo"]["width_px"] == 600
        assert account["regions"] == [
            {"number": 1, "box_px": [165, 10, 415, 300]},
            {"number": 2, "box_px": [318, 60, 425, 330]},
        ]
        stages = {"read_photo", "load", "preprocess", "encode", "regions", "rows", "prefill", "first_text", "decode"}
        assert set(account["seconds"]) == stages
        assert account["tokens"]["prompt"] > 10
        assert account["tokens"]["answer"] > 0
        assert len(account["bundle"]["id"]) == 16
        assert account["settings"]["seed"] == 7
        assert account["prompt"].count("<bbox>") == 2
        assert "onnx" in account["engines"]["vision"].lower()

    def test_another_vision_engine_can_be_named(
        self, run: Run, sample_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("openvino", reason="OpenVINO is not installed")
        monkeypatch.setattr("gpt4roi_runtime.backends.openvino_graph.CompiledCache", lambda _: CompiledCache(tmp_path))
        named = ("--vision-backend", "openvino", "--vision-precision", "f32")
        result = run("ask", sample_photo, *CUP, QUESTION, "--json", "--max-tokens", "4", *named)
        assert json.loads(result.stdout)["engines"]["vision"].startswith("OpenVINO")
        assert result.stderr == ""

    def test_json_and_text_are_the_same_answer(self, run: Run, sample_photo: Path) -> None:
        text = run("ask", sample_photo, *CUP, QUESTION).stdout
        account = json.loads(run("ask", sample_photo, *CUP, QUESTION, "--json").stdout)
        assert text == account["answer"] + "\n"

    def test_the_region_decides_the_answer(self, run: Run, tmp_path: Path, sample_photo: Path) -> None:
        photo = np.array(Image.open(sample_photo))
        canvas = np.full((400, 1000, 3), 127, dtype=np.uint8)
        canvas[:, :600] = photo
        path = tmp_path / "photo.png"
        Image.fromarray(canvas).save(path)
        cup = run("ask", path, *CUP, QUESTION).stdout
        nothing = run("ask", path, "--region", "700,50,950,350", QUESTION).stdout
        assert cup != nothing

    def test_overlay_has_the_boxes_in_their_colours(self, run: Run, sample_photo: Path, tmp_path: Path) -> None:
        target = tmp_path / "out.png"
        assert run("ask", sample_photo, *CUP, QUESTION, "--save-overlay", target).exit_code == 0
        drawn = np.array(Image.open(target))
        assert drawn.shape == (400, 600, 3)
        assert tuple(drawn[200, 166]) == (0xE6, 0x19, 0x4B)

    @pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
    def test_ordinary_kinds_of_photo_work(self, run: Run, sample_photo: Path, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"photo{ending}"
        Image.open(sample_photo).save(path)
        assert run("ask", path, *CUP, QUESTION, "--max-tokens", 4).exit_code == 0

    def test_a_rotated_photo_takes_boxes_in_the_upright_frame(
        self, run: Run, tmp_path: Path, sample_photo: Path
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # to be shown turned by 90 degrees
        path = tmp_path / "turned.png"
        Image.open(sample_photo).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
        turned = json.loads(run("ask", path, *CUP, QUESTION, "--json").stdout)
        upright_path = tmp_path / "upright.png"
        Image.open(sample_photo).save(upright_path)
        upright = json.loads(run("ask", upright_path, *CUP, QUESTION, "--json").stdout)
        assert (turned["photo"]["width_px"], turned["photo"]["height_px"]) == (600, 400)
        assert turned["answer"] == upright["answer"]

    def test_sampling_follows_the_seed(self, run: Run, sample_photo: Path) -> None:
        # A tuned model is so sure of a short answer that it has to be let choose among all tokens, and hot.
        words = ("ask", sample_photo, *CUP, QUESTION, "--temperature", "3", "--top-p", "1", "--top-k", "0", "--seed")
        assert run(*words, 1).stdout == run(*words, 1).stdout
        assert len({run(*words, seed).stdout for seed in (1, 2, 3)}) > 1

    def test_a_lone_photo_needs_no_region(self, run: Run, sample_photo: Path) -> None:
        assert run("ask", sample_photo, "What is in the picture?").exit_code == 0


class TestRefusals:
    def test_boxes(self, run: Run, sample_photo: Path) -> None:
        for box, *words in (
            ("10,10,20", "'10,10,20'", "left,top,right,bottom"),
            ("a,b,c,d", "'a,b,c,d'"),
            ("nan,0,10,10", "nan"),
            ("0,0,inf,10", "inf"),
            ("50,10,20,30", "50", "20", "reversed"),
            ("50,10,50,30", "no area"),
            ("700,10,800,30", "outside", "600 x 400"),
            ("500,10,601,30", "outside", "500,10,600,30"),
            ("-1,0,10,10", "-1,0,10,10"),
        ):
            assert_refused(run("ask", sample_photo, "--region", box, QUESTION), *words)

    def test_mentions(self, run: Run, sample_photo: Path) -> None:
        assert_refused(run("ask", sample_photo, *CUP, *SPOON, "<region1>, <region3>, <region2>?"), "<region3>")
        assert_refused(run("ask", sample_photo, *CUP, *SPOON, QUESTION), "<region2>", "never mentioned")
        assert_refused(run("ask", sample_photo, *CUP, "What is <region 1>?"), "<region 1>")

    def test_questions(self, run: Run, sample_photo: Path) -> None:
        assert_refused(run("ask", sample_photo, *CUP, "   "), "empty")
        for word in ("<bbox>", "<im_patch>", "###", "<im_start>"):
            assert_refused(run("ask", sample_photo, *CUP, f"What is <region1>? {word}"), word)

    @pytest.mark.usefixtures("bundle_dir")
    def test_words_of_the_embedded_model(self, run: Run, sample_photo: Path) -> None:
        for word in ("<|im_start|>", "<|im_end|>"):
            assert_refused(run("ask", sample_photo, *CUP, f"What is <region1>? {word}"), word)

    @pytest.mark.usefixtures("bundle_dir")
    def test_a_question_longer_than_the_context(self, run: Run, sample_photo: Path) -> None:
        assert_refused(run("ask", sample_photo, *CUP, QUESTION + " why" * 9000), "context")

    @pytest.mark.usefixtures("bundle_dir")
    def test_settings(self, run: Run, sample_photo: Path) -> None:
        for option, value in (
            ("--temperature", "-1"),
            ("--temperature", "nan"),
            ("--top-p", "0"),
            ("--top-k", "-1"),
            ("--seed", "-1"),
            ("--max-tokens", "0"),
            ("--threads", "0"),
            ("--context", "1"),
        ):
            assert_refused(run("ask", sample_photo, *CUP, QUESTION, option, value), value)

    def test_photos(self, run: Run, sample_photo: Path, tmp_path: Path) -> None:
        truncated = tmp_path / "truncated.jpg"
        truncated.write_bytes(sample_photo.read_bytes()[:20000])
        text = tmp_path / "text.png"
        text.write_text("no picture")
        empty = tmp_path / "empty.png"
        empty.touch()
        animated = tmp_path / "animated.gif"
        frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
        frames[0].save(animated, save_all=True, append_images=frames[1:])
        for path, *words in (
            (tmp_path / "missing.jpg", "does not exist"),
            (tmp_path, "cannot be read"),
            (truncated, "damaged"),
            (text, "not a picture"),
            (empty, "not a picture"),
            (animated, "3 frames"),
        ):
            assert_refused(run("ask", path, *CUP, QUESTION), str(path), *words)

    def test_a_photo_over_the_limit(self, run: Run, sample_photo: Path) -> None:
        assert_refused(run("ask", sample_photo, *CUP, QUESTION, "--max-pixels", 1000), "240,000", "1,000")

    def test_overlays_that_could_not_be_written(self, run: Run, sample_photo: Path, tmp_path: Path) -> None:
        for target in (tmp_path / "out.txt", tmp_path / "nowhere" / "out.png"):
            assert_refused(run("ask", sample_photo, *CUP, QUESTION, "--save-overlay", target), str(tmp_path))

    @pytest.mark.usefixtures("bundle_dir")
    def test_a_full_disk_leaves_the_old_overlay(
        self, run: Run, sample_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "out.png"
        target.write_bytes(b"old")

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(storage.os, "fsync", full)
        result = run("ask", sample_photo, *CUP, QUESTION, "--save-overlay", target)
        assert result.exit_code == 2
        assert "No space left on device" in result.stderr
        assert target.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [target]
