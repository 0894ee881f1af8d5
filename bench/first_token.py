"""Measures what the README's table shows: start of the process to the first text, seconds by stage, peak memory.

    make bench                                        # or:
    .venv/bin/python bench/first_token.py --runs 7
    .venv/bin/python bench/first_token.py --llama-bench PATH/TO/llama-bench

With `--llama-bench`, a binary of the same llama.cpp commit, its tokens/s on the bundle's GGUF are measured in turn with
ours, at the same depth and threads. Quote medians from a quiet machine.
"""

import argparse
import json
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

from gpt4roi_runtime import Box, Done, EngineSettings, LlamaCppSettings, Pipeline, Sampling, default_bundle, load_image
from gpt4roi_runtime.backends.llama_cpp_settings import usable_cores

REPOSITORY = Path(__file__).resolve().parent.parent
PHOTO = REPOSITORY / "runtime" / "gpt4roi_runtime" / "samples" / "coffee.jpg"
BOX = "165,10,415,300"
QUESTION = "What is <region1>?"
GPT4ROI = Path(sys.executable).with_name("gpt4roi")
N_ANSWER_TOKENS = 128


def main() -> None:
    """Measure and print."""
    options = _options()
    runs = range(options.runs)
    console = Console()
    _once()  # files into the page cache, self-test remembered
    first_text_s, peak_bytes = zip(*(_once() for _ in track(runs, "processes", console=console)), strict=True)
    stages = [_stages() for _ in track(runs, "stages", console=console)]
    table = Table(title=f"{platform.processor() or platform.machine()}, {usable_cores()} cores; {options.runs} runs")
    for heading in ("what", "median", "min", "max"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    _add(table, "process start to first text (s)", first_text_s)
    for stage in stages[0]:
        _add(table, f"{stage} (s)", [one[stage] for one in stages])
    _add(table, "peak memory (MB)", [peak / 1e6 for peak in peak_bytes])
    if options.llama_bench:
        ours, theirs = _decode_against(options.llama_bench, options.runs)
        _add(table, f"decode, {N_ANSWER_TOKENS} tokens (tokens/s)", ours)
        _add(table, "llama-bench, same file, depth and threads (tokens/s)", theirs)
        _add(table, "ratio", [a / b for a, b in zip(ours, theirs, strict=True)])
    _add(table, "import gpt4roi_runtime (ms)", [_import_ms() for _ in runs])
    console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="measure the embedded model")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--llama-bench", type=Path)
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


def _stages() -> dict[str, float]:
    """Seconds by stage, as `gpt4roi ask --json` tells them."""
    command = [str(GPT4ROI), "ask", str(PHOTO), "--region", BOX, QUESTION, "--json"]
    account = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)  # noqa: S603 - ours
    seconds: dict[str, float] = account["seconds"]
    return seconds


def _import_ms() -> float:
    """Milliseconds that importing the package takes in a fresh interpreter."""
    program = "import time; s = time.perf_counter(); import gpt4roi_runtime; print((time.perf_counter() - s) * 1e3)"
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)  # noqa: S603


def _decode_against(llama_bench: Path, n_runs: int) -> tuple[list[float], list[float]]:
    """Tokens a second of our decode loop and of llama-bench, in turn."""
    ours, theirs = [], []
    n_threads = usable_cores()
    settings = EngineSettings(language=LlamaCppSettings(n_threads=n_threads))
    with Pipeline.open(default_bundle(), settings) as pipeline:
        image = pipeline.encode(load_image(PHOTO))
        gguf = pipeline.bundle.path_of(pipeline.bundle.manifest.language.gguf)
        for run in range(n_runs + 1):
            question = "Write a long story about <region1>."
            sampling = Sampling(temperature=1.0, seed=run)
            *_, done = pipeline.ask(
                image, question, {1: Box(165, 10, 415, 300)}, sampling=sampling, max_tokens=N_ANSWER_TOKENS
            )
            assert isinstance(done, Done)  # noqa: S101 - for the type checker
            command = [str(llama_bench), "-m", str(gguf), "-p", "0", "-n", str(N_ANSWER_TOKENS), "-d"]
            command += [str(done.n_prompt_rows), "-t", str(n_threads), "-fa", "0", "-r", "1", "-o", "json"]
            bench = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)  # noqa: S603 - named by the user
            if run:  # the first is a warm-up
                ours.append(done.n_answer_tokens / done.seconds["decode"])
                theirs.append(float(bench[0]["avg_ts"]))
    return ours, theirs


if __name__ == "__main__":
    main()
