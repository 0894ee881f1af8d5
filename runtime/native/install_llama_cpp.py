"""Build llama-cpp-python for this very machine and install it into the running environment, unless it is there already.

Needs a C and a C++ compiler, and the packages ``rich`` and ``platformdirs``; knows nothing of what runs on it later.

    python runtime/native/install_llama_cpp.py [--rebuild]

The environment variables CMAKE_ARGS (``-DGGML_CUDA=on``), CXX and CXXFLAGS are respected. A finished wheel is kept in
the folder GPT4ROI_WHEELHOUSE, by default in the user's cache, under a key of everything that decides what comes out of
the compiler, the processor included, because the code is made for this processor only.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import platformdirs
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

VERSION = "0.3.36"
AMX_HEADER = Path(__file__).with_name("amx_tile_config.h")
HUGE_PAGES_HEADER = Path(__file__).with_name("huge_pages.h")
LOG = Path(sys.prefix) / "llama-cpp-build.log"
PACKAGE = Path(sysconfig.get_path("platlib")) / "llama_cpp"
RECORD = PACKAGE / "gpt4roi-build.json"
# Without OpenMP: its runtime halves the speed when a model is loaded in one thread and used in another.
OUR_CMAKE_ARGS = ("-DGGML_OPENMP=OFF", "-DLLAVA_BUILD=OFF")
_STEP = re.compile(r"^\s*\[(\d+)/(\d+)\]")
_TAIL_LINES = 40
Show = Generator[None, tuple[int, int], None]
"""Hears steps done and steps in all."""


class BuildError(Exception):
    """The build failed; the message is for the person who started it."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out of the compiler.

    Attributes:
        cmake_args: Arguments for CMake, in one line, quoted for a shell.
        key: Hash of the arguments, the compiler, the processor and the Python version.
    """

    cmake_args: str
    key: str


def main() -> int:
    """Do what the command line asks; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build and install llama-cpp-python for this machine.")
    parser.add_argument("--rebuild", action="store_true", help="compile even if the right build is there")
    rebuild: bool = parser.parse_args().rebuild
    try:
        install(make_recipe(), rebuild=rebuild)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"stopped; {str(stop) or 'nothing was installed'}", file=sys.stderr)
        return 130
    return 0


def install(recipe: Recipe, *, rebuild: bool) -> None:
    """Install the build of this recipe from the nearest place that has it.

    Raises:
        BuildError: It could not be built or installed.
    """
    if not rebuild and is_installed(recipe):
        print(f"llama-cpp-python {VERSION} is already built for this machine")
        return
    shelf = wheelhouse() / recipe.key
    wheel = None if rebuild else next(iter(sorted(shelf.glob("*.whl"))), None)
    with tempfile.TemporaryDirectory(prefix="llama-cpp-build-") as folder:
        if wheel is None:
            wheel = keep(build(recipe, Path(folder)), shelf)
        else:
            print(f"llama-cpp-python {VERSION}: using the wheel built earlier, {wheel}")
        try:
            RECORD.unlink(missing_ok=True)  # what lies there is no known build until the new record says so
            pip_install(wheel)
            write_record(recipe)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("llama-cpp-python may be half installed: run this again") from None
        except OSError as error:
            raise BuildError(f"cannot install into {PACKAGE}: {error.strerror or error}") from error


def make_recipe() -> Recipe:
    """The recipe for this machine and this environment.

    Raises:
        BuildError: There is no compiler, or the user's arguments collide with ours.
    """
    compiler = compiler_version()
    asked = os.environ.get("CMAKE_ARGS", "")
    arguments, headers = list(OUR_CMAKE_ARGS), []
    for language, header in forced_headers(compiler):
        if f"CMAKE_{language}_FLAGS" in asked:
            raise BuildError(
                f"CMAKE_ARGS sets CMAKE_{language}_FLAGS, which this script needs; use CFLAGS and CXXFLAGS instead"
            )
        own = os.environ.get("CFLAGS" if language == "C" else "CXXFLAGS", "")
        flags = f"{own} -include {shlex.quote(str(header))}".strip()
        arguments.append(f"-DCMAKE_{language}_FLAGS={flags}")
        headers.append(header)
    cmake_args = f"{shlex.join(arguments)} {asked}".strip()
    # A header counts by its text, not by its place, so that every checkout finds the same wheel.
    portable_args = cmake_args
    for header in headers:
        portable_args = portable_args.replace(str(header), header.read_text(encoding="utf-8"))
    facts = (
        VERSION,
        portable_args,
        compiler,
        processor(),
        f"{platform.system()} {platform.libc_ver()}",
        sysconfig.get_config_var("SOABI") or sys.version,
        *([cuda_compiler_version()] if "GGML_CUDA" in asked else []),
    )
    return Recipe(cmake_args=cmake_args, key=hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32])


def forced_headers(compiler: str) -> list[tuple[str, Path]]:
    """Language and header of everything that is put in front of llama.cpp's files here; each header says why."""
    headers = []
    if platform.system() == "Linux":
        headers.append(("C", HUGE_PAGES_HEADER))
    if platform.machine().lower() in ("x86_64", "amd64") and "clang" not in compiler.lower():
        headers.append(("CXX", AMX_HEADER))
    return headers


