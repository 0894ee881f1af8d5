"""Runs the vision half in every engine on this machine's GPU against float32 on the CPU, and asks a question with each.

    python bench/vision_gpu_check.py                       # every engine that has all it needs; why the others do not
    python bench/vision_gpu_check.py --bundle FOLDER       # another model than the embedded one
    python bench/vision_gpu_check.py --cpu                 # OpenVINO in the GPU's place: the same table without one

Needs gpt4roi-edge with the extra of at least one engine, and the extra `cpu` or `ort-cuda` to compare with. The exit
status is 1 if an engine's numbers are off, or one that has all it needs fails. Knows nothing of the RoIAlign kernel
alone: that is bench/gpu_check.py.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from gpt4roi_runtime import Box, Done, Pipeline, TextDelta, default_bundle
from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.backends.tensorrt import TensorRtEncoder
from gpt4roi_runtime.backends.vision_candidates import candidates, missing_gpu
from gpt4roi_runtime.backends.vision_engines import open_encoder
from gpt4roi_runtime.backends.vision_settings import VisionEngine, VisionSettings
from gpt4roi_runtime.backends.vision_tuning import some_boxes
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.errors import Gpt4RoiError
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.vision.encoder import Encoder
from gpt4roi_runtime.vision.preprocess import preprocess

PHOTO = Path(__file__).resolve().parents[1] / "runtime" / "gpt4roi_runtime" / "samples" / "astronaut.jpg"
QUESTION, BOX = "Which object is <region1>?", Box(360, 5, 460, 280)
REFERENCE = VisionEngine("onnxruntime")
ON_CPU = VisionEngine("openvino", "f32")
LEAST_COSINE = 0.999
N_BOXES, N_RUNS = 16, 20
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """What an engine makes of the photo, and in what time.

    Attributes:
        engine: Its own words.
        rows: Of the image.
        regions: Embeddings of the boxes.
        levels: Of the pyramid.
        encode_s: Median.
        region_s: Median of one box.
        regions_s: And of all.
        notes: What else it tells.
        answer: To the question, and the seconds to its first text.
    """

    engine: str
    rows: Floats
    regions: Floats
    levels: tuple[Floats, ...]
    encode_s: float
    region_s: float
    regions_s: float
    notes: tuple[str, ...]
    answer: str = ""
    first_text_s: float = 0.0


def main() -> int:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--cpu", action="store_true", help="OpenVINO in the GPU's place")
    given = parser.parse_args()
    console = Console()
    bundle = open_bundle(given.bundle)
    engines = []
    if given.cpu:
        engines.append(ON_CPU)
    elif (missing := missing_gpu()) is not None:
        console.print(f"no engine on a GPU runs here: {missing.problem}", markup=False)
    else:
        for candidate in candidates(bundle, VisionSettings()):
            if candidate.refused is None:
                engines.append(candidate.engine)
            else:
                console.print(f"{candidate.engine} is left out: {candidate.refused}. {candidate.advice}", markup=False)
    reference = run(bundle, REFERENCE)
    tried = [tried_out(bundle, engine, console) for engine in engines]
    found = [one for one in tried if one is not None]
    failed = len(found) < len(tried)
    console.print(table(reference, found))
    for one in found:
        for note in one.notes:
            console.print(f"{one.engine}: {note}", markup=False)
    if not found:
        console.print("no engine but the CPU's could be run", markup=False)
    return int(failed or any(not is_right(one, reference) for one in found))


def tried_out(bundle: Bundle, engine: VisionEngine, console: Console) -> Seen | None:
    """What it makes of the photo, or nothing where it fails, which is said."""
    try:
        return run(bundle, engine)
    except Gpt4RoiError as error:
        console.print(f"{engine} FAILED: {error}", markup=False)
        return None


def run(bundle: Bundle, engine: VisionEngine) -> Seen:
    """Load, run, time, ask.

    Raises:
        Gpt4RoiError: The engine is missing or fails.
    """
    with closing(open_encoder(bundle, engine, 0)) as encoder:
        seen = measure(bundle, encoder)
    settings = EngineSettings(vision=VisionSettings(engine.backend, engine.precision))
    answer, first_s = ask(bundle.folder, settings)
    return replace(seen, answer=answer, first_text_s=first_s)


def measure(bundle: Bundle, encoder: Encoder) -> Seen:
    """Numbers and times of the two graphs."""
    pixels = preprocess(load_image(PHOTO), bundle.manifest.vision.preprocessing)
    boxes = some_boxes(min(N_BOXES, bundle.manifest.vision.max_regions))
    features = encoder.encode(pixels)
    regions = encoder.embed_regions(features.pyramid, boxes)
    regions_s = middle_s(lambda: encoder.embed_regions(features.pyramid, boxes))
    region_s = middle_s(lambda: encoder.embed_regions(features.pyramid, boxes[:1]))
    levels = tuple(features.pyramid)  # comes from the GPU now, and not in a later run of the encode graph
    return Seen(
        engine=encoder.engine,
        rows=features.image_embeddings,
        regions=regions,
        levels=levels,
        encode_s=middle_s(lambda: encoder.encode(pixels)),
        region_s=region_s,
        regions_s=regions_s,
        notes=encoder.gpu_use().lines() if isinstance(encoder, TensorRtEncoder) else (),
    )


def ask(folder: Path, settings: EngineSettings) -> tuple[str, float]:
    """The answer to the question, greedily, and the seconds from asking it to the first text."""
    with Pipeline.open(folder, settings) as pipeline:
        image = pipeline.encode(load_image(PHOTO))
        asked_s, first_s, answer = perf_counter(), 0.0, ""
        for event in pipeline.ask(image, QUESTION, {1: BOX}):
            if isinstance(event, TextDelta):
                first_s = first_s or perf_counter() - asked_s
            if isinstance(event, Done):
                answer = event.answer
    return answer, first_s


def middle_s(work: Callable[[], object]) -> float:
    """Median seconds; the first three runs, in which an engine prepares itself, are left out."""
    taken = []
    for _ in range(N_RUNS + 3):
        started_s = perf_counter()
        work()
        taken.append(perf_counter() - started_s)
    return statistics.median(taken[3:])


def least_cosine(ours: Floats, theirs: Floats) -> float:
    """The least over the first axis."""
    one, other = (part.astype(np.float64).reshape(len(part), -1) for part in (ours, theirs))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / np.maximum(lengths, np.finfo(np.float64).tiny)).min())


def cosines(one: Seen, reference: Seen) -> tuple[float, float, float]:
    """Of the image's rows together, of the worst level, of the worst region."""
    levels = [least_cosine(ours, theirs) for ours, theirs in zip(one.levels, reference.levels, strict=True)]
    rows = least_cosine(one.rows.reshape(1, -1), reference.rows.reshape(1, -1))
    return rows, min(levels), least_cosine(one.regions, reference.regions)


def is_right(one: Seen, reference: Seen) -> bool:
    """Whether its numbers are those of float32, as far as float16 allows."""
    return min(cosines(one, reference)) >= LEAST_COSINE


def table(reference: Seen, found: Sequence[Seen]) -> Table:
    """One row for each engine, the reference first."""
    shown = Table(title=f"vision half against {reference.engine} in float32; 1 and {len(reference.regions)} regions")
    for heading in (
        "engine",
        "image",
        "pyramid",
        "regions",
        "encode ms",
        "1 ms",
        "16 ms",
        "first text ms",
        "answer",
        "",
    ):
        shown.add_column(heading)
    for one in (reference, *found):
        times = (f"{1e3 * seconds:.2f}" for seconds in (one.encode_s, one.region_s, one.regions_s, one.first_text_s))
        angles = ("",) * 3 if one is reference else tuple(f"{cosine:.6f}" for cosine in cosines(one, reference))
        verdict = "" if one is reference else ("passed" if is_right(one, reference) else "FAILED")
        shown.add_row(one.engine, *angles, *times, one.answer, verdict)
    return shown


if __name__ == "__main__":
    sys.exit(main())
