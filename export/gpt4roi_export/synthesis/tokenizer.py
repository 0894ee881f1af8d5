"""A little sentencepiece vocabulary in LLaMA's layout, written byte by byte. Knows the format, not how text is cut.

As in LLaMA: unknown, begin, end; 256 bytes; merges, best first; single characters. A word can be reached, because every
beginning of it is a piece too.
"""

import struct
from collections.abc import Iterator

_WORDS = (
    "a chat between curious human and an artificial intelligence assistant the gives helpful detailed polite answers "
    "to questions human's Human Assistant The A provides overview of picture region what is this are in image left "
    "right object color person dog cat car red green blue yes no on there it with man woman table white black two one"
)
_SPACE = "\u2581"
_N_BYTES = 256
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_BPE = 2

Piece = tuple[str, float, int]


def little_vocabulary(n_pieces: int = 0) -> list[Piece]:
    """Text, score and kind of every piece.

    Args:
        n_pieces: How many there shall be; filled up with pieces that no text is cut into. 0 for as many as it takes.
    """
    characters = [_SPACE, *(chr(code) for code in range(0x21, 0x7F)), "\u00e9", "\u4e2d"]
    begins = {_SPACE + word[:end] for word in _WORDS.split() for end in range(1, len(word) + 1)}
    merges = sorted(begins, key=lambda text: (len(text), text))
    fixed = 3 + _N_BYTES + len(characters)
    # Nothing merges into these: their beginnings are no pieces.
    filling = [f"{_SPACE}~{number:05}~" for number in range(n_pieces - fixed - len(merges))]
    scored = [(text, -float(rank), _NORMAL) for rank, text in enumerate([*merges, *filling, *characters])]
    special = [("<unk>", 0.0, _UNKNOWN), ("<s>", 0.0, _CONTROL), ("</s>", 0.0, _CONTROL)]
    return [*special, *((f"<0x{byte:02X}>", 0.0, _BYTE) for byte in range(_N_BYTES)), *scored]


def model_proto(pieces: list[Piece]) -> bytes:
    """``tokenizer.model`` with the settings that LLaMA's has: byte-pair merges, byte fallback, no normalisation."""
    trainer = b"".join(
        (
            _number(3, _BPE),
            _number(4, len(pieces)),
            _number(25, 1),  # digits apart
            _number(35, 1),  # bytes for what is unknown
            _number(40, 0),
            _number(41, 1),
            _number(42, 2),
            _number(43, -1),
        )
    )
    normaliser = _bytes(1, b"identity") + _number(3, 1) + _number(4, 0) + _number(5, 1)
    return b"".join(_pieces(pieces)) + _bytes(2, trainer) + _bytes(3, normaliser)


def _pieces(pieces: list[Piece]) -> Iterator[bytes]:
    for text, score, kind in pieces:
        score_field = _varint(2 << 3 | _FIXED32) + struct.pack("<f", score)
        yield _bytes(1, _bytes(1, text.encode()) + score_field + _number(3, kind))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value & (1 << 64) - 1)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    content = bytearray()
    while number > 0x7F:
        content.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*content, number])
