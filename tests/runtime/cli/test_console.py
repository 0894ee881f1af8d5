"""What every command prints through."""

import json
import re
from pathlib import Path

import click
import pytest

from gpt4roi_runtime.cli import ask
from gpt4roi_runtime.cli.console import busy, plain
from gpt4roi_runtime.events import Done, TextDelta
from tests.helpers.bundles import write_fake_bundle
from tests.runtime.cli.conftest import Run

TITLE = "\x1b]0;owned\x07"


def test_a_terminal_never_sees_control_characters() -> None:
    assert plain(f"a{TITLE}b\x9b31m\tc\nd") == "a\ufffd]0;owned\ufffdb\ufffd31m\tc\nd"


def test_a_manifest_cannot_write_to_the_terminal(run: Run, tmp_path: Path) -> None:
    folder = write_fake_bundle(tmp_path, summary=TITLE, name=f"n{TITLE}", can=[TITLE])
    result = run("info", folder)
    assert result.exit_code == 0
    assert "owned" in result.stdout
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", result.stdout)


def test_an_error_cannot_write_to_the_terminal(run: Run, tmp_path: Path) -> None:
    file = write_fake_bundle(tmp_path) / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["format"] = TITLE
    file.write_text(json.dumps(manifest))
    result = run("info", tmp_path)
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr


def test_an_answer_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    done = Done("", "end", (), 1, 1, "", {})
    assert ask.print_answer(iter([TextDelta(f"a{TITLE}b"), done]), quiet=False) is done
    assert capsys.readouterr().out == "a\ufffd]0;owned\ufffdb\n"


def test_busy_is_silent_outside_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with busy("working"):
        click.echo("done")
    assert capsys.readouterr() == ("done\n", "")


@pytest.mark.parametrize("verb", ["info", "verify", "doctor"])
def test_the_bundle_is_taken_from_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setenv("GPT4ROI_BUNDLE", str(tmp_path / "named-in-the-environment"))
    assert "named-in-the-environment" in run(verb).output
