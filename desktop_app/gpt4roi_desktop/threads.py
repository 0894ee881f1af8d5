"""How work leaves the window's thread and comes back, as a promise. Knows no thread of its own."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from gpt4roi_runtime.errors import Gpt4RoiError

T = TypeVar("T")


class Threads(Protocol):
    """What the window's ``Bridge`` keeps."""

    def post(self, call: Callable[[], None]) -> None:
        """Run a call on the window's thread, soon; may be used from any thread."""

    def aside(self, work: Callable[[], T], then: Callable[[T], None], failed: Callable[[Gpt4RoiError], None]) -> None:
        """Run ``work`` on another thread, then ``then`` or ``failed`` on the window's."""
