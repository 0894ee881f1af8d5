"""Bytes of a GGUF by layer and type, and what it would weigh in other types, against files that llama.cpp made."""

from pathlib import Path

import pytest
from gguf import GGMLQuantizationType

from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.planning.language_file import QUANTISATIONS, LanguageFile, layer_of, read_language_file
from tests.helpers.tiny_gguf import HIDDEN, write_tiny_gguf
from tests.runtime.planning.shaped import LanguageShape, write_language


def test_layers_embeddings_and_output_are_the_whole_file(language: LanguageFile) -> None:
    assert len(language.layer_bytes()) == 32
    assert len(set(language.layer_bytes())) == 1
    whole = sum(language.layer_bytes()) + language.embedding_bytes + language.output_bytes
    assert whole == language.header.tensor_bytes
    assert sum(language.bytes_by_type().values()) == whole
    assert list(language.bytes_by_type()) == ["F16", "F32"]
    assert language.feed_forward_length == 11008
    assert not language.tied


@pytest.mark.parametrize(("quantisation", "gigabytes"), [("Q8_0", 7.161), ("Q4_K_M", 4.081), ("Q4_0", 3.826)])
def test_predicted_sizes_are_those_of_files_that_were_quantised(
    language: LanguageFile, quantisation: str, gigabytes: float
) -> None:
    assert language.quantised_bytes(quantisation) / 1e9 == pytest.approx(gigabytes, abs=0.0015)


def test_types_are_in_order_of_size(language: LanguageFile) -> None:
    sizes = [language.quantised_bytes(name) for name in QUANTISATIONS]
    assert sizes == sorted(sizes, reverse=True)


def test_a_tied_matrix_is_counted_once_and_quantised_as_an_output(tmp_path: Path) -> None:
    shape = LanguageShape(layers=2, width=512, feed_forward=1024, heads=8, heads_kv=2, vocabulary=3000, tied=True)
    tied = read_language_file(write_language(tmp_path / "tied.gguf", shape))
    assert tied.tied
    assert sum(tied.layer_bytes()) + tied.output_bytes == tied.header.tensor_bytes
    table = 512 * 3000 // 256 * 210
    norms = 5 * 512 * 4
    matrices = sum(tied.layer_bytes()) - 4 * 512 * 4
    assert tied.quantised_bytes("Q4_0") == table + norms + matrices // 2 // 32 * 18


def test_rows_that_no_block_divides_take_a_wider_type(tmp_path: Path) -> None:
    shape = LanguageShape(layers=1, width=96, feed_forward=96, heads=2, heads_kv=2, vocabulary=300)
    narrow = read_language_file(write_language(tmp_path / "narrow.gguf", shape))
    assert narrow.quantised_bytes("Q6_K") == narrow.quantised_bytes("Q8_0")
    assert narrow.quantised_bytes("Q4_K_M") > narrow.quantised_bytes("Q4_0")


def test_the_tiny_model_of_other_tests(tmp_path: Path) -> None:
    file = read_language_file(write_tiny_gguf(tmp_path / "tiny.gguf"))
    assert file.feed_forward_length == HIDDEN
    assert len(file.header.tensors) == 3 + 2 * 9


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "llm.gguf"
    with pytest.raises(BundleError, match=r"llm\.gguf"):
        read_language_file(path)
    path.write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(BundleError, match="version"):
        read_language_file(path)


def test_a_llama_without_feed_forward_is_refused(tmp_path: Path) -> None:
    shape = LanguageShape(layers=0, width=64, feed_forward=64, heads=2, heads_kv=2, vocabulary=300)
    path = write_language(tmp_path / "headless.gguf", shape, GGMLQuantizationType.F16)
    with pytest.raises(BundleError):
        read_language_file(path)


def test_numbers_of_layers() -> None:
    assert layer_of("blk.31.ffn_up.weight") == 31
    assert layer_of("output.weight") is None
    assert layer_of("blk.x.weight") is None
