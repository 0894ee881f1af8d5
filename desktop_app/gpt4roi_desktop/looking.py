"""Keeps what the model sees up to date, as long as somebody looks. Knows no Qt and no panel."""

from collections.abc import Callable
from pathlib import Path

from gpt4roi_desktop import sight
from gpt4roi_desktop.session import Photo
from gpt4roi_desktop.sight import Grid, Sight
from gpt4roi_desktop.threads import Threads
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.bundle.manifest import Manifest
from gpt4roi_runtime.errors import Gpt4RoiError


class Looking:
    """The model's sight of the photo that is open.

    Args:
        threads: How to leave this thread.
        changed: Called when there is something new to see.

    Attributes:
        manifest: Of the bundle that is open, or None.
        sight: What it sees of the photo, or None while nobody looks or nothing is known.
        problem: Why there is none, where there should be one.
    """

    def __init__(self, threads: Threads, changed: Callable[[], None]) -> None:
        self.manifest: Manifest | None = None
        self.sight: Sight | None = None
        self.problem = ""
        self._threads = threads
        self._changed = changed
        self._photo: Photo | None = None
        self._pixels: RgbImage | None = None
        self._watched = False
        self._n_asked = 0

    @property
    def grid(self) -> Grid | None:
        """How finely the bundle looks; known without looking."""
        return None if self.manifest is None else sight.grid_of(self.manifest)

    def open_bundle(self, folder: Path) -> None:
        """Read a bundle's manifest aside; one that cannot be read is the model's process' to complain of."""
        self.manifest, self.sight = None, None

        def then(manifest: Manifest) -> None:
            self.manifest = manifest
            self._forget()

        self._threads.aside(lambda: open_bundle(folder).manifest, then, lambda _: self._changed())

    def open_photo(self, photo: Photo, pixels: RgbImage) -> None:
        """Another photo."""
        self._photo, self._pixels = photo, pixels
        self._forget()

    def watch(self, *, watched: bool) -> None:
        """Somebody looks, or nobody does any more."""
        self._watched = watched
        self._look()

    def _forget(self) -> None:
        self.sight, self.problem = None, ""
        self._n_asked += 1
        self._changed()
        self._look()

    def _look(self) -> None:
        photo, pixels, manifest, asked = self._photo, self._pixels, self.manifest, self._n_asked
        if not self._watched or self.sight is not None or photo is None or pixels is None or manifest is None:
            return

        def then(seen: Sight) -> None:
            if asked == self._n_asked:
                self.sight = seen
                self._changed()

        def failed(error: Gpt4RoiError) -> None:
            if asked == self._n_asked:
                self.problem = f"{error.problem}. {error.advice}"
                self._changed()

        self._threads.aside(lambda: sight.look(photo, pixels, manifest), then, failed)
