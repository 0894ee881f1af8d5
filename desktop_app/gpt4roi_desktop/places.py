"""Where the app keeps what it remembers: a session for every photo, pasted photos, the window's shape. Knows no Qt."""

from dataclasses import dataclass
from pathlib import Path

import platformdirs

from gpt4roi_desktop import preferences, session_file
from gpt4roi_desktop.preferences import Preferences
from gpt4roi_desktop.session import Session
from gpt4roi_runtime.errors import OutputError


@dataclass(frozen=True)
class Places:
    """The app's own folder; made when something is first written."""

    folder: Path

    @classmethod
    def usual(cls) -> "Places":
        """The folder of this user."""
        return cls(platformdirs.user_state_path("gpt4roi", appauthor=False))

    @property
    def settings(self) -> Path:
        """Window geometry and recent files."""
        return self.folder / "desktop.ini"

    @property
    def preferences(self) -> Path:
        """What the user chose."""
        return self.folder / "preferences.json"

    def autosaved(self, sha256: str) -> Path:
        """The session of the photo with this hash."""
        return self.folder / "sessions" / f"{sha256[:32]}{session_file.SUFFIX}"

    def pasted(self, sha256: str) -> Path:
        """A photo that came from the clipboard."""
        return self.folder / "pasted" / f"{sha256[:32]}.png"

    def frozen(self, sha256: str) -> Path:
        """A frame of the camera."""
        return self.folder / "camera" / f"{sha256[:32]}.png"

    def keep(self, session: Session) -> None:
        """Remember a session; a crash of anything loses nothing that was kept.

        Raises:
            OutputError: It cannot be written.
        """
        path = self.autosaved(session.photo.sha256)
        self.make(path.parent)
        session_file.save(path, session)

    def kept(self, sha256: str) -> Session | None:
        """What was remembered about a photo.

        Raises:
            InputError: Its file cannot be read.
        """
        path = self.autosaved(sha256)
        session = session_file.load(path) if path.is_file() else None
        return session if session is not None and session.photo.sha256 == sha256 else None

    def lay_aside(self, sha256: str) -> Path:
        """Move what cannot be read out of the way of what will be kept: somebody may mend it.

        Returns:
            Where it lies now.

        Raises:
            OutputError: It cannot be moved.
        """
        path = self.autosaved(sha256)
        aside = path.with_name(f"{path.name}.damaged")
        try:
            return path.replace(aside)
        except OSError as error:
            raise OutputError(f"cannot move {path}: {error.strerror}", "Move it yourself, or delete it.") from error

    def keep_preferences(self, chosen: Preferences) -> None:
        """Remember what the user chose.

        Raises:
            OutputError: It cannot be written.
        """
        self.make(self.folder)
        preferences.save(self.preferences, chosen)

    def make(self, folder: Path) -> None:
        """Make a folder of ours.

        Raises:
            OutputError: It cannot be made.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make {folder}: {error.strerror}", "Free some space, or make the folder yourself."
            ) from error
