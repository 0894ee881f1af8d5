"""Measures the vision half of a bundle in every engine, in turn, against the same modules in PyTorch float32.

    .venv/bin/python bench/vision_half.py --threads 2
    .venv/bin/python bench/vision_half.py --bundle FOLDER --runs 5 --apart
    .venv/bin/python bench/vision_half.py --full FOLDER --threads 2     # GPT4RoI-7B's size: 5 GB of disk, 5 of memory

Every engine has a process of its own, so that its peak memory is its own, and each is given the same photo, boxes and
number of threads. The modules' weights are read from the bundle's graphs where these hold them in float32; otherwise
they are random, and the engines are compared with ONNX Runtime instead. In turn, all engines are in memory at once;
`--apart` runs one after another. `--full` writes graphs of full size with random weights into a folder, where they are
used again, in three formats (float32; float32 by Winograd; int8, calibrated with the sample photos), runs one engine
after another, and compares with the modules, whose numbers are the same. The modules' memory is counted once they are
made, an engine's from the start of its process.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

import full_size
import numpy as np
from rich.console import Console
from rich.table import Table

from gpt4roi_runtime import default_bundle, load_image, open_bundle
from gpt4roi_runtime.arrays import Boxes, PixelValues, RegionEmbeddings
from gpt4roi_runtime.backends.openvino import OpenVinoEncoder
from gpt4roi_runtime.backends.openvino_settings import OpenVinoPrecision, OpenVinoSettings
from gpt4roi_runtime.backends.processor import usable_cores
from gpt4roi_runtime.backends.vision_engines import open_encoder
from gpt4roi_runtime.backends.vision_settings import VisionEngine
from gpt4roi_runtime.backends.vision_tuning import some_boxes
from gpt4roi_runtime.bench.memory import peak_bytes
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.errors import Gpt4RoiError
from gpt4roi_runtime.vision.encoder import Encoder, ImageFeatures, Pyramid
from gpt4roi_runtime.vision.preprocess import preprocess

REPOSITORY = Path(__file__).resolve().parent.parent
PHOTO = REPOSITORY / "runtime" / "gpt4roi_runtime" / "samples" / "astronaut.jpg"
N_REGIONS = (1, 4, 16, 64)
N_COMPARED = 16
TORCH, ONNXRUNTIME = "torch f32", "onnxruntime f32"
ENGINES = (TORCH, ONNXRUNTIME, "openvino f32", "openvino bf16")
FULL = {
    TORCH: "",
    ONNXRUNTIME: "fp32",
    "onnxruntime winograd": "winograd",
    "onnxruntime int8": "int8",
    "openvino f32": "fp32",
    "openvino winograd": "winograd",
    "openvino int8": "int8",
    "openvino bf16": "fp32",
    "openvino int8+bf16": "int8",
}
"""At full size: the engine, and the format of its graphs."""
GB = 1e9
Modules: TypeAlias = tuple[Callable[..., Any], Callable[..., Any], bool]
"""Torch modules of both graphs, and whether they have the bundle's own weights; torch is imported in one child only."""


