"""Python in a child process, for what might kill the process or is about its end."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def run_child(code: str, *arguments: str, timeout_s: float = 60.0) -> "subprocess.CompletedProcess[str]":
    """Run ``code`` with the runtime and the tests importable; ``arguments`` are its ``sys.argv[1:]``."""
    paths = [str(REPOSITORY), str(REPOSITORY / "runtime")]
    return subprocess.run(
        # llama-cpp-python's high-level half leaves /dev/null open at its import.
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore::ResourceWarning",
            "-c",
            f"import sys; sys.path[:0] = {paths!r}\n{code}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
