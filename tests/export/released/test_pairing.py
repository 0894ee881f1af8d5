from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gpt4roi_export.released.delta_numbers import off_grid_share
from gpt4roi_export.released.language_release import LanguageRelease
from gpt4roi_export.released.pairing import check_clip, check_pairing, pair
from gpt4roi_export.released.read_release import read_clip, read_language
from gpt4roi_export.released.summed import Summed
from gpt4roi_export.synthesis.synthesize import SynthesizedFolders, synthesize
from gpt4roi_export.tensors import Array, ArraysInMemory
from gpt4roi_runtime.errors import BundleError
from tests.export.released.conftest import Arrays, Change, arrays_of, changed, path_of, quiet


@pytest.fixture(scope="module")
def base(tiny: SynthesizedFolders) -> LanguageRelease:
    return read_language(path_of(tiny.base), "base")


@pytest.fixture(scope="module")
def delta(tiny: SynthesizedFolders) -> LanguageRelease:
    return read_language(path_of(tiny.delta), "delta")


def refused(base: LanguageRelease, delta: LanguageRelease, match: str, advice: str = "") -> None:
    with pytest.raises(BundleError, match=match) as caught:
        check_pairing(base, delta)
    assert caught.value.advice
    assert advice in caught.value.advice


def test_base_and_delta_make_the_merged_checkpoint(
    base: LanguageRelease, delta: LanguageRelease, merged: SynthesizedFolders
) -> None:
    report = check_pairing(base, delta)
    assert 0.02 < report.delta_share < 0.05
    assert (report.off_grid, report.doubts) == (0.0, ())
    made, expected = pair(base, delta), read_language(path_of(merged.gpt4roi), "merged")
    assert (made.kind, made.sizes, made.region) == ("merged", expected.sizes, expected.region)
    assert made.tensors.facts == expected.tensors.facts
    assert made.tokenizer.added_tokens == expected.tokenizer.added_tokens
    assert set(made.files) == {*base.files, *delta.files}
    for name in expected.tensors.facts:
        np.testing.assert_array_equal(made.tensors.read(name), expected.tensors.read(name), strict=True)


def test_the_bases_pieces_serve_where_the_delta_has_none(
    base: LanguageRelease, tiny: SynthesizedFolders, tmp_path: Path
) -> None:
    folder = changed(path_of(tiny.delta), tmp_path / "delta")
    (folder / "tokenizer.model").unlink()
    made = pair(base, read_language(folder, "delta"))
    assert made.tokenizer.model == base.tokenizer.model
    assert (made.tokenizer.n_pieces, made.tokenizer.added_tokens["<bbox>"]) == (579, 581)
    assert base.tokenizer.model in made.tokenizer.files


# ---- sums ----


def test_the_base_goes_to_the_first_rows() -> None:
    base = ArraysInMemory({"table": np.ones((2, 3), np.float16)})
    delta = ArraysInMemory({"table": np.full((4, 3), 2, np.float16), "own": np.ones(3, np.float32)})
    total = Summed(base, delta)
    assert total.read("table").tolist() == [[3] * 3, [3] * 3, [2] * 3, [2] * 3]
    assert total.read("own").dtype == np.float32
    assert delta.arrays["table"].max() == 2  # a source in memory is not written to
    with pytest.raises(BundleError, match="no tensor 'nothing'"):
        total.read("nothing")


HALVES = arrays.arrays(np.float16, 8, elements=st.floats(-60000, 60000, width=16))


@settings(max_examples=200, deadline=None)
@given(HALVES, HALVES)
def test_a_sum_is_the_exact_one_rounded_once(base: Array, delta: Array) -> None:
    total = Summed(ArraysInMemory({"a": base}), ArraysInMemory({"a": delta})).read("a")
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(total, (base.astype(np.float64) + delta.astype(np.float64)).astype(np.float16))


def test_wider_numbers_are_rounded_first_as_the_authors_script_does() -> None:
    base = ArraysInMemory({"a": np.array([1 + 2.0**-11], np.float32)})  # halfway: rounds down to 1
    delta = ArraysInMemory({"a": np.array([2.0**-11], np.float32)})
    assert Summed(base, delta).read("a").tolist() == [1.0]
    assert Summed(base, delta).facts["a"].dtype == "float16"


# ---- numbers that do not belong together ----

WEIGHTS = arrays.arrays(np.float16, 50, elements=st.floats(-4, 4, width=16))


@settings(max_examples=200, deadline=None)
@given(WEIGHTS, WEIGHTS)
def test_a_right_base_never_misses_whatever_the_numbers(base: Array, target: Array) -> None:
    difference = (target - base).astype(np.float32)
    assert off_grid_share(base.astype(np.float32), difference) == 0.0


def test_another_base_misses_often(base: LanguageRelease, delta: LanguageRelease, tmp_path: Path) -> None:
    other = synthesize("tiny", tmp_path / "other", 1, quiet, as_delta=True)
    wrong = read_language(path_of(other.base), "base")
    refused(wrong, delta, r"misses float16's numbers at [23]\d\.\d% of the weights", "unrelated weights, LLaMA 2")
    report = check_pairing(wrong, delta, forced=True)
    assert report.off_grid is not None
    assert report.off_grid > 0.2
    assert len(report.doubts) == 1


