"""One file of tensors in any of the formats that checkpoints come in, written piece by piece.

Holds one piece in memory; does not know where the numbers come from.
"""

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from gpt4roi_export.synthesis.torch_pickle import LEGACY_HEAD, Entry, state_dict_pickle, storage_keys_pickle
from gpt4roi_export.tensors import Array

FileFormat = Literal["torch", "torch-legacy", "safetensors"]
Pieces = Callable[[Entry], Iterator[Array]]
_SAFETENSORS_WORDS = {"float16": "F16", "float32": "F32", "int64": "I64"}
_ALIGNMENT = 8


def write_shard(path: Path, entries: Sequence[Entry], pieces: Pieces, file_format: FileFormat) -> None:
    """Write a file.

    Args:
        path: The new file.
        entries: Its tensors, in order.
        pieces: Numbers of a tensor, in C order and in its dtype.
        file_format: ``torch`` is the zip of torch >= 1.6.
    """
    with path.open("xb") as file:
        if file_format == "torch":
            _write_zip(file, entries, pieces)
        elif file_format == "torch-legacy":
            _write_legacy(file, entries, pieces)
        else:
            _write_safetensors(file, entries, pieces)


def size_bytes(entry: Entry) -> int:
    """Bytes of a tensor's numbers."""
    return entry.n_numbers * np.dtype(entry.dtype).itemsize


def _write_zip(file: BinaryIO, entries: Sequence[Entry], pieces: Pieces) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(_member("data.pkl"), state_dict_pickle(entries, is_legacy=False))
        archive.writestr(_member("byteorder"), b"little")
        for key, entry in enumerate(entries):
            member = _member(f"data/{key}")
            member.file_size = size_bytes(entry)
            with archive.open(member, "w") as numbers:
                for piece in pieces(entry):
                    numbers.write(piece.view(np.uint8).data)
        archive.writestr(_member("version"), b"3\n")


def _member(name: str) -> zipfile.ZipInfo:
    """Stored, and dated like every other file of this kind, so that the bytes do not depend on the day."""
    return zipfile.ZipInfo(f"archive/{name}", date_time=(1980, 1, 1, 0, 0, 0))


def _write_legacy(file: BinaryIO, entries: Sequence[Entry], pieces: Pieces) -> None:
    file.write(LEGACY_HEAD + state_dict_pickle(entries, is_legacy=True) + storage_keys_pickle(len(entries)))
    for entry in entries:
        file.write(entry.n_numbers.to_bytes(8, "little"))
        _write_numbers(file, entry, pieces)


def _write_safetensors(file: BinaryIO, entries: Sequence[Entry], pieces: Pieces) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for entry in entries:
        begin, end = end, end + size_bytes(entry)
        word = _SAFETENSORS_WORDS[entry.dtype]
        header[entry.name] = {"dtype": word, "shape": entry.shape, "data_offsets": [begin, end]}
    content = json.dumps(header, separators=(",", ":")).encode()
    content += b" " * (-len(content) % _ALIGNMENT)
    file.write(len(content).to_bytes(8, "little") + content)
    for entry in entries:
        _write_numbers(file, entry, pieces)


def _write_numbers(file: BinaryIO, entry: Entry, pieces: Pieces) -> None:
    file.writelines(piece.view(np.uint8).data for piece in pieces(entry))
