import numpy as np
import pytest

from gpt4roi_export.scene import COLORS
from gpt4roi_export.tuned import TunedSizes
from gpt4roi_export.tuning.imagined import Vocabulary, imagine_colors, imagine_names
from tests.export.tuning.conftest import facts

N_DRAWS = 200


def shares(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return np.asarray(weights / weights.sum())


def names_read(vocabulary: Vocabulary, name: str | None, *, sure: bool) -> np.ndarray:
    draw = np.random.default_rng(5)
    return np.stack([shares(imagine_names(facts(name, sure=sure), vocabulary, draw)) for _ in range(N_DRAWS)])


def colors_read(color: str | None) -> np.ndarray:
    draw = np.random.default_rng(5)
    return np.stack([shares(imagine_colors(facts("cat", color=color), draw)) for _ in range(N_DRAWS)])


@pytest.mark.parametrize("name", ["cat", "cup", "thing 900"])
def test_what_is_sure_has_most_of_the_probability(vocabulary: Vocabulary, name: str) -> None:
    read = names_read(vocabulary, name, sure=True)
    assert (read.argmax(axis=1) == vocabulary.index[name]).all()
    top = read.max(axis=1)
    assert np.quantile(top, 0.05) > 0.55
    assert np.quantile(top, 0.5) > 0.75


@pytest.mark.parametrize("name", ["cat", "cup", "thing 900"])
def test_what_is_unsure_is_only_the_likeliest(vocabulary: Vocabulary, name: str) -> None:
    read = names_read(vocabulary, name, sure=False)
    assert (read.argmax(axis=1) == vocabulary.index[name]).all()
    top = read.max(axis=1)
    assert top.min() > 0.1
    assert top.max() < 0.5


def test_what_it_may_be_taken_for_is_of_its_kind(vocabulary: Vocabulary) -> None:
    read = names_read(vocabulary, "thing 900", sure=False)
    second = np.argsort(read, axis=1)[:, -2]
    assert np.mean([vocabulary.kinds[place] == "thing" for place in second]) > 0.9


def test_nothing_in_particular_has_no_high_probability(vocabulary: Vocabulary) -> None:
    assert np.quantile(names_read(vocabulary, None, sure=True).max(axis=1), 0.9) < 0.5


def test_a_known_color_stands_out(vocabulary: Vocabulary) -> None:
    read = colors_read("green")
    assert (read.argmax(axis=1) == COLORS.index("green")).all()
    assert np.quantile(read.max(axis=1), 0.3) > 0.69
    assert np.mean(read.max(axis=1) < TunedSizes(len(vocabulary), len(COLORS)).leading_color) == pytest.approx(
        0.2, abs=0.06
    )


def test_an_unknown_color_is_a_mixture() -> None:
    read = colors_read(None)
    assert np.quantile(read.max(axis=1), 0.9) < 0.7
    assert len(set(read.argmax(axis=1).tolist())) > 5


def test_the_same_chance_gives_the_same_reading(vocabulary: Vocabulary) -> None:
    first, second = (imagine_names(facts("cat"), vocabulary, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_name_that_stands_twice_means_its_first_place() -> None:
    twice = Vocabulary.of(("cat", "cup", "cat"), ("animal", "dish", "animal"))
    assert twice.index["cat"] == 0
    assert len(twice) == 3
