"""Frames on a pipe: four bytes of length, then the content. Knows no message."""

import struct
from typing import IO

_LENGTH = struct.Struct(">I")
MAX_MESSAGE_BYTES = 16 << 20
"""Far above any question or answer."""


class BrokenWireError(Exception):
    """The other side sent something that is not a frame; the connection is of no use any more."""


class CutOffError(BrokenWireError):
    """The pipe ended inside a frame: the other side died, and did not send nonsense."""


def write_frame(sink: IO[bytes], content: bytes | memoryview) -> None:
    """Send one frame.

    Raises:
        OSError: The other side is gone.
    """
    sink.write(_LENGTH.pack(len(content)))
    sink.write(content)
    sink.flush()


def read_frame(source: IO[bytes], max_bytes: int = MAX_MESSAGE_BYTES) -> bytearray | None:
    """Receive one frame, or None where the other side has closed the pipe between two frames.

    Raises:
        BrokenWireError: The frame is too long, or ends early (CutOffError).
    """
    head = source.read(_LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size:
        raise CutOffError("the pipe ended inside a length")
    (n_bytes,) = _LENGTH.unpack(head)
    if n_bytes > max_bytes:
        raise BrokenWireError(f"a frame of {n_bytes} bytes; the most is {max_bytes}")
    content = bytearray(n_bytes)
    view, filled = memoryview(content), 0
    while filled < n_bytes:
        got = source.readinto(view[filled:])  # type: ignore[attr-defined]
        if not got:
            raise CutOffError(f"the pipe ended after {filled} of {n_bytes} bytes")
        filled += got
    return content
