"""How large the activations of the vision half become, from real pictures; knows no ONNX."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gpt4roi_export.modules.gpt4roi import VisionSizes
from gpt4roi_export.modules.pyramid import N_LEVELS, Levels
from gpt4roi_export.tensors import Tensors
from gpt4roi_export.vision_graphs.eight_bits import FIRST_FUSION, Range, Ranges
from gpt4roi_export.vision_graphs.joined import HEAD_CONVS, JOINED
from gpt4roi_export.vision_graphs.parameters import parameters_of
from gpt4roi_export.vision_graphs.recipe import place as place_of
from gpt4roi_export.vision_graphs.streamed import StreamedVision
from gpt4roi_export.weights import Progress
from gpt4roi_runtime.arrays import Boxes, PixelValues
from gpt4roi_runtime.bundle.manifest import Preprocessing
from gpt4roi_runtime.errors import SettingsError
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.vision.preprocess import preprocess

ROUNDED = ("pyramid.fusions.", "region_head.level_convs.")
"""Whose activations get one scale for all channels: the 3x3 convolutions, nine tenths of the arithmetic. Not the ViT's,
where a few channels are far larger than the rest. ONNX Runtime itself rounds what goes into the other products, block
by block, when their weights have 8 bits."""
_SHARE_OF_VIT, _SHARE_OF_REGIONS = 0.1, 0.1


def calibrate(
    sizes: VisionSizes,
    clip: Tensors,
    release: Tensors,
    pictures: Sequence[Path],
    preprocessing: Preprocessing,
    progress: Progress,
) -> Ranges:
    """Run the pictures through the model and note the largest values.

    Args:
        sizes: Of the whole vision side.
        clip: CLIP's files.
        release: GPT4RoI's files, base and delta added up.
        pictures: Photos; a handful will do.
        preprocessing: Of the bundle.
        progress: Told what is being done.

    Returns:
        Ranges of the uses of ``ROUNDED``.

    Raises:
        SettingsError: There is no picture.
        ImageError: A picture cannot be read.
        BundleError: Tensors are missing, foreign or damaged.
    """
    if not pictures:
        raise SettingsError("no picture to calibrate with", "Give a handful of photos of what the model will see.")
    pixels = [preprocess(load_image(path), preprocessing) for path in pictures]
    return ranges_of(sizes, clip, release, pixels, progress)


def ranges_of(
    sizes: VisionSizes, clip: Tensors, release: Tensors, pictures: Sequence[PixelValues], progress: Progress
) -> Ranges:
    """The same for pictures that are preprocessed already."""
    seen: dict[str, Range] = {}
    summed: list[Tensor] = []  # of the levels so far, which the graph convolves as one

    def observe(place: str, read: Tensor, written: Tensor) -> None:
        if not place.startswith(ROUNDED) or place.startswith(FIRST_FUSION):
            return
        if place.startswith(HEAD_CONVS):
            place = place_of(JOINED, 0)
            summed.append(written)
            written = torch.zeros(1) if len(summed) < N_LEVELS else torch.stack(summed).sum(dim=0)
            del summed[: len(summed) // N_LEVELS * N_LEVELS]
        before = seen.get(place, Range(0.0, 0.0))
        seen[place] = Range(max(before.read, _largest(read)), max(before.written, _largest(written)))

    streamed = StreamedVision(sizes, parameters_of(sizes, clip, release), observe)
    boxes = torch.from_numpy(some_boxes())
    with torch.inference_mode():
        progress("calibrating the ViT", 0.0)
        maps = streamed.maps([torch.tensor(pixels) for pixels in pictures])
        rois: list[Levels] = []
        progress("calibrating the pyramid", _SHARE_OF_VIT)
        for pyramid in streamed.pyramids(maps):  # 89 MB at full size: each goes as soon as its boxes are cut out
            rois.append(streamed.align(pyramid, boxes))
            done = len(rois) / len(pictures)
            progress("calibrating the pyramid", _SHARE_OF_VIT + done * (1 - _SHARE_OF_VIT - _SHARE_OF_REGIONS))
        streamed.embeddings(rois, [boxes] * len(rois))
        progress("calibrating the regions", 1.0)
    return seen


def some_boxes() -> Boxes:
    """The whole picture, its quarters, its middle, and small ones: the sizes that people draw."""
    starts = [(0.0, 0.0, 1.0), *((x, y, 0.5) for x in (0.0, 0.5) for y in (0.0, 0.5)), (0.25, 0.25, 0.5)]
    starts += [(x, y, 0.12) for x in (0.2, 0.65) for y in (0.3, 0.7)]
    return np.array([(x, y, x + side, y + side) for x, y, side in starts], dtype=np.float32)


def _largest(values: Tensor) -> float:
    low, high = torch.aminmax(values)
    return max(float(high), -float(low))
