"""The vision half at GPT4RoI-7B's size with random weights, for bench/vision_half.py: graphs on disk, engines, modules.

Each is made in the process that asks for it, so that no memory is charged to another.
"""

import gc
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from gpt4roi_runtime.arrays import PixelValues
from gpt4roi_runtime.backends.onnx_graph import OnnxGraph
from gpt4roi_runtime.backends.openvino_graph import OpenVinoGraph
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.backends.two_graphs import TwoGraphs
from gpt4roi_runtime.bundle.manifest import Preprocessing, Resize
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.vision.contract import (
    BOXES,
    IMAGE_EMBEDDINGS,
    PIXELS,
    REGION_EMBEDDINGS,
    GraphContract,
    TensorContract,
    pyramid_name,
)
from gpt4roi_runtime.vision.preprocess import preprocess

SAMPLES = Path(__file__).resolve().parent.parent / "runtime" / "gpt4roi_runtime" / "samples"
WIDTH, LENGTH, SIDE, GRID = 1024, 4096, 224, 16
FORMATS = ("fp32", "winograd", "int8")


def pixels_of(photo: Path) -> PixelValues:
    """As CLIP's ViT reads it."""
    how = Preprocessing(
        resize=Resize(to="shortest_edge", side_px=SIDE, filter="bicubic"),
        scale=1 / 255,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        stretch=Resize(to="stretch", side_px=SIDE, filter="bilinear"),
    )  # of imports.gpt4roi_manifest, which would bring torch into every engine's memory
    return preprocess(load_image(photo), how)


def write_graphs(folder: Path, kind: str) -> None:
    """Write the graphs of a format; int8 is calibrated with the two sample photos first."""
    from gpt4roi_export.modules.gpt4roi import VisionSizes
    from gpt4roi_export.synthesis.vision_in_memory import RandomTensors
    from gpt4roi_export.vision_graphs.calibration import ranges_of
    from gpt4roi_export.vision_graphs.eight_bits import Range
    from gpt4roi_export.vision_graphs.write import VisionFormat
    from gpt4roi_export.vision_graphs.write import write_graphs as write

    sizes = VisionSizes()
    clip, release = RandomTensors(sizes, clip=True), RandomTensors(sizes, clip=False)
    stored = VisionFormat("fp32", winograd=kind == "winograd")
    if kind == "int8":
        known = folder / "ranges.json"
        if not known.exists():
            pictures = [pixels_of(photo) for photo in sorted(SAMPLES.glob("*.jpg"))]
            seen = ranges_of(sizes, clip, release, pictures, lambda *_: None)
            known.write_text(json.dumps({place: asdict(found) for place, found in seen.items()}), encoding="utf-8")
        ranges = json.loads(known.read_text(encoding="utf-8"))
        stored = VisionFormat("int8", {place: Range(**found) for place, found in ranges.items()})
    out = folder / kind
    out.mkdir(parents=True, exist_ok=True)
    write(sizes, clip, release, out, stored, lambda *_: None)
    (out / "complete").touch()


def open_graphs(folder: Path, kind: str, backend: str, settings: OpenVinoSettings) -> TwoGraphs:
    """Both graphs of a format in an engine."""
    levels = [
        TensorContract(pyramid_name(level), (1, WIDTH, GRID << (3 - level), GRID << (3 - level))) for level in range(4)
    ]
    pixels = TensorContract(PIXELS, (1, 3, SIDE, SIDE))
    image = TensorContract(IMAGE_EMBEDDINGS, (GRID * GRID, LENGTH))
    encode = GraphContract((pixels,), (image, *levels))
    boxes, embeddings = TensorContract(BOXES, (None, 4)), TensorContract(REGION_EMBEDDINGS, (None, 1, LENGTH))
    regions = GraphContract((*levels, boxes), (embeddings,))

    def load(name: str, contract: GraphContract, how: OpenVinoSettings) -> OnnxGraph | OpenVinoGraph:
        path, weights = folder / kind / f"{name}.onnx", (folder / kind / f"{name}.weights",)
        if backend == "openvino":
            return OpenVinoGraph(path, contract, how, weight_files=weights)
        return OnnxGraph(path, contract, weight_files=weights, n_threads=how.n_threads)

    return TwoGraphs(load("encode", encode, settings), load("regions", regions, settings.for_coordinates()))


def modules() -> tuple[Callable[..., object], Callable[..., object]]:
    """The torch modules with the same numbers in float32; memory that only making them took is not counted."""
    import torch

    from gpt4roi_export.modules.gpt4roi import EncodeGraph, RegionsGraph, VisionSizes
    from gpt4roi_export.synthesis.vision_in_memory import RandomTensors
    from gpt4roi_export.vision_graphs.parameters import parameters_of

    sizes = VisionSizes()
    parameters = parameters_of(sizes, RandomTensors(sizes, clip=True), RandomTensors(sizes, clip=False))
    made = []
    for kind in (EncodeGraph, RegionsGraph):
        with torch.device("meta"):
            module = kind(sizes).eval()
        known = parameters.places  # without the ViT's last layer, which the modules run and nobody reads
        module.load_state_dict(
            {
                name: torch.from_numpy(parameters.read(name)) if name in known else torch.zeros(parameter.shape)
                for name, parameter in module.named_parameters()
            },
            strict=False,
            assign=True,
        )
        for name, buffer in list(module.named_buffers()):  # positions 0, 1, 2, ...
            parent, _, last = name.rpartition(".")
            positions = torch.arange(buffer.shape[-1])[None]
            module.get_submodule(parent).register_buffer(last, positions, persistent=False)
        made.append(module)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak is counted from here
    return made[0], made[1]


if __name__ == "__main__":
    write_graphs(Path(sys.argv[1]), sys.argv[2])
