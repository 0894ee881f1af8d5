"""Measures what the README says of GPT4RoI-7B: writes, imports, verifies, asks and plans a checkpoint of its size.

    make import-7b                                          # or:
    .venv/bin/python bench/import_7b.py --work FOLDER       # some 45 GB of disk; the checkpoint there is used again

The numbers in the checkpoint are random, so the answer is nonsense; sizes, times and memory are those of the real one.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

SCRIPTS = Path(sys.executable).parent
PHOTO = Path(__file__).parents[1] / "runtime" / "gpt4roi_runtime" / "samples" / "astronaut.jpg"
BOX = "360,5,460,280"
SAMPLE_S = 0.1
GB = 1e9


@dataclass(frozen=True)
class Run:
    """One command.

    Attributes:
        seconds: From start to end.
        peak_bytes: Most resident memory of the process and its children together, sampled ten times a second.
        output: What it printed.
    """

    seconds: float
    peak_bytes: int
    output: str


def run(command: Sequence[str | Path], *, status: tuple[int, ...] = (0,)) -> Run:
    """Run a command and watch its memory."""
    started = time.monotonic()
    process = psutil.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _resident(process))
        time.sleep(SAMPLE_S)
    output = process.stdout.read()
    if process.returncode not in status:
        sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{output}")
    return Run(time.monotonic() - started, peak, output)


def _resident(process: psutil.Process) -> int:
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.Error:  # ended meanwhile
        return total
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoint and bundle")
    parser.add_argument("--size", choices=["tiny", "7b", "13b"], default="7b")
    parser.add_argument("--llm", default="Q4_K_M")
    parser.add_argument("--vision", choices=["fp32", "fp16", "int8"], default="fp32")
    parser.add_argument("--context", type=int, default=2048)
    options = parser.parse_args()
    checkpoint, bundle = options.work / "checkpoint", options.work / f"bundle-{options.llm}-{options.vision}"
    maker, gpt4roi = SCRIPTS / "gpt4roi-export", SCRIPTS / "gpt4roi"
    table = Table("what", "seconds", "peak memory", "")
    if not checkpoint.exists():
        made = run([maker, "synthesize", "--size", options.size, "--as-delta", "--out", checkpoint])
        table.add_row("write a random checkpoint", *_numbers(made), _size(checkpoint))
    parts = [word for part in ("base", "delta", "clip") for word in (f"--{part}", checkpoint / part)]
    if bundle.exists():
        shutil.rmtree(bundle)
    imported = run([maker, "import", *parts, "--out", bundle, "--llm", options.llm, "--vision", options.vision])
    table.add_row("import it", *_numbers(imported), f"{_size(checkpoint)} -> {_size(bundle)}")
    checked = run([maker, "parity", bundle, *parts])
    certificate = json.loads((bundle / "parity.json").read_bytes())
    stages = [stage for engine in certificate["engines"] for stage in engine["stages"]]
    errors = ", ".join(f"{stage['stage']} {stage['relative_error']:.1e}" for stage in stages)
    table.add_row("hold it against the checkpoint", *_numbers(checked), errors)
    context = ["--context", str(options.context)]
    planned = run(
        [gpt4roi, "plan", bundle, "--device", "cpu", "--ctx", context[1], "--regions", "1", "--json"], status=(0, 1)
    )
    predicted = json.loads(planned.output)["memory"][0]["needed_bytes"]
    question = [gpt4roi, "ask", PHOTO, "--bundle", bundle, "--region", BOX, "What is <region1>?", "--json"]
    asked = run([*question, "--max-tokens", "32", "--temperature", "0", *context])
    answer = json.loads(asked.output)
    tokens = answer["tokens"]
    table.add_row("ask one question, process and all", *_numbers(asked), f"{tokens['answer']} tokens of answer")
    seconds = {**answer["seconds"], "a token": answer["seconds"]["decode"] / max(tokens["answer"] - 1, 1)}
    for stage in ("load", "encode", "regions", "prefill", "a token"):
        table.add_row(f"  {stage}", f"{seconds[stage]:.2f}", "", "")
    ratio = predicted / asked.peak_bytes
    table.add_row("what `gpt4roi plan` says of it", "", f"{predicted / GB:.2f} GB", f"{ratio:.3f} of the measured")
    Console().print(table)


def _numbers(made: Run) -> tuple[str, str]:
    return f"{made.seconds:.0f}", f"{made.peak_bytes / GB:.2f} GB"


def _size(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / GB:.2f} GB"


if __name__ == "__main__":
    main()
