"""The pieces of a ``tokenizer.model``, checked to be of the one kind that llama.cpp's tokenizer copies.

Knows nothing of tokens added later, and splits no text.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import TokenType
from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2

from gpt4roi_runtime.errors import BundleError

_PROTO: Any = sentencepiece_model_pb2  # its classes are made when it is imported
_MAX_BYTES = 16 << 20
_MAX_PIECES = 1 << 20
_MAX_PIECE_BYTES = 1 << 10
_ADVICE = "Expected the tokenizer.model of a LLaMA checkpoint; fetch it again."


@dataclass(frozen=True)
class Piece:
    """One token.

    Attributes:
        text: As it is written in the file, with ``▁`` for a space.
        score: The greater, the sooner two neighbours are joined to it.
        kind: What it is for.
    """

    text: str
    score: float
    kind: TokenType


@dataclass(frozen=True)
class SentencePieceModel:
    """What a ``tokenizer.model`` says.

    Attributes:
        pieces: Ids are positions.
        unknown: Text of what stands for the unknown.
        bos: Text of the beginning of a text, or empty.
        eos: Text of its end, or empty.
        adds_space: Whether a space is put before every text.
    """

    pieces: tuple[Piece, ...]
    unknown: str
    bos: str
    eos: str
    adds_space: bool


def read_sentencepiece_model(path: Path) -> SentencePieceModel:
    """Read and check a ``tokenizer.model``.

    Raises:
        BundleError: It is missing, damaged, or splits text in another way than LLaMA's.
    """
    content = _content(path)
    try:
        proto = _PROTO.ModelProto.FromString(content)
    except DecodeError as damaged:
        raise _wrong(path, f"it is damaged ({damaged})") from damaged
    n_pieces = len(proto.pieces)
    if not 1 <= n_pieces <= _MAX_PIECES:
        raise _wrong(path, f"it has {n_pieces} pieces, expected 1 to {_MAX_PIECES}")
    _check_kind(path, proto)
    pieces = tuple(_piece(path, number, piece) for number, piece in enumerate(proto.pieces))
    _check_pieces(path, pieces)
    trainer = proto.trainer_spec
    unknown = _text_of(path, pieces, trainer.unk_id)
    if not unknown:
        raise _wrong(path, "it has no piece for the unknown")
    return SentencePieceModel(
        pieces=pieces,
        unknown=unknown,
        bos=_text_of(path, pieces, trainer.bos_id),
        eos=_text_of(path, pieces, trainer.eos_id),
        adds_space=bool(proto.normalizer_spec.add_dummy_prefix),
    )


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as failed:
        raise BundleError(f"cannot read {path}: {failed.strerror or failed}", _ADVICE) from failed
    if len(content) > _MAX_BYTES:
        raise _wrong(path, f"it is longer than {_MAX_BYTES} bytes")
    return content


def _check_kind(path: Path, proto: Any) -> None:
    """Refuse every setting that llama.cpp would not follow."""
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    settings = (
        ("model type", trainer.model_type, trainer.BPE),
        ("byte_fallback", trainer.byte_fallback, True),
        ("treat_whitespace_as_suffix", trainer.treat_whitespace_as_suffix, False),
        ("remove_extra_whitespaces", normalizer.remove_extra_whitespaces, False),
        ("escape_whitespaces", normalizer.escape_whitespaces, True),
        ("precompiled_charsmap", normalizer.precompiled_charsmap, b""),
    )
    for name, value, expected in settings:
        if value != expected:
            raise _wrong(path, f"its {name} is {str(value)[:40]}, expected {expected!r}")


def _piece(path: Path, number: int, piece: Any) -> Piece:
    text, score = str(piece.piece), float(piece.score)
    if not 0 < len(text.encode("utf-8", "replace")) <= _MAX_PIECE_BYTES or "\0" in text:
        raise _wrong(path, f"piece {number} is {text[:40]!r}, expected 1 to {_MAX_PIECE_BYTES} bytes without NUL")
    if not math.isfinite(score):
        raise _wrong(path, f"piece {number} has the score {score}")
    try:
        return Piece(text, score, TokenType(piece.type))
    except ValueError as unknown:
        raise _wrong(path, f"piece {number} is of type {piece.type}") from unknown


def _check_pieces(path: Path, pieces: tuple[Piece, ...]) -> None:
    """Refuse what ends llama.cpp: two pieces with one text, a byte that cannot be spelled."""
    if len({piece.text for piece in pieces}) != len(pieces):
        raise _wrong(path, "two of its pieces have the same text")
    spelled = {piece.text for piece in pieces if piece.kind is TokenType.BYTE}
    if spelled != {f"<0x{byte:02X}>" for byte in range(256)}:
        raise _wrong(path, f"it has {len(spelled)} byte pieces, expected <0x00> to <0xFF>")


def _text_of(path: Path, pieces: tuple[Piece, ...], number: int) -> str:
    if number < 0:
        return ""
    if number >= len(pieces):
        raise _wrong(path, f"it names piece {number} of {len(pieces)}")
    return pieces[number].text


def _wrong(path: Path, what: str) -> BundleError:
    return BundleError(f"{path} is not a usable tokenizer: {what}", _ADVICE)
