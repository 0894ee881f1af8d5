"""Which engine wins, and which is refused, with engines whose speed and numbers are made up."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpt4roi_runtime.arrays import Boxes, PixelValues, RegionEmbeddings
from gpt4roi_runtime.backends import vision_tuning
from gpt4roi_runtime.backends.vision_settings import VisionEngine
from gpt4roi_runtime.backends.vision_tuning import some_boxes, tune_vision
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.errors import EngineError, EngineMissingError
from gpt4roi_runtime.vision.encoder import Encoder, ImageFeatures, Pyramid
from tests.helpers.tiny_graphs import tiny_bundle

F32, BF16 = VisionEngine("openvino", "f32"), VisionEngine("openvino", "bf16")
ORT = VisionEngine("onnxruntime", "f32")


class _Clock:
    """Time that passes only when a made-up engine works."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class _MadeUp:
    """An engine that takes ``seconds`` a call and is off by ``error``."""

    engine = "made up"

    def __init__(self, clock: _Clock, seconds: float, error: float) -> None:
        self._clock, self._seconds, self._error = clock, seconds, error
        self.closed = False

    def _off(self, values: np.ndarray) -> np.ndarray:
        wrong = np.where(np.arange(values.size) % 2, 1, -1).reshape(values.shape)
        return (values + self._error * wrong).astype(np.float32)

    def encode(self, pixels: PixelValues) -> ImageFeatures:
        self._clock.now_s += self._seconds
        return ImageFeatures(self._off(np.ones((2, 5))), (np.ones((1, 3, 4, 4), dtype=np.float32),))

    def embed_regions(self, pyramid: Pyramid, boxes: Boxes) -> RegionEmbeddings:
        self._clock.now_s += self._seconds
        return self._off(np.ones((len(boxes), 1, 5)))

    def close(self) -> None:
        self.closed = True


Engines = dict[VisionEngine, tuple[float, float] | Exception]
Tune = Callable[[Engines], vision_tuning.VisionChoice]


@pytest.fixture
def tune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tune:
    """Measure engines given as seconds and error, or as what goes wrong when they are loaded."""
    clock = _Clock()
    monkeypatch.setattr(vision_tuning, "perf_counter", clock)
    opened: list[_MadeUp] = []

    def tune(engines: Engines) -> vision_tuning.VisionChoice:
        def load(bundle: Bundle, engine: VisionEngine, n_threads: int) -> Encoder:
            assert all(one.closed for one in opened), "two engines at a time take the memory of two"
            found = engines[engine]
            if isinstance(found, Exception):
                raise found
            opened.append(_MadeUp(clock, *found))
            return opened[-1]

        return tune_vision(tiny_bundle(tmp_path / "bundle"), n_threads=1, opened=load)

    return tune


def test_the_fastest_wins(tune: Tune) -> None:
    choice = tune({ORT: (1.0, 0.0), F32: (0.8, 0.0), BF16: (0.4, 0.001)})
    assert choice.best.choice == BF16
    assert [one.encode_s for one in choice.measured] == pytest.approx([1.0, 0.8, 0.4])
    assert 0.9998 < choice.best.region_cosine < 1


def test_one_that_is_hardly_faster_is_not_worth_it(tune: Tune) -> None:
    assert tune({ORT: (1.0, 0.0), F32: (0.95, 0.0), BF16: (0.91, 0.0)}).best.choice == ORT


def test_one_whose_numbers_are_off_is_refused_with_its_cosine(tune: Tune) -> None:
    choice = tune({ORT: (1.0, 0.0), F32: (0.8, 0.0), BF16: (0.4, 0.1)})
    assert choice.best.choice == F32
    assert "0.99" in choice.measured[2].refused


def test_float32_is_held_to_more_than_bfloat16(tune: Tune) -> None:
    choice = tune({ORT: (1.0, 0.0), F32: (0.4, 0.018), BF16: (0.5, 0.018)})
    assert choice.best.choice == BF16
    assert choice.measured[1].refused


def test_one_that_fails_is_named_with_its_reason(tune: Tune) -> None:
    choice = tune({ORT: (1.0, 0.0), F32: EngineError("no room"), BF16: EngineError("no bfloat16")})
    assert choice.best.choice == ORT
    assert [one.refused for one in choice.measured] == ["", "no room", "no bfloat16"]


def test_one_that_is_not_installed_is_left_out(tune: Tune) -> None:
    missing = EngineMissingError("not here")
    assert len(tune({ORT: (1.0, 0.0), F32: missing, BF16: missing}).measured) == 1


def test_without_the_reference_nothing_is_chosen(tune: Tune) -> None:
    with pytest.raises(EngineError, match="no reference"):
        tune({ORT: EngineError("no reference"), F32: (0.1, 0.0), BF16: (0.1, 0.0)})


def test_a_slow_engine_is_run_less_often(tune: Tune) -> None:
    assert tune({ORT: (30.0, 0.0), F32: (40.0, 0.0), BF16: (20.0, 0.0)}).best.encode_s == pytest.approx(20.0)


def test_the_boxes_are_boxes_of_many_sizes() -> None:
    boxes = some_boxes(16)
    assert boxes.shape == (16, 4)
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert areas.max() > 10 * areas.min()
    np.testing.assert_array_equal(boxes, some_boxes(16))
