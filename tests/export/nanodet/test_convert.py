"""The committed detector: it is what the published package gives, and it sees what is on a photo."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import platformdirs
import pytest
from onnx import TensorProto

from gpt4roi_export.nanodet.convert import convert, write_detector
from gpt4roi_export.nanodet.description import COCO_NAMES, NANODET, nanodet_detector
from gpt4roi_export.nanodet.package import FILE_NAME, MODEL, WEIGHTS, check_package, read_member
from gpt4roi_export.nanodet.tfjs_graph import read_tfjs_graph
from gpt4roi_export.write_bundle import file_entry
from gpt4roi_runtime.backends.onnxruntime_detector import OnnxRuntimeDetector
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.vision.detector_input import detector_pixels, fit_photo
from gpt4roi_runtime.vision.proposals import propose
from tests.conftest import REPOSITORY
from tests.helpers.tfjs import interpreted

ASTRONAUT = REPOSITORY / "runtime" / "gpt4roi_runtime" / "samples" / "astronaut.jpg"
FETCHED = platformdirs.user_cache_path("gpt4roi-edge") / "weights" / FILE_NAME
HOW = nanodet_detector(file_entry(NANODET.parent, NANODET.name))


@pytest.fixture
def detector() -> Iterator[OnnxRuntimeDetector]:
    with closing(OnnxRuntimeDetector(NANODET, HOW, n_threads=1)) as detector:
        yield detector


def test_it_finds_the_astronaut(detector: OnnxRuntimeDetector) -> None:
    (person,) = propose(load_image(ASTRONAUT), detector, HOW)
    assert person.name == "person"
    np.testing.assert_allclose(person.box.xyxy, [16, 15, 365, 508], atol=12)


def test_a_mirrored_photo_has_a_mirrored_box(detector: OnnxRuntimeDetector) -> None:
    """Half a cell's error in where cells lie would move the boxes apart by a cell."""
    photo = load_image(ASTRONAUT)
    (person,) = propose(photo, detector, HOW)
    (mirrored, *_) = propose(np.ascontiguousarray(photo[:, ::-1]), detector, HOW)
    centre, other = (person.box.x1 + person.box.x2) / 2, 512 - (mirrored.box.x1 + mirrored.box.x2) / 2
    assert centre == pytest.approx(other, abs=8)


def test_the_file_is_small_and_its_weights_are_half_precision() -> None:
    assert NANODET.stat().st_size < 8_000_000
    model = onnx.load(NANODET)
    large = [tensor for tensor in model.graph.initializer if np.prod(tensor.dims) > 100]
    assert len(large) > 30
    assert {tensor.data_type for tensor in large} == {TensorProto.FLOAT16}


def test_names_are_80_and_differ() -> None:
    assert len(set(COCO_NAMES)) == 80
    assert (COCO_NAMES[0], COCO_NAMES[41], COCO_NAMES[-1]) == ("person", "cup", "toothbrush")


def test_another_package_is_refused_and_leaves_the_file(tmp_path: Path) -> None:
    target = tmp_path / "nanodet.onnx"
    target.write_bytes(b"old")
    (tmp_path / "package.tgz").write_bytes(b"no archive")
    with pytest.raises(BundleError):
        write_detector(tmp_path / "package.tgz", target)
    assert target.read_bytes() == b"old"


@pytest.fixture(scope="module")
def published() -> Path:
    """The package, if it was fetched before: it is 144 MB."""
    if not FETCHED.is_file():
        pytest.skip(f"no {FETCHED}")
    return check_package(FETCHED)


@pytest.mark.slow
def test_the_committed_file_is_what_the_package_gives(published: Path, tmp_path: Path) -> None:
    assert write_detector(published, tmp_path / "nanodet.onnx").read_bytes() == NANODET.read_bytes()
    assert convert(published) == NANODET.read_bytes()


@pytest.mark.slow
def test_the_graph_computes_what_the_package_says(published: Path, detector: OnnxRuntimeDetector) -> None:
    photo = load_image(ASTRONAUT)
    pixels = detector_pixels(photo, fit_photo(512, 512, HOW), HOW)
    graph = read_tfjs_graph(read_member(published, MODEL), read_member(published, WEIGHTS))
    levels = ["Identity", *(f"Identity_{number}" for number in range(1, 6))]
    outputs = interpreted(graph, pixels, levels)
    found = detector.detect(pixels)
    np.testing.assert_allclose(found.scores, np.concatenate(outputs[:3], axis=1)[0], atol=1e-5)
    np.testing.assert_allclose(found.distances, np.concatenate(outputs[3:], axis=1)[0], atol=1e-4)
