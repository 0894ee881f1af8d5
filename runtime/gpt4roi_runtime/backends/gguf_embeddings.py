"""Rows of a GGUF's token embeddings, read from the file only where they are asked for; knows no engine.

The rows that llama.cpp would look up itself, bit for bit, so that a prompt can be one batch of rows.
"""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.arrays import EmbeddingRows
from gpt4roi_runtime.backends.gguf_header import BLOCKS, GgufHeader
from gpt4roi_runtime.errors import BundleError, EngineError


class TokenEmbeddings:
    """The embedding table of one file, which stays open so that replacing the file does no harm.

    Raises:
        BundleError: The file cannot be opened.
    """

    def __init__(self, path: Path, header: GgufHeader) -> None:
        place = header.token_embeddings
        _, n_weights, n_bytes = BLOCKS[place.type_number]
        self._place = place
        self._width = header.embedding_length
        self._n_rows = header.vocabulary_size
        self._row_bytes = header.embedding_length // n_weights * n_bytes
        self._path = path
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise _unreadable(path, error) from error

    def rows(self, tokens: Sequence[int]) -> EmbeddingRows:
        """Embeddings of ``tokens``, float32 ``[t d]``.

        Raises:
            EngineError: A token is outside the vocabulary, or its type cannot be unpacked.
            BundleError: The file was cut off since it was opened.
        """
        if not tokens:
            return np.empty((0, self._width), dtype=np.float32)
        packed = np.empty((len(tokens), self._row_bytes), dtype=np.uint8)
        for index, token in enumerate(tokens):
            if not 0 <= token < self._n_rows:
                raise EngineError(f"token {token} is outside the vocabulary", f"Use ids from 0 to {self._n_rows - 1}.")
            packed[index] = self._row(token)
        return self._unpacked(packed)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _row(self, token: int) -> npt.NDArray[np.uint8]:
        try:
            self._file.seek(self._place.offset_bytes + token * self._row_bytes, os.SEEK_SET)
            row = self._file.read(self._row_bytes)
        except OSError as error:
            raise _unreadable(self._path, error) from error
        if len(row) != self._row_bytes:
            raise BundleError(f"{self._path} is shorter than when it was loaded", "Fetch the bundle again.")
        return np.frombuffer(row, dtype=np.uint8)

    def _unpacked(self, packed: npt.NDArray[np.uint8]) -> EmbeddingRows:
        quants = import_quants()
        kind = importlib.import_module("gguf.constants").GGMLQuantizationType(self._place.type_number)
        try:
            unpacked = quants.dequantize(packed, kind)
        except NotImplementedError as error:
            raise EngineError(
                f"token embeddings of type {self._place.type_name} cannot be unpacked",
                "Convert the model with another type for token_embd.weight, such as Q8_0.",
            ) from error
        return np.ascontiguousarray(unpacked, dtype=np.float32).reshape(-1, self._width)


def import_quants() -> ModuleType:
    """The ``gguf`` package's arithmetic; imported late, because the package takes 55 ms."""
    return importlib.import_module("gguf.quants")


def _unreadable(path: Path, error: OSError) -> BundleError:
    return BundleError(f"cannot read {path}: {error.strerror or error}", "Fetch the bundle again.")
