"""The cases of scaled_cases.py, on small screens that Qt makes up: twice, and one and a half times, as dense."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed", exc_type=ImportError)
pytest.importorskip("pytestqt", reason="pytest-qt is not installed")

from tests.conftest import REPOSITORY


@pytest.mark.parametrize(("scale", "screen"), [("2", (1280, 720)), ("1.5", (1366, 768))])
def test_at(scale: str, screen: tuple[int, int], tmp_path: Path) -> None:
    width, height = (round(side * float(scale)) for side in screen)
    made_up = {"name": "made up", "x": 0, "y": 0, "width": width, "height": height}
    made_up |= {"logicalDpi": 96, "logicalBaseDpi": 96, "dpr": 1}
    (tmp_path / "screens.json").write_text(json.dumps({"screens": [made_up]}), encoding="utf-8")
    env = os.environ | {
        "QT_QPA_PLATFORM": f"offscreen:configfile={tmp_path / 'screens.json'}",
        "QT_SCALE_FACTOR": scale,
        "GPT4ROI_SCREEN": f"{screen[0]}x{screen[1]}",
    }
    cases = Path(__file__).with_name("scaled_cases.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(cases)]
    done = subprocess.run(command, env=env, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
