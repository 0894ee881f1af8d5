"""Rows of the embedding table, read singly, against the whole table."""

from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from gpt4roi_runtime.backends.gguf_embeddings import TokenEmbeddings
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.errors import BundleError, EngineError
from tests.helpers.tiny_gguf import WIDTH, truncated, vocabulary, write_tiny_gguf


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_1", "Q8_0"])
def test_rows_are_those_of_the_whole_table(tmp_path: Path, kind: str) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", embedding_type=GGMLQuantizationType[kind])
    tensor = next(one for one in gguf.GGUFReader(path).tensors if one.name == "token_embd.weight")
    table = quants.dequantize(tensor.data, tensor.tensor_type)
    embeddings = TokenEmbeddings(path, inspect_gguf(path))
    tokens = [5, 0, len(vocabulary()) - 1, 5]
    rows = embeddings.rows(tokens)
    embeddings.close()
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, table[tokens])


def test_no_tokens_are_no_rows(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    embeddings = TokenEmbeddings(path, inspect_gguf(path))
    assert embeddings.rows([]).shape == (0, WIDTH)
    embeddings.close()


@pytest.mark.parametrize("token", [-1, len(vocabulary())])
def test_a_token_outside_the_vocabulary_is_refused(tmp_path: Path, token: int) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    embeddings = TokenEmbeddings(path, inspect_gguf(path))
    with pytest.raises(EngineError, match=f"token {token} is outside"):
        embeddings.rows([1, token])
    embeddings.close()


def test_a_file_cut_since_its_header_was_read_is_an_error(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    header = inspect_gguf(path)
    embeddings = TokenEmbeddings(
        truncated(path, path.stat().st_size - header.token_embeddings.offset_bytes - 10), header
    )
    with pytest.raises(BundleError, match="shorter"):
        embeddings.rows([1])
    embeddings.close()
