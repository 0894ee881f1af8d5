"""Paths in files, which are plain text there; msgspec asks for help with them. Knows no file."""

from pathlib import Path
from typing import Any


def decoded(kind: type, value: Any) -> Any:
    """A path from its text.

    Raises:
        NotImplementedError: The type is another one.
        TypeError: It is no text.
    """
    if kind is not Path:
        raise NotImplementedError(f"no way to read a {kind}")
    if not isinstance(value, str):
        raise TypeError(f"expected a path, got {value!r}")
    return Path(value)


def encoded(value: Any) -> Any:
    """The text of a path.

    Raises:
        NotImplementedError: It is none.
    """
    if not isinstance(value, Path):
        raise NotImplementedError(f"no way to write a {type(value)}")
    return value.as_posix()
