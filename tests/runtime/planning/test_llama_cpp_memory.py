"""Bytes of llama.cpp's buffers, against what it reports in its log for five shapes of model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from gpt4roi_runtime.backends.gguf_header import GgufHeader
from gpt4roi_runtime.backends.llama_cpp_memory import (
    ContextSizes,
    cache_bytes,
    check_memory,
    compute_buffer_bytes,
    kept_budget,
    kv_cache_bytes,
    output_buffer_bytes,
    padded_context,
    scratch_bytes,
    vocabulary_bytes,
)
from gpt4roi_runtime.backends.llama_cpp_settings import CacheType
from gpt4roi_runtime.errors import EngineError
from gpt4roi_runtime.planning.language_file import LanguageFile, read_language_file
from tests.runtime.planning.shaped import SEVEN_BILLION, LanguageShape, write_language

MIB = 1 << 20

SHAPES = {
    "7B": SEVEN_BILLION,
    "grouped": LanguageShape(layers=4, width=1024, feed_forward=2816, heads=16, heads_kv=4, vocabulary=32000),
    "wide": LanguageShape(layers=2, width=512, feed_forward=4096, heads=8, heads_kv=8, vocabulary=1000),
    "words": LanguageShape(layers=2, width=512, feed_forward=1024, heads=8, heads_kv=2, vocabulary=128000),
    "small": LanguageShape(layers=30, width=576, feed_forward=1536, heads=9, heads_kv=3, vocabulary=49152, tied=True),
}


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LanguageFile]:
    folder = tmp_path_factory.mktemp("shapes")
    return {name: read_language_file(write_language(folder / f"{name}.gguf", shape)) for name, shape in SHAPES.items()}


def sizes(file: LanguageFile, context: int, batch: int = 512, *, fused: bool = True, **more: Any) -> ContextSizes:
    return ContextSizes(context, batch, file.feed_forward_length, fused, **more)


@dataclass(frozen=True)
class Logged:
    """`CPU compute buffer size` of llama-cpp-python 0.3.36, in MiB."""

    shape: str
    context: int
    batch: int
    fused: bool
    mib: float


LOGGED = [
    Logged("7B", 2048, 512, fused=True, mib=98.51),
    Logged("7B", 1024, 512, fused=True, mib=97.51),
    Logged("7B", 2048, 256, fused=True, mib=49.26),
    Logged("7B", 256, 512, fused=True, mib=48.38),
    Logged("7B", 2048, 512, fused=False, mib=188.01),
    Logged("7B", 1024, 512, fused=False, mib=122.01),
    Logged("7B", 2048, 256, fused=False, mib=94.0),
    Logged("grouped", 2048, 512, fused=True, mib=26.51),
    Logged("grouped", 2048, 512, fused=False, mib=79.01),
    Logged("wide", 2048, 512, fused=True, mib=30.01),
    Logged("wide", 2048, 512, fused=False, mib=43.01),
    Logged("words", 2048, 512, fused=False, mib=41.51),
    Logged("small", 2048, 512, fused=True, mib=15.51),
    Logged("small", 2048, 512, fused=False, mib=46.38),
]


@pytest.mark.parametrize("logged", LOGGED, ids=str)
def test_the_compute_buffer_is_what_llama_cpp_reports(logged: Logged, headers: dict[str, LanguageFile]) -> None:
    file = headers[logged.shape]
    predicted = compute_buffer_bytes(file.header, sizes(file, logged.context, logged.batch, fused=logged.fused))
    assert predicted / MIB == pytest.approx(logged.mib, rel=0.001)


@pytest.mark.parametrize(
    "logged",
    [Logged("words", 2048, 512, fused=True, mib=10.01), Logged("wide", 1024, 512, fused=False, mib=31.01)],
    ids=str,
)
def test_odd_shapes_are_off_by_a_quarter_at_most(logged: Logged, headers: dict[str, LanguageFile]) -> None:
    file = headers[logged.shape]
    predicted = compute_buffer_bytes(file.header, sizes(file, logged.context, logged.batch, fused=logged.fused))
    assert predicted / MIB == pytest.approx(logged.mib, rel=0.25)


@pytest.mark.parametrize(("fused", "mib"), [(False, 47.74), (True, 15.97)])
def test_sequences_side_by_side_round_a_call_s_rows_up(
    fused: bool, mib: float, headers: dict[str, LanguageFile]
) -> None:
    file = headers["small"]
    side_by_side = sizes(file, 2048, fused=fused, n_sequences=17)
    assert compute_buffer_bytes(file.header, side_by_side) / MIB == pytest.approx(mib, rel=0.002)
    assert output_buffer_bytes(file.header, side_by_side) / MIB == pytest.approx(3.19, abs=0.005)


def test_logits_of_many_sequences_can_be_the_fullest_moment(headers: dict[str, LanguageFile]) -> None:
    file = headers["words"]
    many = sizes(file, 2048, fused=False, n_sequences=512)
    assert compute_buffer_bytes(file.header, many) / MIB == pytest.approx(253.0, rel=0.001)
    assert output_buffer_bytes(file.header, many) == 512 * 128000 * 4


def test_the_cache_of_seven_billion_takes_half_a_mebibyte_a_row(language: LanguageFile) -> None:
    assert kv_cache_bytes(language.header, sizes(language, 2048)) == 1 << 30
    assert kv_cache_bytes(language.header, sizes(language, 2048, kv_type="q8_0")) == (1 << 30) * 17 // 32


def test_the_cache_of_the_small_model_is_what_llama_cpp_reports(headers: dict[str, LanguageFile]) -> None:
    file = headers["small"]
    assert kv_cache_bytes(file.header, sizes(file, 2000)) == 45 * MIB


@pytest.mark.parametrize(("asked", "made"), [(1, 256), (256, 256), (257, 512), (300, 512), (2000, 2048)])
def test_a_context_is_rounded_up(asked: int, made: int) -> None:
    assert padded_context(asked) == made


def test_unfused_attention_keeps_its_scores_once_more(language: LanguageFile) -> None:
    unfused = scratch_bytes(language.header, sizes(language, 2048, fused=False))
    assert unfused == 512 * 32 * 2048 * 2
    assert scratch_bytes(language.header, sizes(language, 2048)) == 512 * 11008 * 34 // 32 < unfused


def test_vocabularies_take_some_hundred_bytes_a_token(language: LanguageFile) -> None:
    assert 8 * MIB < vocabulary_bytes(language.header) < 20 * MIB


class TestCheckMemory:
    @staticmethod
    def free(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
        class Memory:
            available = n_bytes

        monkeypatch.setattr(psutil, "virtual_memory", Memory)

    @staticmethod
    def header(language: LanguageFile) -> GgufHeader:
        return language.header

    def test_a_model_that_fits_passes(self, monkeypatch: pytest.MonkeyPatch, language: LanguageFile) -> None:
        self.free(monkeypatch, language.header.tensor_bytes + (1 << 30))
        check_memory(language.header, 2048)

    def test_one_byte_too_little_is_refused(self, monkeypatch: pytest.MonkeyPatch, language: LanguageFile) -> None:
        self.free(monkeypatch, language.header.tensor_bytes + (1 << 30) - 1)
        with pytest.raises(EngineError, match="1024 MiB for a context of 2000 rows"):
            check_memory(language.header, 2000)

    def test_kept_images_count(self, monkeypatch: pytest.MonkeyPatch, language: LanguageFile) -> None:
        needed = language.header.tensor_bytes + (1 << 30)
        self.free(monkeypatch, needed + 64 * MIB)
        check_memory(language.header, 2048, 64 * MIB)
        with pytest.raises(EngineError, match="65 MiB for kept images"):
            check_memory(language.header, 2048, 65 * MIB)

    @pytest.mark.parametrize(("free_mib", "budget_mib"), [(-1, 0), (10, 10), (1000, 256)])
    def test_the_budget_for_them_is_what_is_free(
        self, monkeypatch: pytest.MonkeyPatch, language: LanguageFile, free_mib: int, budget_mib: int
    ) -> None:
        self.free(monkeypatch, language.header.tensor_bytes + (1 << 30) + free_mib * MIB)
        assert kept_budget(language.header, 2048, None) == budget_mib * MIB
        assert kept_budget(language.header, 2048, 7) == 7


def test_shapes_are_written_as_holes(tmp_path: Path) -> None:
    path = write_language(tmp_path / "hole.gguf", SEVEN_BILLION)
    assert path.stat().st_size > 13e9
    assert path.stat().st_blocks * 512 < 50e6


@pytest.mark.parametrize(
    ("types", "bits"),
    [
        (("f16", "f16"), 16 + 16),
        (("f32", "f16"), 32 + 16),
        (("q8_0", "f16"), 8.5 + 16),
        (("q4_0", "q5_1"), 4.5 + 6),
        (("iq4_nl", "q4_1"), 4.5 + 5),
    ],
    ids=str,
)
def test_a_cache_takes_the_bits_of_its_types(
    headers: dict[str, LanguageFile], types: tuple[CacheType, CacheType], bits: float
) -> None:
    assert cache_bytes(headers["7B"].header, 1024, types) == 32 * 32 * 128 * 1024 * bits / 8


def test_the_cache_s_types_decide_whether_it_fits(
    headers: dict[str, LanguageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    header = headers["7B"].header
    free = header.tensor_bytes + cache_bytes(header, 2048, ("q8_0", "q8_0"))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": free}))
    check_memory(header, 2048, types=("q8_0", "q8_0"))
    with pytest.raises(EngineError):
        check_memory(header, 2048)
    assert kept_budget(header, 2048, None, ("q4_0", "q4_0")) > kept_budget(header, 2048, None, ("q8_0", "q8_0")) == 0