@dataclass
class Account:
    """What one engine gave.

    Attributes:
        name: The engine and its version.
        load_s: From the bundle's files to two graphs that can run.
        seconds: By stage, one entry a run.
        peak_bytes: Most resident memory of its process.
        has_weights: Whether it computes with the bundle's own weights.
        arrays: What it made of the photo and 16 boxes.
    """

    name: str
    load_s: float
    seconds: dict[str, list[float]] = field(default_factory=dict)
    peak_bytes: int = 0
    has_weights: bool = True
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class Child:
    """One engine in a process of its own, told line by line what to do."""

    def __init__(self, engine: str, options: argparse.Namespace, cache: Path) -> None:
        words = [sys.executable, __file__, "--engine", engine, "--bundle", options.bundle, "--cache", cache]
        words += ["--threads", options.threads, *(("--full", options.full) if options.full else ())]
        threads = str(options.threads)
        quiet = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
        self._process = subprocess.Popen(  # noqa: S603 - this script itself
            list(map(str, words)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **quiet},
        )
        self._folder = cache
        self._engine = engine

    def ask(self, *words: str | int | Path) -> dict[str, object]:
        """Tell it, and wait for its answer."""
        assert self._process.stdin  # noqa: S101 - for the type checker
        if words:
            self._process.stdin.write(" ".join(map(str, words)) + "\n")
            self._process.stdin.flush()
        assert self._process.stdout  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self._engine} ended with exit status {self._process.wait()}")
        answer: dict[str, object] = json.loads(line)
        return answer

    def numbers(self) -> dict[str, np.ndarray]:
        """What it makes of the photo and the boxes."""
        place = self._folder / f"{self._engine}.npz"
        self.ask("numbers", place.as_posix())
        with np.load(place) as stored:
            return {name: stored[name] for name in stored.files}

    def end(self) -> int:
        """Most resident memory in bytes; then it is gone."""
        peak = int(str(self.ask("end")["peak_bytes"]))
        self._process.wait()
        return peak


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--regions", type=int, nargs="+", default=N_REGIONS, help="numbers of boxes to measure")
    parser.add_argument("--engines", nargs="+", choices=FULL)
    parser.add_argument("--full", type=Path, metavar="FOLDER", help="full size, with random weights; graphs go there")
    parser.add_argument("--apart", action="store_true", help="one engine after another instead of in turn")
    parser.add_argument("--engine", choices=FULL, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        obey(options)
        return
    known = FULL if options.full else ENGINES
    options.engines = options.engines or known
    if unknown := [engine for engine in options.engines if engine not in known]:
        parser.error(f"{unknown[0]!r} needs graphs that a bundle does not have; use {', '.join(known)}, or --full")
    if options.full:
        options.apart = True
        options.full.mkdir(parents=True, exist_ok=True)
        for kind in dict.fromkeys(FULL[engine] for engine in options.engines):
            if kind and not (options.full / kind / "complete").exists():
                script = Path(__file__).with_name("full_size.py")
                subprocess.run([sys.executable, script, options.full, kind], check=True)  # noqa: S603 - ours
    console = Console(width=None if sys.stdout.isatty() else 170)
    with tempfile.TemporaryDirectory() as folder:
        accounts, again_s = _measured(options, Path(folder), console)
    console.print(_table(accounts, again_s, options))


def _measured(
    options: argparse.Namespace, folder: Path, console: Console
) -> tuple[dict[str, Account], dict[str, float]]:
    accounts: dict[str, Account] = {}
    groups = [[engine] for engine in options.engines] if options.apart else [list(options.engines)]
    for group in groups:
        children: dict[str, Child] = {}
        for engine in group:
            child = Child(engine, options, folder)
            ready = child.ask()
            if "refused" in ready:
                console.print(f"{engine}: {ready['refused']}")
                continue
            children[engine] = child
            accounts[engine] = Account(
                str(ready["name"]), float(str(ready["load_s"])), has_weights=bool(ready["has_weights"])
            )
        for run in range(-1, options.runs):  # the first of each is not like the others, and is not counted
            for stage in ("encode", *(f"regions {n}" for n in options.regions)):
                for engine, child in children.items():
                    seconds = float(str(child.ask(stage)["s"]))
                    if run >= 0:
                        accounts[engine].seconds.setdefault(stage, []).append(seconds)
            console.print(f"run {run + 1} of {options.runs}", highlight=False)
        for engine, child in children.items():
            accounts[engine].arrays = child.numbers()
            accounts[engine].peak_bytes = child.end()
    again_s: dict[str, float] = {}
    for engine in accounts:
        child = Child(engine, options, folder)
        again_s[engine] = float(str(child.ask()["load_s"]))
        child.end()
    return accounts, again_s


def _table(accounts: dict[str, Account], again_s: dict[str, float], options: argparse.Namespace) -> Table:
    torch = accounts.get(TORCH)
    base = torch if torch is not None else accounts[ONNXRUNTIME]
    exact = TORCH if torch is not None and torch.has_weights else ONNXRUNTIME
    name = "full size" if options.full else options.bundle.name
    title = f"{name}, {processor()}, {options.threads} threads, medians of {options.runs}"
    stages = list(base.seconds)
    table = Table("engine", "load s (again)", *(f"{stage} s" for stage in stages), "peak GB", "cosines", title=title)
    reference = accounts[exact].arrays if exact in accounts else None
    for engine, account in accounts.items():
        table.add_row(
            f"{account.name}, {FULL[engine]}" if options.full and FULL[engine] else account.name,
            f"{account.load_s:.2f} ({again_s[engine]:.2f})",
            *(_against(account.seconds[stage], base.seconds[stage]) for stage in stages),
            f"{account.peak_bytes / GB:.2f} ({account.peak_bytes / base.peak_bytes:.0%})",
            _cosines(account, reference),
        )
    table.caption = (
        f"in brackets: how many times faster than {base.name}, medians; share of its peak memory. Cosines of the image "
        f"rows and of the worst of {N_COMPARED} regions with {accounts[exact].name if reference else 'nothing'}."
    )
    return table


def _against(ours: Sequence[float], theirs: Sequence[float]) -> str:
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ours):.3f} ({statistics.median(ratios):.2f}x)"


