"""Measures what `gpt4roi bench` cannot, because it is a process itself: start to first text, peak memory, import.

    .venv/bin/python bench/start.py --runs 7

Quote medians from a quiet machine.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gpt4roi_runtime.backends.processor import usable_cores

REPOSITORY = Path(__file__).resolve().parent.parent
PHOTO = REPOSITORY / "runtime" / "gpt4roi_runtime" / "samples" / "coffee.jpg"
BOX = "165,10,415,300"
QUESTION = "What is <region1>?"
GPT4ROI = Path(sys.executable).with_name("gpt4roi")


def main() -> None:
    """Measure and print."""
    options = _options()
    runs = range(options.runs)
    console = Console()
    _once()  # files into the page cache, self-test remembered
    first_text_s, peak_bytes = zip(*(_once() for _ in track(runs, "processes", console=console)), strict=True)
    table = Table(title=f"{platform.processor() or platform.machine()}, {usable_cores()} cores; {options.runs} runs")
    for heading in ("what", "median", "min", "max"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    _add(table, "process start to first text (s)", first_text_s)
    _add(table, "peak memory (MB)", [peak / 1e6 for peak in peak_bytes])
    _add(table, "import gpt4roi_runtime (ms)", [_import_ms() for _ in runs])
    console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="measure the start of `gpt4roi ask`")
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


def _add(table: Table, what: str, values: Sequence[float]) -> None:
    table.add_row(what, *(f"{value:.3g}" for value in (statistics.median(values), min(values), max(values))))


def _once() -> tuple[float, int]:
    """Seconds from the start of `gpt4roi ask` to its first byte of text, and its peak memory in bytes."""
    started_s = time.perf_counter()
    command = [str(GPT4ROI), "ask", str(PHOTO), "--region", BOX, QUESTION]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - ours
        assert process.stdout is not None  # noqa: S101 - for the type checker
        os.read(process.stdout.fileno(), 1)
        first_text_s = time.perf_counter() - started_s
        return first_text_s, _peak_bytes(process)


def _peak_bytes(process: "subprocess.Popen[bytes]") -> int:
    """Peak resident memory of a child, once it has ended; where the system does not keep it, the largest of samples."""
    if hasattr(os, "wait4"):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return int(usage.ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
    peak_bytes, probe = 0, psutil.Process(process.pid)
    while process.poll() is None:
        peak_bytes = max(peak_bytes, int(probe.memory_info().rss))
        time.sleep(0.005)
    return peak_bytes


def _import_ms() -> float:
    """Milliseconds that importing the package takes in a fresh interpreter."""
    program = "import time; s = time.perf_counter(); import gpt4roi_runtime; print((time.perf_counter() - s) * 1e3)"
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)  # noqa: S603


if __name__ == "__main__":
    main()
