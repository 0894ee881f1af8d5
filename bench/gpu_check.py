"""Compiles, checks and times the RoIAlign kernel on this machine's GPU, and prints a table.

    python bench/gpu_check.py                 # with nvcc, and with PyTorch for CUDA or CuPy
    python bench/gpu_check.py --cpu           # the same checks on the CPU's build of it, without times
    python bench/vision_gpu_check.py          # the engines on a GPU: plans, ONNX Runtime, a question to the end

Needs this repository, nvcc and g++ (g++ alone with --cpu), NumPy, jaxtyping and Rich. Checks: within tolerance of the
NumPy definition, the same bits as the CPU's build, the same bits in every run. Times: the middle of many launches, each
with the caches' content thrown out before, in microseconds and as a share of what memory allows at the speed of a plain
copy; and four calls of torchvision's roi_align beside it, where that is installed. Knows nothing of TensorRT.
"""

import argparse
import ctypes
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "runtime"))

from gpt4roi_runtime.vision.roi_align import (  # noqa: E402 - found beside this script, not installed
    interpolation_matrix,
    roi_align,
    sample_positions,
)

SOURCES = REPOSITORY / "runtime" / "native" / "roi_align"
STORAGES: dict[str, tuple[int, np.dtype[Any], float]] = {
    "float32": (0, np.dtype(np.float32), 1e-5),
    "float16": (1, np.dtype(np.float16), 2e-3),
}
LAYOUTS = {"channels last": 0, "channels first": 1}
SIDES, BINS, CHANNELS = (128, 64, 32, 16), 14, 1024
N_REGIONS = (1, 16, 100)
N_LAUNCHES = 50
CACHE_BYTES = 256 << 20
"""More than any GPU's caches hold."""

Launch = Callable[["Job", int, int], None]


class Level(ctypes.Structure):
    """``gpt4roi::Level``."""

    _fields_ = (
        ("features", ctypes.c_void_p),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("scale", ctypes.c_float),
    )


