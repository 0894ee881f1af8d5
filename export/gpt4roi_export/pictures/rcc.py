"""Files inside a Qt resource file (``.rcc``), looked up and unpacked in memory.

Does not know what the files are; nothing is written, so no path in the archive leads anywhere.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from gpt4roi_runtime.errors import InputError

_MAGIC = b"qres"
_VERSIONS = (1, 2, 3)
_COMPRESSED, _DIRECTORY, _ZSTANDARD = 1, 2, 4
_NODE_BYTES = {1: 14, 2: 22, 3: 22}  # from version 2 on, a node ends with its time of change
_MOST_NODES = 100_000
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class _Archive:
    """The three parts of the file, by where they begin."""

    data: bytes
    node_bytes: int
    tree: int
    contents: int
    names: int

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        if offset < 0 or offset + struct.calcsize(layout) > len(self.data):
            raise _damaged(f"offset {offset} lies beyond its {len(self.data)} bytes")
        numbers: tuple[int, ...] = struct.unpack_from(layout, self.data, offset)
        return numbers

    def slice(self, offset: int, n_bytes: int) -> bytes:
        if offset < 0 or offset + n_bytes > len(self.data):
            raise _damaged(f"{n_bytes} bytes at {offset} lie beyond its {len(self.data)} bytes")
        return self.data[offset : offset + n_bytes]


def read_rcc(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Every file of a resource file, with its path from the root (``gcompris/src/activities/a.webp``).

    Args:
        data: Content of the ``.rcc`` file, of format version 1 to 3.

    Raises:
        InputError: It is not such a file, is damaged, holds names that are no plain file names, or is compressed by
            a method other than zlib.
    """
    if data[:4] != _MAGIC:
        raise _damaged("it does not begin with 'qres'")
    if len(data) < 20:  # the header: magic and four numbers
        raise _damaged("its header is cut off")
    version, tree, contents, names = struct.unpack_from(">4I", data, 4)
    if version not in _VERSIONS:
        raise _damaged(f"its version is {version}, expected 1 to 3")
    archive = _Archive(data, _NODE_BYTES[version], tree, contents, names)
    yield from _files(archive)


def _files(archive: _Archive) -> Iterator[tuple[str, bytes]]:
    """Walks with a list of open nodes rather than by recursion; every node may be met once, so that no loop hangs."""
    waiting = [(0, "")]
    met = 0
    while waiting:
        number, folder = waiting.pop()
        met += 1
        if met > _MOST_NODES:
            raise _damaged(f"it has more than {_MOST_NODES} entries, or its folders hold each other")
        at = archive.tree + number * archive.node_bytes
        name_at, flags = archive.unpack(">IH", at)
        path = _join(folder, _name(archive, name_at)) if number else ""
        if flags & _DIRECTORY:
            count, first = archive.unpack(">II", at + 6)
            if count > _MOST_NODES or (count and first <= number):
                raise _damaged(f"folder {path!r} claims {count} entries from {first}")
            waiting.extend((child, path) for child in reversed(range(first, first + count)))
        else:
            (offset,) = archive.unpack(">I", at + 10)
            yield path, _content(archive, offset, flags)


def _name(archive: _Archive, at: int) -> str:
    (length,) = archive.unpack(">H", archive.names + at)
    name = archive.slice(archive.names + at + 6, 2 * length).decode("utf-16-be", errors="replace")
    if not name or name in (".", "..") or any(mark in name for mark in "/\\\0"):
        raise _damaged(f"{name!r} is no file name")
    return name


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _content(archive: _Archive, offset: int, flags: int) -> bytes:
    (n_bytes,) = archive.unpack(">I", archive.contents + offset)
    packed = archive.slice(archive.contents + offset + 4, n_bytes)
    if flags & _ZSTANDARD:
        raise _damaged("a file in it is compressed with Zstandard, which is not read here")
    if not flags & _COMPRESSED:
        return packed
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(packed[4:], _MOST_BYTES)  # the first four bytes repeat the length
    except zlib.error as broken:
        raise _damaged(f"a file in it cannot be inflated: {broken}") from broken
    if not inflater.eof:
        raise _damaged(f"a file in it is cut off, or larger than {_MOST_BYTES} bytes")
    return content


def _damaged(why: str) -> InputError:
    return InputError(f"the Qt resource file cannot be read: {why}", "Fetch the package again.")