def compiler_version() -> str:
    """First line of what the C++ compiler says of itself.

    Raises:
        BuildError: There is none.
    """
    command = shlex.split(os.environ.get("CXX", "")) or [shutil.which("c++") or shutil.which("g++") or "c++"]
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 - CXX
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(
            f"no C++ compiler ({' '.join(command)}: {error}); on Debian or Ubuntu: apt install g++"
        ) from error
    return said.stdout.splitlines()[0] if said.stdout else ""


def cuda_compiler_version() -> str:
    """What the CUDA compiler says of itself; nothing if there is none, which CMake will say better."""
    command = os.environ.get("CUDACXX") or shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    try:
        said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 - CUDACXX
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said.stdout.strip()


def processor() -> str:
    """Model and features of the processor, in the system's words."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return f"{platform.machine()} {platform.processor()}"
    first = path.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    return "\n".join(line for line in first.splitlines() if line.startswith(wanted))


def is_installed(recipe: Recipe) -> bool:
    """Whether the record beside the package names this recipe and these very library files."""
    try:
        record = json.loads(RECORD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(record == {"key": recipe.key, "libraries": library_hashes()} and record["libraries"])


def library_hashes() -> dict[str, str]:
    """SHA-256 of every installed shared library; a plain ``pip install`` over our build changes them."""
    files = sorted(file for file in (PACKAGE / "lib").glob("*") if file.is_file())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def write_record(recipe: Recipe) -> None:
    """Note beside the package which build it is."""
    RECORD.write_text(json.dumps({"key": recipe.key, "libraries": library_hashes()}), encoding="utf-8")


def wheelhouse() -> Path:
    """Folder of finished wheels."""
    chosen = os.environ.get("GPT4ROI_WHEELHOUSE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("gpt4roi-edge") / "wheels"


def keep(wheel: Path, shelf: Path) -> Path:
    """Put a wheel on its shelf under its final name in one step; where that fails, it is used from where it is."""
    aside = shelf / f".{wheel.name}.{os.getpid()}.part"
    try:
        shelf.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(wheel, aside)
        aside.replace(shelf / wheel.name)
    except OSError as error:
        print(f"the wheel is not kept for next time: {error}", file=sys.stderr)
        return wheel
    finally:
        with suppress(OSError):  # usually it has its final name by now
            aside.unlink()
    return shelf / wheel.name


def build(recipe: Recipe, folder: Path) -> Path:
    """Compile; returns the wheel.

    Raises:
        BuildError: With the end of the log.
    """
    # pip keeps wheels by version alone, so its cache would return a build made with other flags.
    command = [
        *(sys.executable, "-m", "pip", "wheel", "--verbose", "--no-cache-dir", "--no-deps"),
        *("--no-binary", "llama-cpp-python", "--wheel-dir", str(folder), f"llama-cpp-python=={VERSION}"),
    ]
    environment = {**os.environ, "CMAKE_ARGS": recipe.cmake_args, "PYTHONUNBUFFERED": "1"}
    print(f"building llama-cpp-python {VERSION} for this machine: 4 to 10 minutes; log in {LOG}", flush=True)
    with open_log() as log:
        log.write(f"CMAKE_ARGS={recipe.cmake_args}\n{shlex.join(command)}\n")
        status = run_with_progress(command, environment, log.write)
    wheels = sorted(folder.glob("*.whl"))
    if status != 0 or not wheels:
        lines = LOG.read_text(encoding="utf-8", errors="replace").splitlines()
        raise BuildError("\n".join([*lines[-_TAIL_LINES:], f"the build failed; the whole log is in {LOG}"]))
    return wheels[0]


def open_log() -> TextIO:
    """The log of the build, empty.

    Raises:
        BuildError: The environment cannot be written to.
    """
    try:
        return LOG.open("w", encoding="utf-8")
    except OSError as error:
        raise BuildError(
            f"cannot write {LOG}: {error.strerror or error}; use a virtual environment of your own"
        ) from error


def run_with_progress(command: list[str], environment: dict[str, str], write: Callable[[str], object]) -> int:
    """Run a build, with a bar on a terminal or a line now and then elsewhere; returns its exit status."""
    console = Console()
    show = bar(console) if console.is_terminal else plain_lines()
    next(show)
    with subprocess.Popen(  # noqa: S603 - pip, with our own arguments
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as child:
        try:
            for line in child.stdout or ():
                write(line)
                if step := _STEP.match(line):
                    show.send((int(step[1]), int(step[2])))
        finally:
            show.close()
            if child.poll() is None and sys.exc_info()[0] is not None:
                child.terminate()
        return child.wait()


def bar(console: Console) -> Show:
    """A progress bar of compiler steps."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("fetching llama.cpp", total=None)
        while True:
            done, total = yield
            progress.update(task, description="compiling llama.cpp", completed=done, total=total)


def plain_lines() -> Show:
    """One line at every tenth of the way."""
    began, shown = time.monotonic(), -1
    while True:
        done, total = yield
        if 10 * done // total > shown:
            shown = 10 * done // total
            print(f"compiling llama.cpp: {done}/{total}, {time.monotonic() - began:.0f} s", flush=True)


def pip_install(wheel: Path) -> None:
    """Install a finished wheel over whatever is there.

    Raises:
        BuildError: With pip's words.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--force-reinstall",
        str(wheel),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - pip again
    if done.returncode != 0:
        raise BuildError(f"pip could not install {wheel}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
