"""The command line as a process of its own: interruptions, no network, standard streams."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

CUP = ("--region", "165,10,415,300")
LONG_QUESTION = "Write a long story about <region1>."

pytestmark = [pytest.mark.bundle, pytest.mark.usefixtures("bundle_dir")]


def start(*words: object, prelude: str = "") -> "subprocess.Popen[str]":
    """Start `gpt4roi` in a fresh interpreter that runs ``prelude`` first."""
    program = f"{prelude}\nfrom gpt4roi_runtime.__main__ import main\nmain()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def wait(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def assert_interrupted(status: int, errors: str) -> None:
    assert status == 130
    assert "cancelled" in errors
    assert "Traceback" not in errors


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    "moment",
    [
        "gpt4roi_runtime.pipeline:Pipeline.open",
        "gpt4roi_runtime.pipeline:Pipeline.encode",
        "gpt4roi_runtime.backends.llama_cpp:LlamaCppDecoder.prefill",
        "gpt4roi_runtime.image:load_image",
        "gpt4roi_runtime.overlay:_drawn",
    ],
)
def test_ctrl_c_in_every_stage(moment: str, sample_photo: Path, tmp_path: Path) -> None:
    """The signal comes just before the named function begins, so the stage itself is interrupted."""
    module, _, name = moment.partition(":")
    prelude = f"""
import importlib, os, signal
owner = importlib.import_module({module!r})
*parts, name = {name!r}.split(".")
for part in parts:
    owner = getattr(owner, part)
real = getattr(owner, name)
def interrupted(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGINT)
    return real(*args, **kwargs)
setattr(owner, name, interrupted)
"""
    target = tmp_path / "out.png"
    target.write_bytes(b"old")
    words = ("ask", sample_photo, *CUP, LONG_QUESTION, "--save-overlay", target)
    status, _, errors = wait(start(*words, prelude=prelude))
    assert_interrupted(status, errors)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_while_the_answer_is_written(sample_photo: Path) -> None:
    process = start("ask", sample_photo, *CUP, LONG_QUESTION, "--max-tokens", "2000", "--temperature", "1")
    assert process.stdout is not None
    assert process.stdout.read(1)  # the answer has begun
    process.send_signal(signal.SIGINT)
    began_s = time.monotonic()
    status, _, errors = wait(process)
    assert_interrupted(status, errors)
    assert time.monotonic() - began_s < 30


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_while_modules_are_imported(sample_photo: Path) -> None:
    prelude = """
import builtins, os, signal
real = builtins.__import__
def interrupted(name, *args, **kwargs):
    if name == "click":
        builtins.__import__ = real
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *args, **kwargs)
builtins.__import__ = interrupted
"""
    status, _, errors = wait(start("ask", sample_photo, *CUP, LONG_QUESTION, prelude=prelude))
    assert_interrupted(status, errors)


def test_no_socket_is_ever_opened(sample_photo: Path) -> None:
    prelude = """
import sys
def refuse(event, args):
    if event.startswith("socket."):
        raise SystemExit(f"the network was asked for: {event} {args}")
sys.addaudithook(refuse)
"""
    status, output, errors = wait(start("ask", sample_photo, *CUP, "What is <region1>?", prelude=prelude))
    assert (status, errors) == (0, "")
    assert output.strip()


def test_a_reader_that_goes_away_is_no_error(sample_photo: Path) -> None:
    with start("ask", sample_photo, *CUP, LONG_QUESTION) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
    assert errors == ""


def test_answers_stream_before_they_are_complete(sample_photo: Path) -> None:
    with start("ask", sample_photo, *CUP, LONG_QUESTION, "--max-tokens", "60", "--temperature", "1") as process:
        assert process.stdout is not None
        pieces = []
        while piece := os.read(process.stdout.fileno(), 1 << 16):
            pieces.append(piece)
    assert process.returncode == 0
    assert len(pieces) > 5


def test_bad_input_in_a_real_process(sample_photo: Path) -> None:
    status, output, errors = wait(start("ask", sample_photo, "--region", "1,2,3", "What is <region1>?"))
    assert (status, output) == (2, "")
    assert errors.splitlines()[0] == "error: '1,2,3' is not a box"


@pytest.mark.parametrize(("encoding", "shown"), [("latin-1", "?"), ("utf-8", "\U0001f43b")])
def test_letters_that_the_terminal_cannot_show_are_no_error(
    sample_photo: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    words: Sequence[object] = ("ask", sample_photo, *CUP, "Is <region1> \U0001f43b?", "--json", "--max-tokens", "4")
    status, output, errors = wait(start(*words))
    assert (status, errors) == (0, "")
    assert f"<bbox> {shown}?" in json.loads(output)["prompt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("verb", ["info", "ask"])
def test_a_full_disk_behind_standard_output(verb: str, sample_photo: Path) -> None:
    words = [sys.executable, "-m", "gpt4roi_runtime", verb]
    words += [str(sample_photo), "What is in the picture?"] if verb == "ask" else []
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("error: cannot write to standard output")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no text")
def test_a_photo_whose_name_is_no_text(sample_photo: Path, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.jpg"
    Path(os.fsdecode(path)).write_bytes(sample_photo.read_bytes())
    words = [sys.executable, "-m", "gpt4roi_runtime", "ask", path, "What is in the picture?", "--json"]
    done = subprocess.run([*words, "--max-tokens", "3"], capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["photo"]["path"].endswith("\ufffd.jpg")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.25, 0.35, 0.45, 0.6, 0.8, 1.0])
def test_ctrl_c_at_any_moment(seconds: float, sample_photo: Path) -> None:
    """Whatever is going on ends quietly; a machine on which all is done by then has nothing to end."""
    prelude = f"""
import os, signal, threading
timer = threading.Timer({seconds}, lambda: os.kill(os.getpid(), signal.SIGINT))
timer.daemon = True
timer.start()
"""
    words = ("ask", sample_photo, *CUP, LONG_QUESTION, "--temperature", "1", "--max-tokens", "3000")
    status, output, errors = wait(start(*words, prelude=prelude))
    if status == 0:
        assert output
        assert errors == ""
    else:
        assert_interrupted(status, errors)
