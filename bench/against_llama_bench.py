"""Our decoder against llama-bench of the same llama.cpp commit, in turn: the ratio of every pair of runs.

    .venv/bin/python bench/against_llama_bench.py --llama-bench PATH/TO/llama-bench
    .venv/bin/python bench/against_llama_bench.py --build .cache/llama-bench            # compiles it there first, once

Run in turn, what slows the machine slows both; each pair is one run of `gpt4roi bench` and one of llama-bench, with the
same tests, threads, batch and attention. Quote ratios from a quiet machine.
"""

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from gpt4roi_runtime import default_bundle, open_bundle
from gpt4roi_runtime.backends.processor import usable_cores
from gpt4roi_runtime.bench.compare import compare, read_result

REPOSITORY = Path(__file__).resolve().parent.parent
RESULT = {"ours": "ours.json", "theirs": "llama-bench.json"}

sys.path.insert(0, str(REPOSITORY / "runtime" / "native"))
import install_llama_cpp as native  # noqa: E402 - a script beside the package


def main() -> None:
    """Measure and print."""
    options = _options()
    if options.build is not None:
        options.llama_bench = build(options.build)
    if options.llama_bench is None:
        sys.exit("name a llama-bench of the same commit with --llama-bench, or a folder to compile it in with --build")
    options.work.mkdir(parents=True, exist_ok=True)
    console = Console()
    pairs = [_pair(options, options.work) for _ in track(range(options.pairs + 1), "pairs", console=console)]
    console.print(_table(pairs[1:], options))  # the first is a warm-up: files into the page cache


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-bench", type=Path, help="the program, of the commit that our package carries")
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="compile it there, unless it is there")
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--work", type=Path, default=REPOSITORY / ".cache" / "against-llama-bench")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("-p", default="256", help="as of both programs")
    parser.add_argument("-n", default="128")
    parser.add_argument("-d", default="0,256")
    parser.add_argument("-b", default="512")
    parser.add_argument("-t", default=str(usable_cores()))
    parser.add_argument("-fa", default="off", choices=["on", "off"])
    return parser.parse_args()


def _pair(options: argparse.Namespace, work: Path) -> dict[str, float]:
    """Ratio of ours to theirs by the test's name."""
    ours, theirs = work / RESULT["ours"], work / RESULT["theirs"]
    bundle = open_bundle(options.bundle)
    same = ["-p", options.p, "-n", options.n, "-d", options.d, "-b", options.b, "-ub", options.b, "-t", options.t]
    same += ["-fa", options.fa, "-r", "1", "-o", "json"]
    gguf = bundle.path_of(bundle.manifest.language.gguf)
    ours.write_bytes(
        _run(
            [sys.executable, "-m", "gpt4roi_runtime", "bench", "--bundle", options.bundle, "--rows", "language", *same]
        )
    )
    theirs.write_bytes(_run([options.llama_bench, "-m", gguf, "-ngl", "0", "--load-mode", "none", *same]))
    found = compare(read_result(theirs), read_result(ours))
    if found.only_a or found.only_b:
        sys.exit(f"only one of the two measured {', '.join(one.test for one in (*found.only_a, *found.only_b))}")
    return {ratio.test: ratio.ratio for ratio in found.ratios}


def _run(command: Sequence[str | Path]) -> bytes:
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False)  # noqa: S603 - ours, theirs
    if done.returncode != 0:
        sys.exit(
            f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr.decode('utf-8', 'replace')}"
        )
    return done.stdout


def _table(pairs: Sequence[dict[str, float]], options: argparse.Namespace) -> Table:
    title = f"ours over llama-bench; {len(pairs)} pairs, {options.t} threads, batch {options.b}"
    table = Table("test", "median", "min", "max", title=title)
    for test in pairs[0]:
        ratios = [pair[test] for pair in pairs]
        table.add_row(test, *(f"{value:.3f}" for value in (statistics.median(ratios), min(ratios), max(ratios))))
    return table


def build(folder: Path) -> Path:
    """Compile llama-bench from the pinned package's own sources, with the flags of its libraries; returns its path."""
    recipe = native.make_recipe()
    program, record = folder / "build" / "bin" / "llama-bench", folder / "key"
    if program.is_file() and record.is_file() and record.read_text(encoding="utf-8") == recipe.key:
        return program
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    _run([*pip, "--dest", folder, f"llama-cpp-python=={native.VERSION}"])
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    archive.unlink()
    (sources,) = folder.glob("*/vendor/llama.cpp")
    for command in _cmake(sources, folder / "build", shlex.split(recipe.cmake_args)):
        print(" ".join(command), flush=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - cmake
    record.write_text(recipe.key, encoding="utf-8")
    return program


def _cmake(sources: Path, target: Path, flags: Sequence[str]) -> Iterator[list[str]]:
    """Configure and compile; a native build, as that of the package is."""
    cmake = shutil.which("cmake")
    if cmake is None:
        sys.exit("cmake is missing: pip install cmake, or your system's package")
    own = ["-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_SERVER=OFF"]
    yield [cmake, "-S", str(sources), "-B", str(target), *own, *flags]
    yield [cmake, "--build", str(target), "--target", "llama-bench", "--parallel", str(os.cpu_count() or 1)]


if __name__ == "__main__":
    main()
