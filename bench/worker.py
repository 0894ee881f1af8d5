"""Measures what a process of its own costs: docs/decisions/0018 quotes it.

    .venv/bin/python bench/worker.py --runs 7

The same questions go to a pipeline of this process and to one in a worker, in turn; the last row is the wire alone.
"""

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from gpt4roi_runtime import (
    Box,
    Done,
    EngineSettings,
    LlamaCppSettings,
    Pipeline,
    Sampling,
    WorkerPipeline,
    default_bundle,
    load_image,
)
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.wire import read_frame, write_frame

PHOTO = Path(__file__).parents[1] / "runtime" / "gpt4roi_runtime" / "samples" / "coffee.jpg"
BOX = Box(165, 10, 415, 300)
SETTINGS = EngineSettings(vision_threads=1, language=LlamaCppSettings(n_threads=1))
RAMBLING = Sampling(temperature=10.0, top_k=0, top_p=1.0)  # the same seed, so the same tokens, and many of them
N_ANSWER_TOKENS = 200
N_EVENTS = 20_000
FRESH = """
import sys, psutil
from pathlib import Path
import gpt4roi_runtime as g
settings = g.EngineSettings(vision_threads=1, language=g.LlamaCppSettings(n_threads=1))
with getattr(g, sys.argv[1]).open(g.default_bundle(), settings) as pipeline:
    pipeline.encode(g.load_image(Path(sys.argv[2])))
    print(psutil.Process().memory_info().rss / 1e6)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = range(parser.parse_args().runs)
    near, far = [], []
    _measured(Pipeline)  # files into the page cache
    for _ in runs:
        near.append(_measured(Pipeline))
        far.append(_measured(WorkerPipeline))
    table = Table(title=f"medians of {len(runs)} runs")
    for heading in ("what", "this process", "worker", "difference"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for what in near[0]:
        here, there = (statistics.median(one[what] for one in each) for each in (near, far))
        table.add_row(what, f"{here:.3f}", f"{there:.3f}", f"{there - here:+.3f}")
    table.add_row("an event on the wire (ms)", "", f"{statistics.median(_event_ms() for _ in runs):.4f}", "")
    Console().print(table)


def _measured(kind: type[Pipeline | WorkerPipeline]) -> dict[str, float]:
    seconds = _fresh(kind)
    photo = load_image(PHOTO)
    started = time.perf_counter()
    pipeline = kind.open(default_bundle(), SETTINGS)
    seconds["open, less the loading itself (s)"] = time.perf_counter() - started - pipeline.load_s
    started = time.perf_counter()
    image = pipeline.encode(photo)
    seconds["encode (s)"] = time.perf_counter() - started
    times = _event_times(pipeline, image)
    seconds["question to first text (s)"] = times[1] - times[0]
    seconds["a token after it (ms)"] = 1e3 * (times[-1] - times[1]) / (N_ANSWER_TOKENS - 1)
    started = time.perf_counter()
    pipeline.close()
    seconds["close (s)"] = time.perf_counter() - started
    return seconds


def _fresh(kind: type[Pipeline | WorkerPipeline]) -> dict[str, float]:
    """A Python that opens, encodes and leaves."""
    started = time.perf_counter()
    command = [sys.executable, "-c", FRESH, kind.__name__, str(PHOTO)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
    return {
        "a Python that opens, encodes and leaves (s)": time.perf_counter() - started,
        "memory of it meanwhile (MB)": float(done.stdout),
    }


def _event_times(pipeline: Pipeline | WorkerPipeline, image: object) -> Sequence[float]:
    """When a question was asked, and when its events came."""
    times = [time.perf_counter()]
    asked = pipeline.ask(image, "What is <region1>?", {1: BOX}, sampling=RAMBLING, max_tokens=N_ANSWER_TOKENS)  # type: ignore[arg-type]
    for event in asked:
        times.append(time.perf_counter())
        if isinstance(event, Done) and event.n_answer_tokens != N_ANSWER_TOKENS:
            raise SystemExit(f"the answer ended after {event.n_answer_tokens} tokens; choose another seed")
    return times


def _event_ms() -> float:
    """Milliseconds to encode an event, to write and read it on a pipe, and to decode it."""
    entry, exit_ = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True))

    def write() -> None:
        with exit_:
            for number in range(N_EVENTS):
                write_frame(exit_, msgspec.msgpack.encode(m.Text(number, "word ")))

    writer = threading.Thread(target=write)
    started = time.perf_counter()
    writer.start()
    decoder = msgspec.msgpack.Decoder(m.Event)
    with entry:
        while (frame := read_frame(entry)) is not None:
            decoder.decode(frame)
    writer.join()
    return (time.perf_counter() - started) / N_EVENTS * 1e3


if __name__ == "__main__":
    main()