class Job(ctypes.Structure):
    """``gpt4roi::Job``."""

    _fields_ = (
        ("levels", Level * 4),
        ("boxes", ctypes.c_void_p),
        ("output", ctypes.c_void_p),
        ("n_levels", ctypes.c_int),
        ("n_regions", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("side", ctypes.c_int),
    )


class Memory(Protocol):
    """Where arrays lie that a launch reads and writes."""

    name: str

    def put(self, array: NDArray[Any]) -> Any:
        """A copy there."""

    def get(self, array: Any) -> NDArray[Any]:
        """A copy here, once all launches are done."""

    def address(self, array: Any) -> int:
        """For a kernel."""

    def seconds(self, work: Callable[[], None], before: Callable[[], None]) -> float:
        """How long the work took there, ``before`` left out."""


class CpuMemory:
    """NumPy's."""

    name = "CPU"

    def put(self, array: NDArray[Any]) -> NDArray[Any]:
        """Aligned as the kernels ask for it."""
        room = np.empty(array.nbytes + 16, dtype=np.uint8)
        start = -room.ctypes.data % 16
        copy: NDArray[Any] = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
        copy[...] = array
        return copy

    def get(self, array: NDArray[Any]) -> NDArray[Any]:
        """As it is."""
        copy: NDArray[Any] = array.copy()
        return copy

    def address(self, array: NDArray[Any]) -> int:
        """Of its first element."""
        return array.ctypes.data

    def seconds(self, work: Callable[[], None], before: Callable[[], None]) -> float:
        """Not meant: the CPU's build knows nothing of speed."""
        raise NotImplementedError


class TorchMemory:
    """PyTorch's, on the default stream."""

    def __init__(self) -> None:
        import torch

        if not torch.cuda.is_available():
            raise ImportError("PyTorch finds no GPU")
        self._torch = torch
        self.name = torch.cuda.get_device_name()

    def put(self, array: NDArray[Any]) -> Any:
        """As a tensor."""
        return self._torch.from_numpy(np.ascontiguousarray(array)).cuda()

    def get(self, array: Any) -> NDArray[Any]:
        """As an array."""
        copy: NDArray[Any] = array.cpu().numpy()
        return copy

    def address(self, array: Any) -> int:
        """Of its first element."""
        return int(array.data_ptr())

    def seconds(self, work: Callable[[], None], before: Callable[[], None]) -> float:
        """By two events."""
        begin, end = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        before()
        begin.record()
        work()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3


class CupyMemory:
    """CuPy's, on the default stream."""

    def __init__(self) -> None:
        import cupy  # type: ignore[import-not-found]

        self._cupy = cupy
        try:
            self.name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise ImportError(f"CuPy finds no GPU: {error}") from error

    def put(self, array: NDArray[Any]) -> Any:
        """As CuPy's array."""
        return self._cupy.asarray(np.ascontiguousarray(array))

    def get(self, array: Any) -> NDArray[Any]:
        """As NumPy's array."""
        copy: NDArray[Any] = self._cupy.asnumpy(array)
        return copy

    def address(self, array: Any) -> int:
        """Of its first element."""
        return int(array.data.ptr)

    def seconds(self, work: Callable[[], None], before: Callable[[], None]) -> float:
        """By two events."""
        begin, end = self._cupy.cuda.Event(), self._cupy.cuda.Event()
        before()
        begin.record()
        work()
        end.record()
        end.synchronize()
        return float(self._cupy.cuda.get_elapsed_time(begin, end)) / 1e3


@dataclass(frozen=True)
class Case:
    """One launch's arrays, where it runs.

    Attributes:
        job: Their addresses and sizes.
        output: The result's array.
        kept: The others, which nobody may free before.
    """

    job: Job
    output: Any
    kept: tuple[Any, ...]


def main() -> int:
    """Check, time, print; the exit status is 1 if a check failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true", help="check the CPU's build; time nothing")
    on_cpu: bool = parser.parse_args().cpu
    console = Console()
    with tempfile.TemporaryDirectory(prefix="gpt4roi-") as folder:
        host = load(compile_host(Path(folder)), "gpt4roi_roi_align_host", n_extra=0)
        memory = CpuMemory() if on_cpu else gpu_memory()
        kernel = host if on_cpu else load(compile_kernel(Path(folder)), "gpt4roi_roi_align_launch", n_extra=1)
        passed = show_checks(console, memory, kernel, host)
        if not on_cpu:
            show_times(console, memory, kernel)
    return 0 if passed else 1


# --- compile and load -------------------------------------------------------------------------------------------------


def compile_host(folder: Path) -> Path:
    """The CPU's build."""
    library = folder / "libroi_align_host.so"
    flags = ["-std=c++14", "-O2", "-ffp-contract=off", "-shared", "-fPIC"]
    run([program("g++"), *flags, "-o", str(library), str(SOURCES / "roi_align_host.cpp")])
    return library


def compile_kernel(folder: Path) -> Path:
    """The kernels, for the GPU that is here."""
    library = folder / "libroi_align.so"
    flags = ["-std=c++17", "-O3", "-arch=native", "-shared", "-cudart", "static", "-Xcompiler", "-fPIC"]
    run([program("nvcc"), *flags, "-o", str(library), str(SOURCES / "roi_align.cu")])
    return library


def program(name: str) -> str:
    """Its path; ends this script where there is none."""
    found = shutil.which(name)
    if found is None:
        sys.exit(f"error: {name} is needed, and was not found")
    return found


def run(command: Sequence[str]) -> None:
    """A compiler; ends this script with its words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)}\n{done.stdout}{done.stderr}")


def gpu_memory() -> Memory:
    """PyTorch's or CuPy's, whichever finds a GPU; ends this script where none does."""
    try:
        return TorchMemory()
    except ImportError as torch_error:
        try:
            return CupyMemory()
        except ImportError as cupy_error:
            sys.exit(f"error: no GPU can be used: {torch_error}; {cupy_error}\nTry --cpu, which needs none.")


def load(library: Path, name: str, *, n_extra: int) -> Launch:
    """A function of a library; ``n_extra`` null pointers are handed on: the default stream."""
    function = ctypes.CDLL(str(library))[name]
    function.restype = ctypes.c_char_p

    def launch(job: Job, storage: int, layout: int) -> None:
        if reason := function(ctypes.byref(job), storage, layout, *[ctypes.c_void_p(None)] * n_extra):
            sys.exit(f"error: {name}: {reason.decode()}")

    return launch


# --- cases ------------------------------------------------------------------------------------------------------------


def made_pyramid(channels: int) -> list[NDArray[np.float32]]:
    """Random maps ``[c, h, w]``."""
    random = np.random.default_rng(0)
    return [random.standard_normal((channels, side, side), dtype=np.float32) for side in SIDES]


def made_boxes(n: int) -> NDArray[np.float32]:
    """Random boxes in 0..1."""
    corners = np.random.default_rng(n).uniform(0, 1, (n, 2, 2)).astype(np.float32)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def edge_boxes() -> NDArray[np.float32]:
    """The whole image, no area, tiny, partly and wholly outside, turned round."""
    rows = [
        (0, 0, 1, 1),
        (0.5, 0.5, 0.5, 0.5),
        (0.3, 0.3, 0.3001, 0.3001),
        (-0.2, -0.1, 0.4, 0.3),
        (1.5, 1.5, 1.8, 1.9),
        (0.9, 0.8, 0.1, 0.2),
    ]
    return np.array(rows, dtype=np.float32)


def make_case(
    memory: Memory,
    pyramid: Sequence[NDArray[np.float32]],
    boxes: NDArray[np.float32],
    dtype: np.dtype[Any],
    layout: int,
) -> Case:
    """Arrays in the memory, and the job that names them."""
    channels, n = len(pyramid[0]), len(boxes)
    turned = [level.transpose(1, 2, 0) if layout == 0 else level for level in pyramid]
    levels = [memory.put(np.ascontiguousarray(level).astype(dtype)) for level in turned]
    shape = (n, BINS, BINS, 4 * channels) if layout == 0 else (n, 4 * channels, BINS, BINS)
    output, kept_boxes = memory.put(np.zeros(shape, dtype=dtype)), memory.put(boxes)
    structs = [Level(memory.address(level), side, side, float(side)) for level, side in zip(levels, SIDES, strict=True)]
    job = Job((Level * 4)(*structs), memory.address(kept_boxes), memory.address(output), 4, n, channels, BINS)
    return Case(job, output, (*levels, kept_boxes))


# --- checks -----------------------------------------------------------------------------------------------------------


def show_checks(console: Console, memory: Memory, kernel: Launch, host: Launch) -> bool:
    """One row for each storage type and layout; returns whether all passed."""
    table = Table(title=f"numbers, {memory.name}")
    for heading in ("storage", "layout", "largest error", "as the CPU", "every run alike", ""):
        table.add_column(heading)
    all_passed = True
    pyramid = made_pyramid(64)
    boxes = np.concatenate([made_boxes(20), edge_boxes()])
    for storage, (number, dtype, tolerance) in STORAGES.items():
        defined = definition(pyramid, boxes, dtype)
        for layout_name, layout in LAYOUTS.items():
            results = []
            for place, launch in ((memory, kernel), (memory, kernel), (CpuMemory(), host)):
                case = make_case(place, pyramid, boxes, dtype, layout)
                launch(case.job, number, layout)
                results.append(place.get(case.output))
            first, again, on_cpu = results
            aligned = first.transpose(0, 3, 1, 2) if layout == 0 else first
            error = float(np.abs(aligned.astype(np.float32) - defined).max())
            as_cpu, alike = (bool((first == other).all()) for other in (on_cpu, again))
            passed = error <= tolerance and as_cpu and alike
            all_passed = all_passed and passed
            words = (f"{error:.1e}", *("yes" if held else "no" for held in (as_cpu, alike)))
            table.add_row(storage, layout_name, *words, "passed" if passed else "FAILED")
    console.print(table)
    return all_passed


def definition(
    pyramid: Sequence[NDArray[np.float32]], boxes: NDArray[np.float32], dtype: np.dtype[Any]
) -> NDArray[np.float32]:
    """``[n, 4 c, 14, 14]`` by NumPy in float32, of the features as they are stored."""
    levels = []
    for features, side in zip(pyramid, SIDES, strict=True):
        stored = features.astype(dtype).astype(np.float32)
        rows = [roi_align(stored, box[None], output_side=BINS, spatial_scale=float(side)) for box in boxes]
        levels.append(np.concatenate(rows))
    return np.concatenate(levels, axis=1)


# --- times ------------------------------------------------------------------------------------------------------------


def show_times(console: Console, memory: Memory, kernel: Launch) -> None:
    """One row for each number of regions, float16 with channels last, at GPT4RoI's size."""
    number, dtype, _ = STORAGES["float16"]
    trash, trash_copy = (memory.put(np.zeros(CACHE_BYTES, dtype=np.uint8)) for _ in range(2))
    copy_s = middle(memory, lambda: trash_copy.__setitem__(slice(None), trash), lambda: None)
    bytes_a_second = 2 * CACHE_BYTES / copy_s

    def forget() -> None:
        trash_copy[:] = trash

    table = Table(title=f"times, {memory.name}; copies at {bytes_a_second / 1e9:.0f} GB/s; float16, channels last")
    for heading in ("regions", "kernel (us)", "of what memory allows", "torchvision (us)", "ratio"):
        table.add_column(heading, justify="right")
    pyramid = made_pyramid(CHANNELS)
    for n in N_REGIONS:
        boxes = made_boxes(n)
        case = make_case(memory, pyramid, boxes, dtype, 0)
        kernel_s = middle(memory, lambda case=case: kernel(case.job, number, 0), forget)  # type: ignore[misc]
        least_s = (bytes_read(boxes) + n * 4 * CHANNELS * BINS * BINS * 2) / bytes_a_second
        theirs_s = torchvision_s(memory, pyramid, boxes, forget)
        theirs = ("", "") if theirs_s is None else (f"{theirs_s * 1e6:.0f}", f"{theirs_s / kernel_s:.1f}")
        table.add_row(str(n), f"{kernel_s * 1e6:.1f}", f"{least_s / kernel_s:.0%}", *theirs)
    console.print(table)


def middle(memory: Memory, work: Callable[[], None], before: Callable[[], None]) -> float:
    """Median seconds of many launches, the first few left out."""
    taken = [memory.seconds(work, before) for _ in range(N_LAUNCHES + 5)]
    return statistics.median(taken[5:])


def bytes_read(boxes: NDArray[np.float32]) -> int:
    """Bytes, in float16, of all cells that at least one box reads: every one of them once."""
    n_cells = 0
    for side in SIDES:
        scaled = boxes * np.float32(side)
        across, down = (
            np.asarray(
                interpolation_matrix(sample_positions(scaled[:, low], scaled[:, low + 2], BINS, 2), side).any(axis=1)
            )
            for low in (0, 1)
        )
        n_cells += int((down[:, :, None] & across[:, None, :]).any(axis=0).sum())
    return n_cells * CHANNELS * 2


def torchvision_s(
    memory: Memory,
    pyramid: Sequence[NDArray[np.float32]],
    boxes: NDArray[np.float32],
    before: Callable[[], None],
) -> float | None:
    """Seconds of four calls of its roi_align, in float16; nothing where it is not installed."""
    if not isinstance(memory, TorchMemory):
        return None
    try:
        from torchvision.ops import roi_align as theirs  # type: ignore[import-not-found]
    except ImportError:
        return None
    levels = [memory.put(level[None].astype(np.float16)) for level in pyramid]
    rows = memory.put(np.concatenate([np.zeros((len(boxes), 1)), boxes], axis=1).astype(np.float16))

    def work() -> None:
        for level, side in zip(levels, SIDES, strict=True):
            theirs(level, rows, BINS, spatial_scale=float(side), sampling_ratio=2, aligned=True)

    return middle(memory, work, before)


if __name__ == "__main__":
    sys.exit(main())
