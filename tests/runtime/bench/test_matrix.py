"""Lists and ranges as llama-bench reads them."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_runtime.backends.llama_cpp_settings import CACHE_TYPES, LlamaCppSettings
from gpt4roi_runtime.bench.matrix import LanguageTest, LoadChoices, language_tests, numbers, pair, words
from gpt4roi_runtime.errors import SettingsError


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["256"], (256,)),
        (["1,2", "4"], (1, 2, 4)),
        (["1-4"], (1, 2, 3, 4)),
        (["128-512+128"], (128, 256, 384, 512)),
        (["1-16*2"], (1, 2, 4, 8, 16)),
        (["1-10*3,7"], (1, 3, 9, 7)),
        (["5-5"], (5,)),
        (["0"], (0,)),
        ([" 1, 2"], (1, 2)),
        ([], ()),
    ],
)
def test_examples(texts: list[str], values: tuple[int, ...]) -> None:
    assert numbers("-p", texts) == values


def test_all_layers_have_a_number_of_their_own() -> None:
    assert numbers("-ngl", ["-1,0,3"], lowest=-1) == (-1, 0, 3)


@given(st.lists(st.integers(0, 1 << 20), min_size=1, max_size=50))
def test_a_list_is_what_it_says(values: list[int]) -> None:
    assert numbers("-p", [",".join(map(str, values))]) == tuple(values)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 500))
def test_a_rising_range(first: int, more: int, step: int) -> None:
    values = numbers("-p", [f"{first}-{first + more}+{step}"]) if more // step < 1000 else (first,)
    assert values[0] == first
    assert all(b - a == step for a, b in pairwise(values))
    assert values[-1] <= first + more


@given(st.integers(1, 100), st.integers(0, 10_000), st.integers(2, 10))
def test_a_growing_range(first: int, more: int, factor: int) -> None:
    values = numbers("-p", [f"{first}-{first + more}*{factor}"])
    assert values == tuple(first * factor**n for n in range(len(values)))
    assert values[-1] <= first + more < first * factor ** len(values)


@given(st.text(max_size=20))
def test_any_text_is_a_list_or_a_settings_error(text: str) -> None:
    try:
        values = numbers("-p", [text], lowest=-1)
    except SettingsError:
        return
    assert values
    assert all(-1 <= value <= 1 << 20 for value in values)


@pytest.mark.parametrize(
    "text",
    ["", "a", "1,", "1-", "3-1", "1-3+0", "1-3*1", "0-8*2", "1--3", "1.5", "-2", "9999999", "1-9999", "\u0664", "1e3"],
)
def test_what_is_no_list_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        numbers("-p", [text])
    assert "-p" in caught.value.problem
    assert caught.value.advice


def test_pairs() -> None:
    assert pair("-pg", "256,64") == (256, 64)
    for text in ("256", "1,2,3", "a,b"):
        with pytest.raises(SettingsError):
            pair("-pg", text)


def test_words() -> None:
    assert words("-ctk", ["f16,q8_0", "f32"], CACHE_TYPES) == ("f16", "q8_0", "f32")
    with pytest.raises(SettingsError, match="f17"):
        words("-ctk", ["f17"], CACHE_TYPES)


@pytest.mark.parametrize(
    ("test", "name"),
    [
        (LanguageTest(256, 0, 0), "pp256"),
        (LanguageTest(0, 128, 0), "tg128"),
        (LanguageTest(256, 64, 0), "pp256+tg64"),
        (LanguageTest(0, 128, 512), "tg128 @ d512"),
    ],
)
def test_names_are_llama_bench_s(test: LanguageTest, name: str) -> None:
    assert test.name == name


def test_zero_leaves_a_test_out_and_depths_multiply() -> None:
    names = [test.name for test in language_tests([0, 8], [0], [(4, 2), (0, 0)], [0, 16])]
    assert names == ["pp8", "pp4+tg2", "pp8 @ d16", "pp4+tg2 @ d16"]


def choices(**changes: object) -> LoadChoices:
    one: dict[str, object] = {
        "n_gpu_layers": (0,),
        "n_batch": (512,),
        "n_ubatch": (512,),
        "type_k": ("f16",),
        "type_v": ("f16",),
        "flash_attention": ("auto",),
        "n_threads": (1,),
    }
    return LoadChoices(**{**one, **changes})  # type: ignore[arg-type]


def test_settings_multiply_and_threads_change_first() -> None:
    combinations = choices(n_batch=(32, 64), type_k=("f16", "q8_0"), n_threads=(1, 2)).combinations()
    found = [(one.batch_size, one.type_k, one.n_threads) for one in combinations]
    assert found == list(product((32, 64), ("f16", "q8_0"), (1, 2)))


def test_what_does_not_go_together_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(SettingsError, match="flash attention"):
        choices(type_v=("f16", "q8_0"), flash_attention=("off",)).combinations()


def test_the_default_is_the_default_of_the_product() -> None:
    (one,) = choices(n_threads=(2,)).combinations()
    assert one == LlamaCppSettings(n_threads=2, ubatch_size=512)
