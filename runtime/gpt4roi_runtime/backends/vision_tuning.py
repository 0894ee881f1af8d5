"""Measures every engine that can run a bundle's vision half on this machine, and picks one; stores nothing.

An engine is picked only if its numbers are those of ONNX Runtime in float32, within what its precision allows.
"""

import statistics
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.arrays import Boxes, PixelValues
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.backends.vision_choice import Measured, VisionChoice, machine_identity
from gpt4roi_runtime.backends.vision_engines import open_encoder
from gpt4roi_runtime.backends.vision_settings import VisionEngine
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.errors import EngineMissingError, Gpt4RoiError
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.vision.encoder import Encoder
from gpt4roi_runtime.vision.preprocess import preprocess

REFERENCE = VisionEngine("onnxruntime")
OTHERS = (VisionEngine("openvino", "f32"), VisionEngine("openvino", "bf16"))
LEAST_COSINES = {"f32": (0.9999, 0.9999), "bf16": (0.999, 0.9998)}
"""Of the image rows, and of each region's embeddings; at 0.9996 the embedded model calls the sample's shuttle a pen."""
N_BOXES = 16
_WORTH_IT = 0.9
"""Another engine than ONNX Runtime has to take less than this share of its time; what is less is noise."""
_N_RUNS, _N_SLOW_RUNS, _SLOW_S = 5, 3, 2.0
_SAMPLES = Path(__file__).parents[1] / "samples"
_PHOTOS = (_SAMPLES / "astronaut.jpg", _SAMPLES / "coffee.jpg")
"""Times are those of the first; numbers have to be right on both."""

Open = Callable[[Bundle, VisionEngine, int], Encoder]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Numbers:
    """What an engine makes of the photos and the boxes: a row a photo, a row a region."""

    images: Float32
    regions: Float32


def tune_vision(
    bundle: Bundle, *, n_threads: int = 0, said: Callable[[str], None] = lambda _: None, opened: Open = open_encoder
) -> VisionChoice:
    """Load, run and compare one engine after another.

    Args:
        bundle: Its files were checked.
        n_threads: Of each engine; 0 takes as many as there are cores.
        said: Told what is being measured.
        opened: Loads an engine.

    Returns:
        What was found. An engine that is not installed is left out.

    Raises:
        BundleError: A graph is not what the manifest says.
        EngineError: ONNX Runtime, which the others are held against, is missing or fails.
    """
    photos = [preprocess(load_image(photo), bundle.manifest.vision.preprocessing) for photo in _PHOTOS]
    boxes = some_boxes(min(N_BOXES, bundle.manifest.vision.max_regions))
    said(f"measuring {REFERENCE}")
    first, reference = _measured(bundle, REFERENCE, n_threads, opened, photos, boxes)
    measured = [first]
    for engine in OTHERS:
        said(f"measuring {engine}")
        try:
            found, numbers = _measured(bundle, engine, n_threads, opened, photos, boxes)
        except EngineMissingError:
            continue
        except Gpt4RoiError as error:
            measured.append(Measured(engine.backend, _precision(engine), str(engine), refused=error.problem))
            continue
        measured.append(_judged(found, numbers, reference))
    return VisionChoice(
        version=1,
        bundle_id=bundle.id,
        machine=machine_identity(),
        n_threads=OpenVinoSettings(n_threads=n_threads).threads(),
        chosen=_best(measured),
        measured=tuple(measured),
    )


def some_boxes(n: int) -> Boxes:
    """``n`` boxes of many sizes and places, the same every time: x1 y1 x2 y2 in 0..1."""
    random = np.random.default_rng(16)
    starts = random.uniform(0.0, 0.7, (n, 2))
    sides = random.uniform(0.05, 1.0, (n, 2)) * (1.0 - starts)
    return np.concatenate([starts, starts + sides], axis=1).astype(np.float32)


def _measured(
    bundle: Bundle, engine: VisionEngine, n_threads: int, opened: Open, photos: Sequence[PixelValues], boxes: Boxes
) -> tuple[Measured, _Numbers]:
    with closing(opened(bundle, engine, n_threads)) as encoder:
        encode_s = _median_s(lambda: encoder.encode(photos[0]))
        images, regions = [], []
        for pixels in photos:
            features = encoder.encode(pixels)
            images.append(features.image_embeddings.ravel())
            regions.append(encoder.embed_regions(features.pyramid, boxes))
        found = Measured(
            backend=engine.backend,
            precision=_precision(engine),
            engine=encoder.engine,
            encode_s=encode_s,
            region_s=_median_s(lambda: encoder.embed_regions(features.pyramid, boxes[:1])),
            regions_s=_median_s(lambda: encoder.embed_regions(features.pyramid, boxes)),
        )
        return found, _Numbers(np.stack(images), np.concatenate(regions))


def _precision(engine: VisionEngine) -> Literal["f32", "bf16"]:
    return "bf16" if engine.precision == "bf16" else "f32"


def _median_s(act: Callable[[], object]) -> float:
    """Median time of some runs; the first run of an engine is not like the others, and is not counted."""
    seconds: list[float] = []
    n_runs = _N_RUNS
    while len(seconds) <= n_runs:
        started_s = perf_counter()
        act()
        seconds.append(perf_counter() - started_s)
        n_runs = _N_SLOW_RUNS if seconds[0] > _SLOW_S else _N_RUNS
    return statistics.median(seconds[1:])


def _judged(found: Measured, numbers: _Numbers, reference: _Numbers) -> Measured:
    image = float(_cosines(numbers.images, reference.images).min())
    regions = float(_cosines(numbers.regions, reference.regions).min())
    least_image, least_regions = LEAST_COSINES[found.precision]
    refused = ""
    if image < least_image or regions < least_regions:
        refused = (
            f"cosines of {image:.5f} (image) and {regions:.5f} (regions) with {REFERENCE}; "
            f"{least_image} and {least_regions} are needed"
        )
    return msgspec.structs.replace(found, image_cosine=image, region_cosine=regions, refused=refused)


def _cosines(ours: Float32, theirs: Float32) -> npt.NDArray[np.float64]:
    """Of every first axis' rows, flattened; 0 where one of them is zero."""
    one, other = (part.astype(np.float64).reshape(len(part), -1) for part in (ours, theirs))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines: npt.NDArray[np.float64] = np.divide(
        (one * other).sum(axis=1), lengths, out=np.zeros(len(one)), where=lengths > 0
    )
    return cosines


def _best(measured: list[Measured]) -> int:
    """Place of the fastest that may be used; ONNX Runtime's unless another is worth it."""
    limit_s = measured[0].total_s * _WORTH_IT
    worth = [place for place, one in enumerate(measured) if place and not one.refused and one.total_s < limit_s]
    return min(worth, key=lambda place: measured[place].total_s, default=0)
