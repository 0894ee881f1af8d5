import numpy as np

from gpt4roi_export.evaluation.perturbing import BlankRegions, PerturbingEncoder, ShuffledRegions, SwappedRegions
from gpt4roi_runtime.vision.encoder import Encoder
from tests.helpers.fakes import FakeEncoder

BOXES = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]], dtype=np.float32)
ELSEWHERE = np.arange(5 * 3 * 4, dtype=np.float32).reshape(5, 3, 4)


def test_blank_regions_are_all_the_same() -> None:
    rows = BlankRegions(FakeEncoder(), ELSEWHERE).embed_regions((), BOXES)
    assert rows.shape == (2, 3, 4)
    np.testing.assert_array_equal(rows[0], ELSEWHERE.mean(axis=0))
    np.testing.assert_array_equal(rows[1], rows[0])


def test_shuffled_regions_are_others_and_stay_with_their_box() -> None:
    encoder = ShuffledRegions(FakeEncoder(), ELSEWHERE)
    both = encoder.embed_regions((), BOXES)
    assert all(any((row == other).all() for other in ELSEWHERE) for row in both)
    np.testing.assert_array_equal(encoder.embed_regions((), BOXES[1:])[0], both[1])


def test_swapped_regions_are_in_reverse() -> None:
    inner = FakeEncoder()
    rows = SwappedRegions(inner).embed_regions((), BOXES)
    np.testing.assert_array_equal(rows, inner.embed_regions((), BOXES)[::-1])


def test_the_engine_behind_is_left_open_and_does_the_rest() -> None:
    inner = FakeEncoder()
    for encoder in (PerturbingEncoder(inner), BlankRegions(inner, ELSEWHERE), SwappedRegions(inner)):
        assert isinstance(encoder, Encoder)
        assert encoder.engine == inner.engine
        encoder.encode(np.zeros((1, 3, 8, 8), dtype=np.float32))
        encoder.close()
    assert inner.n_encoded == 3
    assert not inner.closed