def _cosines(account: Account, reference: dict[str, np.ndarray] | None) -> str:
    if reference is None or not account.has_weights:
        return "random weights" if not account.has_weights else ""
    image = _cosine(account.arrays["image"].ravel(), reference["image"].ravel())
    regions = [
        _cosine(a.ravel(), b.ravel()) for a, b in zip(account.arrays["regions"], reference["regions"], strict=True)
    ]
    return f"{image:.6f} {min(regions):.6f}"


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    ours, theirs = one.astype(np.float64), other.astype(np.float64)
    return float(ours @ theirs / (np.linalg.norm(ours) * np.linalg.norm(theirs)))


def processor() -> str:
    """What the processor is called."""
    try:
        names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


# --- in the child -----------------------------------------------------------------------------------------------------


def obey(options: argparse.Namespace) -> None:
    """Load one engine, then do what the lines on standard input say."""
    if options.full:
        pixels = full_size.pixels_of(PHOTO)
    else:
        bundle = open_bundle(options.bundle)
        pixels = preprocess(load_image(PHOTO), bundle.manifest.vision.preprocessing)
    started_s = perf_counter()
    try:
        encoder, has_weights = _opened_full(options) if options.full else _opened(options.engine, bundle, options)
    except Gpt4RoiError as error:
        _say(refused=error.problem)
        return
    _say(name=encoder.engine, load_s=perf_counter() - started_s, has_weights=has_weights)
    features: ImageFeatures | None = None
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "end":
            _say(peak_bytes=peak_bytes() or 0)
            return
        if features is None:
            features = encoder.encode(pixels)
        seen = features
        if word == "encode":
            _say(s=_seconds(lambda: encoder.encode(pixels)))
        elif word == "regions":
            boxes = some_boxes(int(rest))
            _say(s=_seconds(partial(encoder.embed_regions, seen.pyramid, boxes)))
        else:
            np.savez(
                rest,
                image=seen.image_embeddings,
                regions=encoder.embed_regions(seen.pyramid, some_boxes(N_COMPARED)),
            )
            _say(done=True)


def _opened(engine: str, bundle: Bundle, options: argparse.Namespace) -> tuple[Encoder, bool]:
    backend, precision = engine.split()
    if backend == "torch":
        modules = modules_of(bundle)
        return _torch(modules, options.threads), modules[2]
    if backend == "openvino":
        settings = OpenVinoSettings(_rounding(precision), options.threads, cache_folder=options.cache / "compiled")
        return OpenVinoEncoder(bundle, settings), True
    return open_encoder(bundle, VisionEngine("onnxruntime"), options.threads), True


def _opened_full(options: argparse.Namespace) -> tuple[Encoder, bool]:
    backend, precision = options.engine.split()
    if backend == "torch":
        return _torch((*full_size.modules(), True), options.threads), True
    settings = OpenVinoSettings(_rounding(precision), options.threads)
    return full_size.open_graphs(options.full, FULL[options.engine], backend, settings), True


