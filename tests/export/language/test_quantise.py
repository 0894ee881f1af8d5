"""The quantiser, its sizes and its ends; what a quantised file computes is held against the file of half floats."""

import shutil
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, LlamaFileType

from gpt4roi_export.gguf_layout import read_layout
from gpt4roi_export.language import quantise_child
from gpt4roi_export.language.aside import aside_of
from gpt4roi_export.language.f16_gguf import write_f16
from gpt4roi_export.language.quantisations import (
    BASES,
    NEED_IMPORTANCE,
    fallbacks,
    file_type,
    predicted_bytes,
    shape_of_checkpoint,
    shape_of_gguf,
    stored_types,
)
from gpt4roi_export.language.quantise import REFUSED, quantisation_for_this_machine, quantise
from gpt4roi_export.language.vocabulary import Vocabulary
from gpt4roi_export.tensors import ArraysInMemory
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp_selftest import SelfTest, Verdict
from gpt4roi_runtime.errors import BundleError, Cancelled, EngineError, OutputError, SettingsError
from tests.export.language.conftest import loaded
from tests.export.language.made import little_arrays, little_sizes, silent

TOKENS = (1, 262, 270, 280, 263, 300, 265, 290)


def logits(gguf: Path) -> np.ndarray:
    with closing(loaded(gguf)) as decoder:
        decoder.prefill(decoder.embed(TOKENS), lambda: False)
        return decoder.logits()


def in_this_process(source: Path, out: Path, quantisation: str) -> Path:
    assert quantise_child.main(source, out, int(file_type(quantisation)), 1) == 0
    return out


# --- sizes and types --------------------------------------------------------------------------------------------------


SHAPES: dict[str, dict[str, Any]] = {
    "many layers": {"n_layers": 16, "intermediate_size": 256},
    "shared heads": {"n_kv_heads": 1, "intermediate_size": 256},
    "odd widths": {"hidden_size": 96, "intermediate_size": 80, "n_heads": 2},
}


DEPEND_ON_THE_LAYER = ("Q5_K_M", "Q4_K_M", "Q4_K_S", "IQ4_NL", "Q3_K_M")