def with_arrays(release: LanguageRelease, change: Change) -> LanguageRelease:
    held: Arrays = {name: np.array(array) for name, array in arrays_of(release).items()}
    change(held)
    return replace(release, tensors=ArraysInMemory(held))


def tuned(held: Arrays) -> None:
    noise = np.random.default_rng(0)
    for name, array in held.items():
        held[name] = (array * (1 + 0.01 * noise.standard_normal(array.shape))).astype(np.float16)


def test_a_tuned_base_misses_now_and_then(base: LanguageRelease, delta: LanguageRelease) -> None:
    refused(with_arrays(base, tuned), delta, r"misses float16's numbers at \d\.\d%", "such as Vicuna")


def in_metas_order(held: Arrays) -> None:
    for name, array in held.items():
        if "q_proj" in name or "k_proj" in name:
            held[name] = array.reshape(4, 2, -1, array.shape[1]).transpose(0, 2, 1, 3).reshape(array.shape)


def test_metas_order_of_rotary_dimensions_is_recognised(base: LanguageRelease, delta: LanguageRelease) -> None:
    refused(with_arrays(base, in_metas_order), delta, "misses float16's numbers", "the base has Meta's order")


def as_bfloat16(held: Arrays) -> None:
    for name, array in held.items():
        rounded = (array.astype(np.float32).view(np.uint32) + 0x8000) & 0xFFFF0000
        held[name] = rounded.view(np.float32)


def test_a_base_rounded_to_bfloat16_is_refused(base: LanguageRelease, delta: LanguageRelease) -> None:
    refused(with_arrays(base, as_bfloat16), delta, "misses float16's numbers")


def test_a_base_in_float32_of_the_same_numbers_is_right(base: LanguageRelease, delta: LanguageRelease) -> None:
    widened = with_arrays(base, lambda held: held.update({name: a.astype(np.float32) for name, a in held.items()}))
    assert check_pairing(widened, delta).off_grid == 0.0


def test_a_delta_in_float32_says_nothing_of_its_base(base: LanguageRelease, delta: LanguageRelease) -> None:
    wide = with_arrays(delta, lambda held: held.update({name: a.astype(np.float32) for name, a in held.items()}))
    assert check_pairing(base, wide).off_grid is None


def test_a_delta_as_large_as_its_base_is_refused(base: LanguageRelease, delta: LanguageRelease) -> None:
    large = with_arrays(delta, lambda held: held.update({name: a * np.float16(32) for name, a in held.items()}))
    refused(base, large, r"is 1\.0\d times as large as the base's, expected at most 0\.5", "no delta")


# ---- sizes that do not belong together ----


def test_kinds_are_checked(base: LanguageRelease, delta: LanguageRelease) -> None:
    refused(delta, base, "of kind 'delta'.* of kind 'base'; expected base and delta")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"hidden_size": 5120}, "hidden_size 5120, but the delta 256"),
        ({"intermediate_size": 11008}, "intermediate_size 11008, but the delta 512"),
        ({"n_layers": 40}, "n_layers 40, but the delta 2"),
        ({"n_heads": 8}, "n_heads 8, but the delta 4"),
        ({"n_kv_heads": 1}, "n_kv_heads 1, but the delta 4"),
        ({"vocabulary_size": 580}, "580 rows, the delta's 585, of which 579"),
        ({"vocabulary_size": 32000}, "32000 rows"),
    ],
)
def test_other_sizes_are_refused_even_when_forced(
    change: Mapping[str, int], match: str, base: LanguageRelease, delta: LanguageRelease
) -> None:
    other = replace(base, sizes=replace(base.sizes, **change))
    refused(other, delta, match)
    with pytest.raises(BundleError, match=match):
        check_pairing(other, delta, forced=True)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"context_length": 4096}, "a context of 4096, expected 2048"),
        ({"rms_eps": 1e-5}, "rms_norm_eps 1e-05, expected 1e-06"),
        ({"rope_theta": 1e6}, r"rope_theta 1e\+06, expected 10000"),
    ],
)
def test_a_later_llama_is_refused_unless_forced(
    change: Mapping[str, Any], match: str, base: LanguageRelease, delta: LanguageRelease
) -> None:
    other = replace(base, sizes=replace(base.sizes, **change))
    refused(other, delta, match, "LLaMA 2")
    assert len(check_pairing(other, delta, forced=True).doubts) == 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"width": 768}, "width 768"),
        ({"n_layers": 12}, "12 layers"),
        ({"side_px": 336}, "24 x 24 patches"),
        ({"patch_px": 32}, "7 x 7 patches"),
    ],
)
def test_another_clip_is_refused(
    change: Mapping[str, int], match: str, delta: LanguageRelease, tiny: SynthesizedFolders
) -> None:
    clip = read_clip(tiny.clip)
    check_clip(delta, clip)
    with pytest.raises(BundleError, match=match) as caught:
        check_clip(delta, replace(clip, sizes=replace(clip.sizes, **change)))
    assert "openai/clip-vit-large-patch14" in caught.value.advice


def test_a_base_has_no_place_for_a_clip(base: LanguageRelease, tiny: SynthesizedFolders) -> None:
    with pytest.raises(BundleError, match="no region module"):
        check_clip(base, read_clip(tiny.clip))
