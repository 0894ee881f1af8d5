"""Token bytes -> text that is never taken back: whole characters, no stop string, no lead; knows no token.

Definition, for the whole of an answer's bytes: decode them as UTF-8, with U+FFFD for what is not; cut at the first
place where a stop string begins; if the rest begins with the lead, after white space or none, cut that too; cut the
white space at both ends. ``AnswerText`` gives the same text in pieces, each as early as it is certain.
"""

import codecs
from collections.abc import Sequence

from gpt4roi_runtime.errors import SettingsError


class AnswerText:
    """The text of one answer as it grows.

    Args:
        stop: Strings that end the answer and are not part of it.
        lead: First words that the model writes by itself and that are cut off, or an empty string. Its white space at
            either end does not count: ``"Assistant: "`` is also cut from ``" Assistant:red"``.
        begun: Whether words of the answer already stand before this text, so that its first white space counts.

    Raises:
        SettingsError: A stop string is empty.
    """

    def __init__(self, stop: Sequence[str] = (), lead: str = "", *, begun: bool = False) -> None:
        if "" in stop:
            raise SettingsError("a stop string is empty", "It would end every answer at once; leave it out.")
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._until_stop = _UntilStop(tuple(stop))
        self._after_lead = _AfterLead(lead.strip())
        self._between_spaces = _BetweenSpaces(begun=begun)

    @property
    def stopped(self) -> bool:
        """Whether a stop string came; nothing fed after it counts."""
        return self._until_stop.stopped

    def feed(self, data: bytes) -> str:
        """Take the bytes of one token; returns the text that is certain now, often empty."""
        return self._grow(self._decode(data), ended=False)

    def finish(self) -> str:
        """The rest of the text, when no token follows."""
        return self._grow(self._decode(b"", final=True), ended=True)

    def _grow(self, new: str, *, ended: bool) -> str:
        text = self._until_stop.grow(new, ended=ended)
        return self._between_spaces.grow(self._after_lead.grow(text, ended=ended or self.stopped))


class _UntilStop:
    """Text up to the first stop string; holds back the tail that could still become one."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._held = ""
        self.stopped = False

    def grow(self, new: str, *, ended: bool) -> str:
        if self.stopped:
            return ""
        self._held += new
        first = min((place for place in map(self._held.find, self._stop) if place >= 0), default=None)
        tail = len(self._held) - (0 if ended else max((_overlap(self._held, stop) for stop in self._stop), default=0))
        # A tail before the found string waits: a longer stop string may have begun there.
        self.stopped = first is not None and first <= tail
        certain = first if first is not None and self.stopped else tail
        text, self._held = self._held[:certain], self._held[certain:]
        return text


class _AfterLead:
    """Text without the lead at its front; holds back a front that could still become it."""

    def __init__(self, lead: str) -> None:
        self._lead = lead
        self._front: str | None = "" if lead else None  # None when the front has been dealt with

    def grow(self, new: str, *, ended: bool) -> str:
        if self._front is None:
            return new
        front = self._front + new
        words = front.lstrip()
        if words.startswith(self._lead):
            self._front = None
            return words[len(self._lead) :]
        if self._lead.startswith(words) and not ended:
            self._front = front
            return ""
        self._front = None
        return front


class _BetweenSpaces:
    """Text without white space at its ends; holds white space back until something follows it."""

    def __init__(self, *, begun: bool) -> None:
        self._begun = begun
        self._held = ""

    def grow(self, new: str) -> str:
        text = self._held + new
        if not self._begun:
            text = text.lstrip()
        words = text.rstrip()
        self._held = text[len(words) :]
        self._begun = self._begun or bool(words)
        return words


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that is a beginning, but not the whole, of ``stop``."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[-length:]):
            return length
    return 0
