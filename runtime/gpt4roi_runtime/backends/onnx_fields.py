"""The fields of an ONNX file's messages by number, every length held against the file before it is believed.

ONNX files are protobuf; its wire format is all that this reads. Knows no message and what none of them means.
"""

import mmap
from collections.abc import Iterator, Sequence

Span = tuple[int, int]
"""Where the bytes of a message, a text or a list begin and end."""

Field = tuple[int, int | Span]
"""Number of a field, and its value: a whole number, or where its bytes are."""

_MAX_FIELDS = 2_000_000  # a graph of ours has some thousands; a hostile file could hold one in every two bytes
_MAX_VARINT_BITS = 70


class FieldReader:
    """Reads fields of one file, and counts them.

    Args:
        data: The file.
    """

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._n_fields = 0

    @property
    def whole(self) -> Span:
        """The file's own message."""
        return 0, len(self._data)

    def fields(self, span: Span) -> Iterator[Field]:
        """Every field of a message but those of fixed width, which nothing here needs.

        Raises:
            ValueError: It is no message, or the file has too many fields.
        """
        position, end = span
        while position < end:
            self._n_fields += 1
            if self._n_fields > _MAX_FIELDS:
                raise ValueError(f"more than {_MAX_FIELDS:,} fields")
            key, position = self._varint(position, end)
            match key & 7:
                case 2:
                    size, position = self._varint(position, end)
                    if size > end - position:
                        raise ValueError(f"a field of {size:,} bytes where {end - position:,} are left")
                    yield key >> 3, (position, position + size)
                    position += size
                case 0:
                    value, position = self._varint(position, end)
                    yield key >> 3, value
                case 1:
                    position += 8
                case 5:
                    position += 4
                case wire_type:
                    raise ValueError(f"wire type {wire_type} at byte {position:,}")

    def messages(self, span: Span, *path: int) -> Iterator[Span]:
        """Every message found by going down from one through fields of these numbers."""
        if not path:
            yield span
            return
        for number, value in self.fields(span):
            if number == path[0] and isinstance(value, tuple):
                yield from self.messages(value, *path[1:])

    def content(self, span: Span) -> bytes:
        """The bytes themselves."""
        return self._data[slice(*span)]

    def text(self, span: Span) -> str:
        """The bytes as a person would read them."""
        return self.content(span).decode("utf-8", "replace")

    def numbers(self, value: int | Span) -> Sequence[int]:
        """One signed whole number, or a run of them written together."""
        if isinstance(value, int):
            return [_signed(value)]
        position, end = value
        numbers = []
        while position < end:
            number, position = self._varint(position, end)
            numbers.append(_signed(number))
        return numbers

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """A number of variable length, and where it ends."""
        value = 0
        for shift in range(0, _MAX_VARINT_BITS, 7):
            if position >= end:
                break
            byte = self._data[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, position
        raise ValueError(f"no number at byte {position:,}")


def _signed(value: int) -> int:
    """A 64-bit number as it was meant."""
    return value - (1 << 64) if value >= 1 << 63 else value
