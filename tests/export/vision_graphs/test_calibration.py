from pathlib import Path

import numpy as np
import pytest

from gpt4roi_export.vision_graphs.calibration import calibrate, some_boxes
from gpt4roi_export.vision_graphs.recipe import nodes_with_places
from gpt4roi_export.vision_graphs.structure import Structure
from gpt4roi_runtime.bundle.manifest import Preprocessing, Resize
from gpt4roi_runtime.errors import ImageError, SettingsError
from tests.export.vision_graphs.conftest import Model

PREPROCESSING = Preprocessing(
    resize=Resize(to="shortest_edge", side_px=56, filter="bicubic"),
    scale=1 / 255,
    mean=(0.48, 0.46, 0.41),
    std=(0.27, 0.26, 0.28),
    stretch=Resize(to="stretch", side_px=56, filter="bilinear"),
)


def run(model: Model, pictures: list[Path]) -> dict[str, tuple[float, float]]:
    ranges = calibrate(model.sizes, model.clip, model.release, pictures, PREPROCESSING, lambda doing, done: None)
    return {place: (seen.read, seen.written) for place, seen in ranges.items()}


def test_ranges_of_the_convolutions_grow_with_the_pictures(
    model: Model, structures: tuple[Structure, Structure], sample_photo: Path
) -> None:
    samples = [sample_photo, sample_photo.with_name("astronaut.jpg")]
    one, other, both = run(model, samples[:1]), run(model, samples[1:]), run(model, samples)
    places = {place for structure in structures for place, _ in nodes_with_places(structure.model)}
    assert len(both) == 4 * 4 + 1  # the first fusion is no convolution of the graph, the regions' four are one
    assert both.keys() < places
    assert both == {place: tuple(map(max, one[place], other[place])) for place in one}
    assert min(min(pair) for pair in both.values()) > 0


def test_pictures_are_asked_for_and_read(model: Model, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no picture"):
        run(model, [])
    with pytest.raises(ImageError, match=r"none\.jpg"):
        run(model, [tmp_path / "none.jpg"])


def test_boxes_are_boxes() -> None:
    boxes = some_boxes()
    assert ((boxes >= 0) & (boxes <= 1)).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert len(np.unique(boxes, axis=0)) == len(boxes)
