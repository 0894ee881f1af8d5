"""The graphs of a bundle against the model that they were made from, on a photo. Knows no language model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_export.modules.gpt4roi import VisionSizes
from gpt4roi_export.parity import Stages
from gpt4roi_export.tensors import Tensors
from gpt4roi_export.vision_graphs.check import ONNXRUNTIME, EngineCheck, check_graphs
from gpt4roi_export.vision_graphs.streamed import reference_stages
from gpt4roi_export.vision_graphs.write import Precision
from gpt4roi_runtime.arrays import Boxes
from gpt4roi_runtime.backends.vision_settings import VisionEngine
from gpt4roi_runtime.bundle.manifest import Preprocessing
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.vision.preprocess import preprocess


@dataclass(frozen=True)
class VisionModel:
    """The vision side of a checkpoint.

    Attributes:
        sizes: Of it.
        clip: CLIP's tensors.
        release: GPT4RoI's tensors, base and delta added up.
        preprocessing: Of its photos.
    """

    sizes: VisionSizes
    clip: Tensors
    release: Tensors
    preprocessing: Preprocessing


@dataclass(frozen=True)
class VisionCheck:
    """What came out.

    Attributes:
        reference: What the model makes of the photo.
        checks: Every engine, ONNX Runtime first.
    """

    reference: Stages
    checks: tuple[EngineCheck, ...]


def check_vision(
    model: VisionModel,
    folder: Path,
    precision: Precision,
    photo: Path,
    boxes: Boxes,
    engines: Sequence[VisionEngine] = (ONNXRUNTIME,),
) -> VisionCheck:
    """Run the model in torch, part after part, and the graphs in the runtime's engines, one after another.

    Args:
        model: Where the graphs came from.
        folder: Of the graphs.
        precision: Of the graphs.
        photo: To look at.
        boxes: On it, x1 y1 x2 y2 in 0..1.
        engines: What runs the graphs.

    Raises:
        BundleError: A tensor is missing or damaged, or a graph cannot be loaded.
        ImageError: The photo cannot be read.
    """
    pixels = preprocess(load_image(photo), model.preprocessing)
    reference = reference_stages(model.sizes, model.clip, model.release, pixels, boxes)
    return VisionCheck(
        reference,
        tuple(check_graphs(folder, reference, pixels, boxes, precision, engine=engine) for engine in engines),
    )
