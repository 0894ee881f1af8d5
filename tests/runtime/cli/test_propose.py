"""`gpt4roi propose`: what it prints, writes and refuses, on a detector computed by hand and on the real one."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPOSITORY
from tests.helpers.bundles import write_fake_bundle
from tests.helpers.detectors import detector_model, no_scores, one_bin, write_detector_bundle
from tests.runtime.cli.conftest import Run, assert_refused

CUP = [75, 0, 375, 286]
"""Cell 5 of 32 pixels sees 4,4 to 20,20; 600 x 400 pixels become 32 x 21, five rows below the top."""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_detector_bundle(tmp_path / "a bundle")


class TestTinyDetector:
    def test_a_person_gets_a_table_and_the_next_command(self, run: Run, bundle: Path, sample_photo: Path) -> None:
        result = run("propose", sample_photo, "--bundle", bundle)
        assert result.exit_code == 0, result.output
        heading, row, hint = result.stdout.splitlines()
        assert heading.split() == ["region", "name", "score", "box"]
        assert row.split() == ["1", "cup", "0.90", "75,0,375,286"]
        assert hint == (
            f"Try: gpt4roi ask {sample_photo} --bundle '{bundle}' --region 75,0,375,286 'What is <region1>?'"
        )
        assert result.stderr == ""

    def test_a_program_gets_json(self, run: Run, bundle: Path, sample_photo: Path) -> None:
        account = json.loads(run("propose", sample_photo, "--bundle", bundle, "--json").stdout)
        assert account["image"] == {"path": str(sample_photo), "width_px": 600, "height_px": 400}
        assert account["regions"] == [{"number": 1, "box": CUP, "name": "cup", "score": 0.9}]
        assert account["settings"] == {"threshold": 0.35, "max_boxes": 20}
        assert set(account["seconds"]) == {"read_photo", "load", "propose"}
        assert len(account["bundle"]["id"]) == 16
        assert "ONNX" in account["engines"]["detector"]

    def test_nothing_found_is_no_error(self, run: Run, bundle: Path, sample_photo: Path) -> None:
        result = run("propose", sample_photo, "--bundle", bundle, "--threshold", 0.95)
        assert result.exit_code == 0
        first, second = result.stdout.splitlines()
        assert first == "nothing found with a score of 0.95 or more"
        assert "--threshold" in second
        words = ("propose", sample_photo, "--bundle", bundle, "--threshold", 0.95, "--json")
        assert json.loads(run(*words).stdout)["regions"] == []

    def test_no_more_boxes_than_asked_for(self, run: Run, tmp_path: Path, sample_photo: Path) -> None:
        scores = no_scores()
        scores[[1, 5, 9, 15], 0] = (0.5, 0.8, 0.6, 0.7)
        content = detector_model(scores, one_bin()).SerializeToString()
        bundle = write_detector_bundle(tmp_path / "bundle", content)
        words = ("propose", sample_photo, "--bundle", bundle, "--json")
        regions = json.loads(run(*words, "--max-boxes", 3).stdout)["regions"]
        assert [(one["number"], one["score"]) for one in regions] == [(1, 0.8), (2, 0.7), (3, 0.6)]

    def test_the_overlay_shows_the_boxes(self, run: Run, bundle: Path, sample_photo: Path, tmp_path: Path) -> None:
        target = tmp_path / "out.png"
        assert run("propose", sample_photo, "--bundle", bundle, "--save-overlay", target).exit_code == 0
        drawn = np.array(Image.open(target))
        assert tuple(drawn[200, 75]) == (0xE6, 0x19, 0x4B)

    def test_a_name_cannot_command_the_terminal(self, run: Run, tmp_path: Path, sample_photo: Path) -> None:
        bundle = write_detector_bundle(tmp_path / "bundle", names=["\x1b[2Jcup", "dog"])
        result = run("propose", sample_photo, "--bundle", bundle)
        assert "\x1b" not in result.stdout
        assert "[2Jcup" in result.stdout

    def test_a_tiny_photo(self, run: Run, bundle: Path, tmp_path: Path) -> None:
        Image.new("RGB", (2, 1)).save(tmp_path / "tiny.png")
        account = json.loads(run("propose", tmp_path / "tiny.png", "--bundle", bundle, "--json").stdout)
        assert [one["box"] for one in account["regions"]] == [[0, 0, 2, 1]]

    def test_info_and_verify_tell_of_it(self, run: Run, bundle: Path) -> None:
        shown = run("info", bundle).stdout
        assert "2 names (cup, dog, ...), 20 cells" in shown
        assert "detector.onnx" in shown
        assert "ok   detector.onnx: size and SHA-256" in run("verify", bundle).stdout
        (bundle / "detector.onnx").write_bytes(b"changed")
        result = run("verify", bundle)
        assert result.exit_code == 1
        assert "FAIL detector.onnx: size and SHA-256" in result.stdout

    def test_verify_runs_it(self, run: Run, tmp_path: Path) -> None:
        scores = no_scores()
        scores[0, 0] = np.nan
        bundle = write_detector_bundle(tmp_path / "bundle", detector_model(scores).SerializeToString())
        result = run("verify", bundle)
        assert "FAIL detector: names, shapes, a run" in result.stdout
        assert "NaN" in result.stderr


class TestRefusals:
    def test_a_bundle_without_a_detector(self, run: Run, tmp_path: Path, sample_photo: Path) -> None:
        bundle = write_fake_bundle(tmp_path / "bundle")
        assert_refused(run("propose", sample_photo, "--bundle", bundle), "has no detector", "--region")
        assert "none: boxes are given" in run("info", bundle).stdout

    def test_a_broken_detector(self, run: Run, tmp_path: Path, sample_photo: Path) -> None:
        bundle = write_detector_bundle(tmp_path / "bundle", b"no graph")
        assert_refused(run("propose", sample_photo, "--bundle", bundle), "detector.onnx")

    def test_a_changed_detector(self, run: Run, bundle: Path, sample_photo: Path) -> None:
        content = (bundle / "detector.onnx").read_bytes()
        (bundle / "detector.onnx").write_bytes(content[:-1] + b"!")
        assert_refused(run("propose", sample_photo, "--bundle", bundle), "SHA-256")

    def test_settings(self, run: Run, bundle: Path, sample_photo: Path) -> None:
        for option, value in (
            ("--threshold", "-0.5"),
            ("--threshold", "1.5"),
            ("--threshold", "nan"),
            ("--max-boxes", "0"),
            ("--max-boxes", "101"),
        ):
            assert_refused(run("propose", sample_photo, "--bundle", bundle, option, value), value)

    def test_photos_and_overlays(self, run: Run, bundle: Path, sample_photo: Path, tmp_path: Path) -> None:
        assert_refused(run("propose", tmp_path / "missing.jpg", "--bundle", bundle), "missing.jpg", "does not exist")
        for target in (tmp_path / "out.txt", tmp_path / "nowhere" / "out.png"):
            words = ("propose", sample_photo, "--bundle", bundle, "--save-overlay", target)
            assert_refused(run(*words), str(target.parent))


@pytest.mark.bundle
class TestEmbeddedDetector:
    @pytest.mark.usefixtures("bundle_dir")
    def test_it_finds_the_astronaut(self, run: Run) -> None:
        photo = REPOSITORY / "runtime" / "gpt4roi_runtime" / "samples" / "astronaut.jpg"
        (region,) = json.loads(run("propose", photo, "--json").stdout)["regions"]
        assert region["name"] == "person"
        assert region["score"] > 0.6
        assert np.abs(np.subtract(region["box"], [16, 14, 365, 508])).max() < 12

    def test_the_library_finds_the_same(self, bundle_dir: Path) -> None:
        from gpt4roi_runtime import Pipeline, Proposer, load_image

        image = load_image(REPOSITORY / "runtime" / "gpt4roi_runtime" / "samples" / "astronaut.jpg")
        with Proposer.open(bundle_dir) as proposer, Pipeline.open(bundle_dir) as pipeline:
            (first,) = proposer.propose(image)
            assert pipeline.propose(image) == (first,)
        assert first.name == "person"