@pytest.fixture(scope="module", params=SHAPES)
def shaped(
    request: pytest.FixtureRequest, little_vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    sizes = little_sizes(**SHAPES[request.param])
    arrays = little_arrays(sizes)
    gguf = tmp_path_factory.mktemp("shaped") / "f16.gguf"
    write_f16(ArraysInMemory(arrays), sizes, little_vocabulary, gguf, silent)
    return gguf


def test_types_and_bytes_are_those_that_llama_cpp_writes(shaped: Path, tmp_path: Path) -> None:
    shape = shape_of_gguf(shaped)
    for quantisation in BASES if shape.n_layers < 16 else DEPEND_ON_THE_LAYER:
        out = in_this_process(shaped, tmp_path / "out.gguf", quantisation)
        types = {tensor.name: tensor.type_number for tensor in read_layout(out).tensors}
        assert types == stored_types(shape, quantisation), quantisation
        assert out.stat().st_size == predicted_bytes(shape, quantisation), quantisation


def test_the_shape_of_a_checkpoint_is_that_of_its_file(little_f16: Path, little_vocabulary: Vocabulary) -> None:
    planned, real = shape_of_checkpoint(little_sizes(), little_vocabulary), shape_of_gguf(little_f16)
    assert planned.tensors == real.tensors
    assert 0 <= planned.header_bytes - real.header_bytes < 1024
    assert (planned.n_layers, planned.n_heads, planned.n_heads_kv) == (real.n_layers, real.n_heads, real.n_heads_kv)


@pytest.mark.parametrize(
    ("quantisation", "gigabytes"),
    [
        ("F16", 13.48),
        ("Q8_0", 7.16),
        ("Q6_K", 5.53),
        ("Q5_K_M", 4.78),
        ("Q4_K_M", 4.08),
        ("Q4_0", 3.83),
        ("Q2_K", 2.53),
    ],
)
def test_sizes_of_7b(quantisation: str, gigabytes: float, llama_vocabulary: Vocabulary) -> None:
    sizes = little_sizes(
        hidden_size=4096,
        intermediate_size=11008,
        n_layers=32,
        n_heads=32,
        vocabulary_size=len(llama_vocabulary.tokens),
    )
    shape = shape_of_checkpoint(sizes, llama_vocabulary)
    assert predicted_bytes(shape, quantisation) / 1e9 == pytest.approx(gigabytes, abs=0.006)
    assert fallbacks(shape, quantisation) == ()


# --- quantising -------------------------------------------------------------------------------------------------------


def test_a_quantised_file_runs_and_says_nearly_the_same(little_f16: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    done = quantise(little_f16, out, "Q8_0", 1, silent)
    assert (done.quantisation, done.size_bytes, done.fallbacks) == ("Q8_0", out.stat().st_size, ())
    header = inspect_gguf(out)
    assert (header.quantisation, header.name) == ("Q8_0", "GPT4RoI")
    assert GGUFReader(out).fields["general.file_type"].contents() == LlamaFileType.MOSTLY_Q8_0
    exact, rounded = logits(little_f16), logits(out)
    assert 0 < np.abs(exact - rounded).max() < 0.05 * np.ptp(exact)
    assert int(exact.argmax()) == int(rounded.argmax())


def test_threads_do_not_matter(little_f16: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "one.gguf", tmp_path / "three.gguf"]
    for path, threads in zip(paths, (1, 3), strict=True):
        quantise(little_f16, path, "Q4_K_M", threads, silent)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_it_may_be_written_over_its_source_and_over_a_killed_runs_rest(little_f16: Path, tmp_path: Path) -> None:
    gguf = tmp_path / "llm.gguf"
    shutil.copy(little_f16, gguf)
    aside_of(gguf).write_bytes(b"x" * 10_000_000)
    quantise(gguf, gguf, "Q4_0", 1, silent)
    assert inspect_gguf(gguf).quantisation == "Q4_0"
    assert [path.name for path in tmp_path.iterdir()] == ["llm.gguf"]


def test_widths_that_do_not_fit_are_told(little_vocabulary: Vocabulary, tmp_path: Path) -> None:
    sizes = little_sizes(hidden_size=96, intermediate_size=256, n_heads=2)
    source = tmp_path / "f16.gguf"
    write_f16(ArraysInMemory(little_arrays(sizes)), sizes, little_vocabulary, source, silent)
    done = quantise(source, tmp_path / "out.gguf", "Q4_K_S", 1, silent)
    assert "blk.0.attn_q.weight" in done.fallbacks
    assert "blk.0.ffn_down.weight" not in done.fallbacks


def test_auto_is_what_suits_the_machine(little_f16: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SelfTest, "verdict", lambda _self: Verdict(repack_works=False))
    assert quantise(little_f16, tmp_path / "out.gguf", "auto", 1, silent).quantisation == "Q4_K_M"


@pytest.mark.parametrize(
    ("system", "repack_works", "quantisation"),
    [
        ("CPU : AVX2 = 1 | AVX512 = 1 | REPACK = 1 |", True, "Q4_K_M"),
        ("CPU : AVX512 = 1 | AMX_INT8 = 1 | REPACK = 1 |", True, "Q4_0"),
        ("CPU : AVX512 = 1 | AMX_INT8 = 1 | REPACK = 1 |", False, "Q4_K_M"),
        ("CPU : NEON = 1 | ARM_FMA = 1 | DOTPROD = 1 |", True, "Q4_0"),
    ],
)
def test_machines(system: str, repack_works: bool, quantisation: str) -> None:
    assert quantisation_for_this_machine(system, repack_works=repack_works) == quantisation


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantisation", ["Q4_K_XXL", "", "q4_0", "F32"])
def test_an_unknown_quantisation(quantisation: str, little_f16: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown"):
        quantise(little_f16, tmp_path / "out.gguf", quantisation, 1, silent)


@pytest.mark.parametrize("quantisation", NEED_IMPORTANCE)
def test_a_quantisation_that_needs_an_importance_matrix(quantisation: str, little_f16: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"needs an importance matrix.*\n.*smallest is Q2_K"):
        quantise(little_f16, tmp_path / "out.gguf", quantisation, 1, silent)


def test_weights_are_not_rounded_twice(little_f16: Path, tmp_path: Path) -> None:
    coarse = in_this_process(little_f16, tmp_path / "coarse.gguf", "Q4_0")
    with pytest.raises(BundleError, match=r"stores .* as Q\w+; quantised again, it would be rounded twice"):
        quantise(coarse, tmp_path / "out.gguf", "Q8_0", 1, silent)


def test_a_source_that_is_none(tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    source.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(BundleError, match="not a usable GGUF"):
        quantise(source, tmp_path / "out.gguf", "Q8_0", 1, silent)


def test_too_small_a_disk_is_told_first(little_f16: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1_000_000))
    with pytest.raises(OutputError, match=r"will take 0\.00 GB"):
        quantise(little_f16, tmp_path / "out.gguf", "Q8_0", 1, silent, child=(sys.executable, "-c", "assert False"))


# --- how the child may end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("import os; os.abort()", EngineError, "quantiser died by signal 6"),
        ("raise SystemExit('boom')", EngineError, "quantiser ended with exit status 1: boom"),
        (f"import sys; print('no', file=sys.stderr); sys.exit({REFUSED})", EngineError, "could not quantise: no"),
        (
            f"import sys; print('basic_ios::clear: iostream error', file=sys.stderr); sys.exit({REFUSED})",
            OutputError,
            "cannot write",
        ),
    ],
)
def test_an_unhappy_child(code: str, error: type[Exception], words: str, little_f16: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    out.write_bytes(b"older")
    with pytest.raises(error, match=words):
        quantise(little_f16, out, "Q8_0", 1, silent, child=(sys.executable, "-c", code))
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]
    assert out.read_bytes() == b"older"


def test_progress_is_the_share_that_was_written_and_cancel_ends_the_child(little_f16: Path, tmp_path: Path) -> None:
    out, shares = tmp_path / "out.gguf", []
    code = "import sys, time; open(sys.argv[2], 'wb').write(bytes(1 << 20)); time.sleep(60)"

    def is_half_way() -> bool:
        return shares[-1] > 0

    with pytest.raises(Cancelled):
        quantise(
            little_f16,
            out,
            "Q8_0",
            1,
            lambda _doing, share: shares.append(share),
            cancel=is_half_way,
            child=(sys.executable, "-c", code),
        )
    assert shares[-1] == pytest.approx((1 << 20) / predicted_bytes(shape_of_gguf(little_f16), "Q8_0"))
    assert not list(tmp_path.iterdir())


def test_the_childs_own_words_when_llama_cpp_says_no(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert quantise_child.main(tmp_path / "none.gguf", tmp_path / "out.gguf", 7, 1) == REFUSED
    printed = capfd.readouterr()
    assert "none.gguf" in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full disk to offer")
def test_a_disk_that_fills_up(little_f16: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    assert quantise_child.main(little_f16, tmp_path / "full", 7, 1) == REFUSED
    assert "iostream error" in capfd.readouterr().err
