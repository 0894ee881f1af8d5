"""The tokenizer's files of a release: which there are, how many pieces, which tokens were added with which ids.

Counts pieces without reading them: what they are, and how text becomes tokens, is the language room's affair.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpt4roi_export.released.configs import read_json
from gpt4roi_export.tensor_files.tensor_file import unreadable
from gpt4roi_runtime.errors import BundleError

MODEL_NAME = "tokenizer.model"
ADDED_NAME = "added_tokens.json"
CONFIG_NAME = "tokenizer_config.json"
_OTHER_NAMES = ("special_tokens_map.json",)
MAX_MODEL_BYTES = 16 << 20
_PIECE_FIELD = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}


@dataclass(frozen=True)
class TokenizerFiles:
    """A release's tokenizer.

    Attributes:
        model: The sentencepiece file, or ``None`` where there is none.
        n_pieces: Pieces in it; 0 without a file.
        added_tokens: Tokens behind the pieces, with their ids, in the order of the ids.
        files: All files that were found.
    """

    model: Path | None
    n_pieces: int
    added_tokens: Mapping[str, int]
    files: tuple[Path, ...]


class _Added(msgspec.Struct):
    """One entry of ``added_tokens_decoder``."""

    content: str


class _TokenizerConfig(msgspec.Struct):
    """What matters of ``tokenizer_config.json``; files older than 2023-08 have nothing of it."""

    added_tokens_decoder: dict[str, _Added] = {}


def read_tokenizer_files(folder: Path) -> TokenizerFiles:
    """Look for a tokenizer.

    Raises:
        BundleError: A file is damaged, or two added tokens have one id.
    """
    model = folder / MODEL_NAME
    n_pieces = count_pieces(model) if model.is_file() else 0
    names = (MODEL_NAME, ADDED_NAME, CONFIG_NAME, *_OTHER_NAMES)
    files = tuple(folder / name for name in names if (folder / name).is_file())
    added = {token: number for token, number in _listed(folder).items() if number >= n_pieces}
    if len(set(added.values())) != len(added):
        raise BundleError(f"{folder}: two added tokens have the same id: {added}", "Fetch the tokenizer again.")
    ordered = dict(sorted(added.items(), key=lambda item: item[1]))
    return TokenizerFiles(model if n_pieces else None, n_pieces, ordered, files)


def _listed(folder: Path) -> dict[str, int]:
    """Added tokens by the older file; where it is missing, by the newer."""
    path = folder / ADDED_NAME
    if path.is_file():
        return read_json(path, msgspec.json.Decoder(dict[str, int]))
    path = folder / CONFIG_NAME
    if not path.is_file():
        return {}
    entries = read_json(path, msgspec.json.Decoder(_TokenizerConfig)).added_tokens_decoder
    if not all(number.isdecimal() and len(number) < 10 for number in entries):
        raise BundleError(f"{path}: ids that are no numbers in added_tokens_decoder", "Fetch the file again.")
    return {entry.content: int(number) for number, entry in entries.items()}


def count_pieces(model: Path) -> int:
    """Pieces of a sentencepiece model.

    Raises:
        BundleError: The file is no such model.
    """
    try:
        with model.open("rb") as file:
            content = file.read(MAX_MODEL_BYTES + 1)
    except OSError as failed:
        raise unreadable(model, failed) from failed
    n_pieces = 0 if len(content) > MAX_MODEL_BYTES else sum(field == _PIECE_FIELD for field in _fields(content, model))
    if not n_pieces:
        raise _no_model(model)
    return n_pieces


def _fields(content: bytes, model: Path) -> Iterator[int]:
    """Numbers of the outermost fields of a protobuf message."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at, model)
        kind = key & 7
        if kind == _VARINT:
            _, at = _varint(content, at, model)
        elif kind == _BYTES:
            n_bytes, at = _varint(content, at, model)
            at += n_bytes
        elif kind in _FIXED_BYTES:
            at += _FIXED_BYTES[kind]
        else:
            raise _no_model(model)
        if at > len(content):
            raise _no_model(model)
        yield key >> 3


def _varint(content: bytes, at: int, model: Path) -> tuple[int, int]:
    """A number and where the next byte is."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            break
        number |= (content[at] & 0x7F) << shift
        at += 1
        if not content[at - 1] & 0x80:
            return number, at
    raise _no_model(model)


def _no_model(model: Path) -> BundleError:
    return BundleError(f"{model} is no sentencepiece model", "Fetch it again; LLaMA's is 499723 bytes long.")
