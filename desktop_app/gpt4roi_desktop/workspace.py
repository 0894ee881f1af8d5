"""What lies open before a person: a photo, its session, their preferences, a notice. Tells whoever shows it of changes.

Knows no model and no file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.session import Session
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import Gpt4RoiError

Change = Literal["session", "photo", "status", "proposals", "notice", "sight", "preferences"]
Remedy = Literal["", "restart", "choose_model"]


@dataclass(frozen=True)
class Notice:
    """Something to tell in the window: what, what to do, and the button that does it."""

    problem: str
    advice: str = ""
    remedy: Remedy = ""


class Workspace:
    """One window's things.

    Args:
        preferences: What the user chose for good.
        notify: Hears what is new.

    Attributes:
        session: The photo that is open and all about it, or None.
        pixels: Of that photo, uint8 ``[h w 3]``.
        preferences: What the user chose for good.
        notice: What to tell, or None.
        notify: Hears what is new.
    """

    def __init__(self, preferences: Preferences, notify: Callable[[Change], None]) -> None:
        self.session: Session | None = None
        self.pixels: RgbImage | None = None
        self.preferences = preferences
        self.notice: Notice | None = None
        self.notify = notify

    def lay_out(self, session: Session, pixels: RgbImage) -> None:
        """Another photo, uint8 ``[h w 3]``, and all about it; whoever does this tells of it, once all is in place."""
        self.session, self.pixels = session, pixels

    def replace(self, session: Session) -> None:
        """Another state of the session, as made by ``edits`` or ``talk``."""
        if session is not self.session:
            self.session = session
            self.notify("session")

    def tell(self, notice: Notice | None) -> None:
        """Show a notice, or take it away."""
        if notice != self.notice:
            self.notice = notice
            self.notify("notice")

    def complain(self, error: Gpt4RoiError) -> None:
        """Show what went wrong."""
        self.tell(Notice(error.problem, error.advice))
