"""The other commands: a conversation, a bundle's contents, the machine."""

import json
import os
import signal
from pathlib import Path

import pytest

from gpt4roi_runtime.backends.vision_choice import Measured, VisionChoice, machine_identity
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.llm.decoder import Sampling
from gpt4roi_runtime.worker.client import WorkerPipeline
from tests.runtime.cli.conftest import Run

pytestmark = [pytest.mark.bundle, pytest.mark.usefixtures("bundle_dir")]


class TestChat:
    def test_earlier_regions_stay_known(self, run: Run, sample_photo: Path) -> None:
        lines = (
            "What is <region1>?\nWhat colour is region1?\n/region 318,60,425,330\nIs <region2> like <region1>?\n/quit\n"
        )
        result = run("chat", sample_photo, "--region", "165,10,415,300", "--max-tokens", "8", stdin=lines)
        assert result.exit_code == 0
        assert "error" not in result.stderr
        assert "<region2> is 318,60,425,330" in result.stdout
        answers = [line for line in result.stdout.splitlines() if line.startswith("> ")]
        assert len(answers) >= 3

    def test_a_mistake_does_not_end_the_chat(self, run: Run, sample_photo: Path) -> None:
        lines = "What is <region9>?\n/region 1,2\n/nonsense\n/region 0,0,9999,9\n/regions\nWhat is <region1>?\n"
        result = run("chat", sample_photo, "--region", "165,10,415,300", "--max-tokens", "4", stdin=lines)
        assert result.exit_code == 0
        assert result.stderr.count("error:") == 4
        assert result.stdout.count("<region1> is 165,10,415,300") == 2

    def test_a_box_that_was_never_mentioned_waits(self, run: Run, sample_photo: Path) -> None:
        boxes = ("--region", "165,10,415,300", "--region", "318,60,425,330")
        result = run("chat", sample_photo, *boxes, "--max-tokens", "4", stdin="What is <region2>?\n")
        assert result.exit_code == 0
        assert "error" not in result.stderr

    def test_the_photo_is_prepared_before_the_first_question(
        self, run: Run, sample_photo: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done: list[Done] = []
        really = WorkerPipeline.ask

        def ask(self, *args, **more):  # type: ignore[no-untyped-def]
            for event in really(self, *args, **more):
                if isinstance(event, Done):
                    done.append(event)
                yield event

        monkeypatch.setattr(WorkerPipeline, "ask", ask)
        result = run("chat", sample_photo, "--max-tokens", "4", stdin="What is in the picture?\nWhy?\n")
        assert result.exit_code == 0
        assert len(done) == 2
        assert done[0].n_kept_rows == done[1].n_kept_rows > 11

    def test_a_crash_of_the_model_does_not_end_it(
        self, run: Run, sample_photo: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really = WorkerPipeline.ask
        asked: list[str] = []

        def ask(self, image, question, *args, **more):  # type: ignore[no-untyped-def]
            asked.append(question)
            if len(asked) == 2:  # an answer that is long enough to be killed
                more |= {"sampling": Sampling(temperature=10.0), "max_tokens": 400}
            events = really(self, image, question, *args, **more)
            yield next(events)
            if len(asked) == 2:
                os.kill(self.pid, signal.SIGKILL)
            yield from events

        monkeypatch.setattr(WorkerPipeline, "ask", ask)
        lines = "What is <region1>?\nWhat else?\nAnd what colour is <region1>?\n/regions\n"
        result = run("chat", sample_photo, "--region", "165,10,415,300", stdin=lines)
        assert result.exit_code == 0
        assert result.stderr.count("error:") == 1
        assert "the model's process was ended by signal 9" in result.stderr
        assert len(asked) == 3
        assert result.stdout.count("<region1> is 165,10,415,300") == 2

    def test_ctrl_c_stops_an_answer_and_nothing_else(
        self, run: Run, sample_photo: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really = WorkerPipeline.ask
        processes: list[int | None] = []

        def ask(self, *args, **more):  # type: ignore[no-untyped-def]
            events = really(self, *args, **more)
            yield next(events)
            processes.append(self.pid)
            if len(processes) == 1:
                signal.raise_signal(signal.SIGINT)
            yield from events

        monkeypatch.setattr(WorkerPipeline, "ask", ask)
        lines = "Write a long story about <region1>.\nWhat is <region1>?\n"
        result = run("chat", sample_photo, "--region", "165,10,415,300", stdin=lines)
        assert result.exit_code == 0
        assert result.stderr == ""
        assert "(stopped; this turn is forgotten)" in result.stdout
        assert len(processes) == 2
        assert len(set(processes)) == 1

    def test_overlay_and_reset(self, run: Run, sample_photo: Path, tmp_path: Path) -> None:
        lines = f"/overlay {tmp_path / 'out.png'}\n/reset\n/help\n/overlay {tmp_path / 'out.xyz'}\n"
        result = run("chat", sample_photo, "--region", "165,10,415,300", stdin=lines)
        assert result.exit_code == 0
        assert (tmp_path / "out.png").is_file()
        assert "/region X1,Y1,X2,Y2" in result.stdout
        assert "out.xyz" in result.stderr


class TestInfo:
    def test_it_says_what_the_model_can_and_cannot(self, run: Run, bundle_dir: Path) -> None:
        result = run("info", bundle_dir)
        assert result.exit_code == 0
        for words in ("It can", "It cannot", "Licences", "Apache-2.0", "pyramid", "576", "<|im_start|>", "520 pixels"):
            assert words in result.stdout

    def test_json_is_the_manifest(self, run: Run, bundle_dir: Path) -> None:
        printed = json.loads(run("info", "--json").stdout)
        assert printed == json.loads((bundle_dir / "manifest.json").read_text(encoding="utf-8"))

    def test_no_bundle(self, run: Run, tmp_path: Path) -> None:
        result = run("info", tmp_path)
        assert result.exit_code == 2
        assert str(tmp_path) in result.stderr


def test_doctor_finds_both_engines_and_the_bundle(run: Run, bundle_dir: Path) -> None:
    result = run("doctor")
    assert result.exit_code == 0
    assert "yes ONNX Runtime" in result.stdout
    assert "yes llama.cpp" in result.stdout
    assert f"yes {bundle_dir}" in result.stdout
    assert "no  TensorRT (vision, GPU): not installed" in result.stdout
    _, half = result.stdout.split("Vision half\n")
    assert half.lstrip().startswith("no engine on a GPU runs here: no NVIDIA driver")
    assert half.count("no NVIDIA driver") == 1


def test_doctor_measures_the_vision_engines_once_and_says_so_later(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def really_fast(bundle: Bundle, **_: object) -> VisionChoice:
        found = Measured("openvino", "bf16", "OpenVINO 1.2 (CPU, bf16)", encode_s=0.5)
        return VisionChoice(1, bundle.id, machine_identity(), n_threads=2, chosen=0, measured=(found,))

    monkeypatch.setattr("gpt4roi_runtime.backends.vision_choice.platformdirs.user_cache_path", lambda _: tmp_path)
    monkeypatch.setattr("gpt4roi_runtime.cli.doctor.find_engines", lambda: ())
    monkeypatch.setattr("gpt4roi_runtime.cli.doctor.tune_vision", really_fast)
    assert "ONNX Runtime runs it" in run("doctor").stdout
    for words in (("doctor", "--tune"), ("doctor",)):
        shown = run(*words).stdout
        assert "OpenVINO bf16 runs it" in shown
        assert "OpenVINO 1.2 (CPU, bf16): encode 0.500 s" in shown
