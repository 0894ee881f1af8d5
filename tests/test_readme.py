"""What the README shows is what happens."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gpt4roi_runtime.backends.openvino_cache import CompiledCache
from gpt4roi_runtime.backends.vision_choice import ChoiceStore
from tests.conftest import REPOSITORY
from tests.runtime.cli.conftest import Run, run

__all__ = ["run"]  # the fixture

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")


def commands(program: str) -> list[list[str]]:
    """Every line of the README that starts with ``program``, split as a shell does, without comments."""
    text = README.replace("\\\n", " ")
    lines = re.findall(rf"^ {{4}}(?:\$ )?({program} .*)$", text, flags=re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def test_every_make_verb_exists() -> None:
    verbs = {words[1] for words in commands("make")}
    assert {"demo", "test", "bench"} <= verbs
    for verb in verbs:
        assert re.search(rf"^{verb}:", MAKEFILE, flags=re.MULTILINE)


@pytest.mark.bundle
@pytest.mark.usefixtures("bundle_dir")
def test_every_gpt4roi_line_works(
    run: Run, sample_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    astronaut = sample_photo.with_name("astronaut.jpg")
    (tmp_path / "photo.jpg").write_bytes(sample_photo.read_bytes())
    (tmp_path / "astronaut.jpg").write_bytes(astronaut.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gpt4roi_runtime.cli.doctor.ChoiceStore", lambda: ChoiceStore(tmp_path / "cache"))
    monkeypatch.setattr(
        "gpt4roi_runtime.backends.openvino_graph.CompiledCache",
        lambda _: CompiledCache(tmp_path / "cache" / "compiled"),
    )
    verbs = set()
    for _, verb, *words in commands("gpt4roi"):
        verbs.add(verb)
        if "..." in words:
            words = ["photo.jpg", "--region", "40,60,220,310", "What is <region1>?", *words[1:]]
        if {"BUNDLE", "./gpt4roi-7b"} & set(words) or verb in {"app", "bench"}:
            continue  # tested with real bundles, with a real window, and with small numbers elsewhere
        result = run(verb, *words, stdin="/quit\n")
        assert result.exit_code == 0, result.output
    assert verbs == {"ask", "caption", "chat", "info", "verify", "doctor", "plan", "propose", "app", "bench"}


@pytest.mark.bundle
@pytest.mark.usefixtures("bundle_dir")
def test_the_answer_shown_is_the_answer_given(run: Run, sample_photo: Path) -> None:
    """In what it says; kernels of another processor may choose another word around it."""
    _, verb, _, *words = commands("gpt4roi")[0]
    result = run(verb, sample_photo.with_name("astronaut.jpg"), *words)
    shown = README.split("    $ gpt4roi", 2)[1]
    assert "space shuttle" in shown
    assert "space shuttle" in result.stdout


@pytest.mark.bundle
@pytest.mark.usefixtures("bundle_dir")
def test_the_python_example_runs(sample_photo: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    program = program.replace('"photo.jpg"', repr(str(sample_photo)))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
