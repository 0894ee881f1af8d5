import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gpt4roi_export.language.f16_gguf import write_f16
from gpt4roi_export.language.vocabulary import Vocabulary, read_vocabulary
from gpt4roi_export.tensors import ArraysInMemory
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from tests.export.language.made import N_ROWS, little_arrays, little_sizes, silent, write_tokenizer

N_LLAMA_ROWS = 32008
"""LLaMA's 32000 pieces, the five added tokens, three rows of padding."""


def loaded(gguf: Path) -> LlamaCppDecoder:
    """The file in llama.cpp, in the plain arithmetic that differs least from torch's."""
    settings = LlamaCppSettings(context_length=256, n_threads=1, repack="off")
    return LlamaCppDecoder.load(gguf, inspect_gguf(gguf), settings)


@pytest.fixture(scope="session")
def tokens_dir(golden_dir: Path) -> Path:
    """LLaMA's vocabulary, and what the authors' tokenizer makes of many texts."""
    return golden_dir / "tokens"


@pytest.fixture(scope="session")
def golden_ids(tokens_dir: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((tokens_dir / "ids.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="session")
def llama_vocabulary(
    tokens_dir: Path, golden_ids: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Vocabulary:
    folder = tmp_path_factory.mktemp("tokenizer")
    shutil.copy(tokens_dir / "tokenizer.model", folder)
    (folder / "added_tokens.json").write_text(json.dumps(golden_ids["added"]), encoding="utf-8")
    return read_vocabulary(folder, N_LLAMA_ROWS)


@pytest.fixture(scope="session")
def llama_tokenizer(
    llama_vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LlamaCppDecoder]:
    """LLaMA's whole vocabulary on a network of one layer, 32 wide."""
    sizes = little_sizes(
        hidden_size=32,
        intermediate_size=32,
        n_layers=1,
        n_heads=1,
        vocabulary_size=N_LLAMA_ROWS,
    )
    gguf = tmp_path_factory.mktemp("llama") / "tokenizer.gguf"
    write_f16(ArraysInMemory(little_arrays(sizes)), sizes, llama_vocabulary, gguf, silent)
    with closing(loaded(gguf)) as decoder:
        yield decoder


@pytest.fixture(scope="session")
def little_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return read_vocabulary(write_tokenizer(tmp_path_factory.mktemp("little")), N_ROWS)


@pytest.fixture(scope="session")
def little_f16(little_vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = little_sizes()
    gguf = tmp_path_factory.mktemp("little") / "f16.gguf"
    write_f16(ArraysInMemory(little_arrays(sizes)), sizes, little_vocabulary, gguf, silent)
    return gguf
