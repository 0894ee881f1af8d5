"""A folder of pictures without labels -> scenes with what the detector is sure of; the detector stands in for a person.

Does not know how the scenes are used. A scene holds facts only, no dialogue, and what is not in it may be there too.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpt4roi_export import plain_paths
from gpt4roi_export.nanodet.description import NANODET, nanodet_detector
from gpt4roi_export.scene import RegionFacts, Scene
from gpt4roi_export.vocabulary import read_coco_names
from gpt4roi_export.write_bundle import file_entry
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.backends.onnxruntime_detector import OnnxRuntimeDetector
from gpt4roi_runtime.errors import ImageError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.storage import written_aside
from gpt4roi_runtime.vision.proposals import Proposal, propose

DETECTED = "detected.jsonl"
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Strictness:
    """What a proposal must be to become a label.

    Attributes:
        threshold: Least score.
        least_side: Least side of a box, as a share of the picture's same side.
        most_overlap: Greatest intersection over union with a better box, of any name.
        max_regions: Most regions of a scene.
    """

    threshold: float = 0.5
    least_side: float = 0.08
    most_overlap: float = 0.6
    max_regions: int = 5


def label_pictures(pictures: Iterable[Path], target: Path, strictness: Strictness | None = None) -> tuple[Scene, ...]:
    """Write the scenes of all pictures on which something was found.

    Args:
        pictures: Files in or below the folder of ``target``; what cannot be read as one still picture is left out.
        target: The JSONL file to write.
        strictness: None takes the usual one.

    Returns:
        The scenes that were written, in the pictures' order.

    Raises:
        OutputError: The file cannot be written.
    """
    how = nanodet_detector(file_entry(NANODET.parent, NANODET.name))
    strict = strictness or Strictness()
    names = read_coco_names()
    with closing(OnnxRuntimeDetector(NANODET, how)) as detector:
        scenes = [
            scene_of(
                path.relative_to(target.parent),
                image,
                propose(image, detector, how, threshold=strict.threshold),
                strict,
                names,
            )
            for path, image in _readable(pictures)
        ]
    found = tuple(scene for scene in scenes if scene.regions)
    with written_aside(target) as file:
        file.writelines(msgspec.json.encode(scene, enc_hook=plain_paths.encoded) + b"\n" for scene in found)
    return found


def scene_of(
    picture: Path,
    image: RgbImage,
    proposals: tuple[Proposal, ...],
    strictness: Strictness,
    names: Mapping[str, str],
) -> Scene:
    """What is trusted of the proposals, as a scene.

    Args:
        picture: Path that the scene names.
        image: Its pixels.
        proposals: The best first.
        strictness: What is trusted.
        names: What the detector's names are called in the vocabulary, where it is something else.
    """
    height_px, width_px = image.shape[:2]
    kept: list[Proposal] = []
    for proposal in proposals:
        box = proposal.box
        large = min((box.x2 - box.x1) / width_px, (box.y2 - box.y1) / height_px) >= strictness.least_side
        free = all(overlap(box, other.box) <= strictness.most_overlap for other in kept)
        if proposal.score >= strictness.threshold and large and free:
            kept.append(proposal)
    regions = tuple(
        RegionFacts(box=_tenths(one.box), name=names.get(one.name, one.name)) for one in kept[: strictness.max_regions]
    )
    return Scene(id=picture.as_posix(), size=(width_px, height_px), regions=regions, image=picture)


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(first.x2, second.x2) - max(first.x1, second.x1)
    height = min(first.y2, second.y2) - max(first.y1, second.y1)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (_area(first) + _area(second) - shared)


def left_out(name: str, share: float) -> bool:
    """Whether a picture is kept for tests: by its name's hash, so that the answer never changes.

    Args:
        name: File name.
        share: Part of all pictures that is left out, 0..1.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") < share * (1 << 32)


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """Files in and below a folder whose names end like a picture's, in a fixed order."""
    return tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_ENDINGS))


def _readable(pictures: Iterable[Path]) -> Iterator[tuple[Path, RgbImage]]:
    for path in pictures:
        with suppress(ImageError):
            yield path, load_image(path)


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def _tenths(box: Box) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (round(value, 1) for value in box.xyxy)
    return x1, y1, x2, y2
