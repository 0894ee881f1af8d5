"""Hands what a loading engine frees back to the system: glibc keeps it for the process otherwise."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of settings in glibc's malloc.h."""
_LEAST_BYTES, _MOST_BYTES = 64 << 10, 32 << 20


@contextmanager
def giving_back() -> Iterator[None]:
    """Have what is freed meanwhile go back at once, and what was freed before too; with glibc only.

    A graph's weights are read, laid out anew and freed while it loads. glibc maps a large block by itself, but what is
    large it raises up to 32 MiB as such blocks are freed, and smaller ones stay in a heap where later weights find no
    room: nearly three times the weights where their layout changes twice. So every block from 64 KiB on is mapped here.
    Afterwards it is those 32 MiB again, which they come to in any process that frees arrays.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    _set_from(libc, _LEAST_BYTES)
    try:
        yield
    finally:
        _set_from(libc, _MOST_BYTES)


def _set_from(libc: Any, n_bytes: int) -> None:
    """Map blocks from this size on by themselves, keep twice as much at the heap's end (glibc's ratio), and tidy up."""
    libc.mallopt(_MMAP_THRESHOLD, n_bytes)
    libc.mallopt(_TRIM_THRESHOLD, 2 * n_bytes)
    libc.malloc_trim(ctypes.c_size_t(0))


def _glibc() -> Any:
    """The C library, or ``None`` where it is another one."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
