"""The entry of the app as one folder, run by this Python: it is the model's process where it is told to be."""

import queue
import sys
from pathlib import Path

from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.process import WorkerProcess
from tests.conftest import REPOSITORY

ENTRY = REPOSITORY / "desktop_app" / "frozen.py"
PATIENCE_S = 60


def test_it_serves_as_the_models_process(tmp_path: Path) -> None:
    heard: queue.SimpleQueue[m.Event] = queue.SimpleQueue()
    command = (sys.executable, str(ENTRY), "-m", "gpt4roi_runtime.worker.child")
    process = WorkerProcess(heard.put, command)
    try:
        process.send(m.OpenBundle(7, bytes(tmp_path)))
        assert heard.get(timeout=PATIENCE_S) == m.Begun(7)
        failed = heard.get(timeout=PATIENCE_S)
    finally:
        process.close()
    assert isinstance(failed, m.Failed)
    assert str(tmp_path) in failed.problem