def _rounding(engine_words: str) -> OpenVinoPrecision:
    return "bf16" if "bf16" in engine_words else "f32"


def _torch(modules: Modules, n_threads: int) -> Encoder:
    import torch

    torch.set_num_threads(n_threads)
    encode, regions, has_weights = modules

    class TorchEncoder:
        """The modules as an Encoder."""

        engine = f"PyTorch {torch.__version__} float32" + ("" if has_weights else ", random weights")

        def encode(self, pixels: PixelValues) -> ImageFeatures:
            with torch.inference_mode():
                image, *pyramid = encode(torch.tensor(pixels))
            return ImageFeatures(image.numpy(), tuple(level.numpy() for level in pyramid))

        def embed_regions(self, pyramid: Pyramid, boxes: Boxes) -> RegionEmbeddings:
            with torch.inference_mode():
                rows: RegionEmbeddings = regions(*map(torch.from_numpy, pyramid), torch.tensor(boxes)).numpy()
            return rows

        def close(self) -> None:
            pass

    return TorchEncoder()


def modules_of(bundle: Bundle) -> Modules:
    """Both modules, and whether they have the bundle's own weights."""
    import onnx
    import torch
    from onnx import numpy_helper

    from gpt4roi_export.modules.gpt4roi import EncodeGraph, RegionsGraph, VisionSizes
    from gpt4roi_export.modules.tuned import TunedRegionsGraph, TunedVision
    from gpt4roi_export.scene import COLORS
    from gpt4roi_export.tuned import TunedSizes
    from gpt4roi_export.vision_graphs.structure import encode_structure, regions_structure
    from gpt4roi_export.vocabulary import read_vocabulary

    vision, width = bundle.manifest.vision, bundle.manifest.vision.pyramid[0].channels
    files = [bundle.path_of(entry) for entry in (vision.encode, vision.regions)]
    if bundle.manifest.name == "embedded":
        whole = TunedVision(TunedSizes(len(read_vocabulary().names), len(COLORS))).eval()
        known = whole.state_dict()
        for path in files:
            for tensor in onnx.load(path).graph.initializer:
                if tensor.name in known:
                    known[tensor.name].copy_(torch.tensor(numpy_helper.to_array(tensor)))
        return whole, TunedRegionsGraph(whole).eval(), True
    if width != VisionSizes().width:
        sys.exit(f"the modules of a bundle {width} channels wide are not known here; use the embedded one or GPT4RoI's")
    sizes = VisionSizes(embedding_length=bundle.manifest.language.embedding_length)
    modules: list[torch.nn.Module] = []
    complete = True
    for kind, structure, path in (
        (EncodeGraph, encode_structure, files[0]),
        (RegionsGraph, regions_structure, files[1]),
    ):
        with torch.device("meta"):
            module = kind(sizes).eval()
        turned = structure(sizes).turned
        structure.cache_clear()
        stored = {tensor.name: tensor for tensor in onnx.load(path, load_external_data=False).graph.initializer}
        state = {}
        for name, parameter in module.named_parameters():
            tensor = stored.get(name)
            if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT:
                complete = complete and _unused(name)
                state[name] = torch.randn(parameter.shape) * 0.02
                continue
            array = numpy_helper.to_array(tensor, base_dir=str(path.parent))
            state[name] = torch.tensor(np.ascontiguousarray(array.T if name in turned else array))
        buffers = {name: torch.arange(buffer.shape[-1])[None] for name, buffer in module.named_buffers()}
        module.load_state_dict({**state, **buffers}, strict=False, assign=True)
        for name, buffer in buffers.items():
            parent, _, last = name.rpartition(".")
            module.get_submodule(parent).register_buffer(last, buffer, persistent=False)
        modules.append(module)
    encode, regions = modules
    return encode, regions, complete


def _unused(name: str) -> bool:
    """The ViT's last layer and its last norm, whose output nobody reads."""
    return ".layers.23." in name or "post_layernorm" in name


def _seconds(act: Callable[[], object]) -> float:
    started_s = perf_counter()
    act()
    return perf_counter() - started_s


def _say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
