"""Compiled graphs on disk, so that the second start is fast: whole and unchanged, or not there. Knows no graph.

The engine writes a file into a folder that it is given, and reads it again whatever became of it. So each folder is
filled aside, sealed with the hash of every file in it, and then renamed; one whose seal is broken is thrown away.
"""

import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import platformdirs

from gpt4roi_runtime.storage import sha256_of

MOST_BYTES = 6 << 30
"""Of all compiled graphs together: two bundles of 7B size."""
_SEAL = "sealed.json"
_ASIDE_S = 24 * 3600.0


class CompiledCache:
    """A bounded number of bytes of compiled graphs.

    Args:
        folder: Where they are; ``None`` takes one in the user's cache.
        most_bytes: Of all of them; those used longest ago make way.
    """

    def __init__(self, folder: Path | None = None, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder or platformdirs.user_cache_path("gpt4roi-edge") / "openvino"
        self._most_bytes = most_bytes

    def sealed(self, facts: Mapping[str, str]) -> Path | None:
        """The folder of a compiled graph that is as it was written, or ``None``; a damaged one is removed."""
        place = self._place(facts)
        if not place.is_dir():
            return None
        if _seal_holds(place):
            with suppress(OSError):
                os.utime(place)
            return place
        self.discard(facts)
        return None

    def aside(self, n_bytes: int) -> Path | None:
        """A new empty folder for the engine to write into, or ``None`` where ``n_bytes`` have no room."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if n_bytes > self._most_bytes or n_bytes > shutil.disk_usage(self._folder).free // 2:
                return None
            folder = self._folder / f".{uuid.uuid4().hex}.part"
            folder.mkdir()
        except OSError:
            return None
        return folder

    def seal(self, aside: Path, facts: Mapping[str, str]) -> None:
        """Keep what the engine wrote; where that fails, it compiles again next time."""
        try:
            hashes = {path.name: sha256_of(path) for path in aside.iterdir()}
            if hashes:
                (aside / _SEAL).write_text(json.dumps(hashes), encoding="utf-8")
                aside.replace(self._place(facts))
        except OSError:
            pass
        self.drop(aside)
        self._make_room()

    def drop(self, aside: Path) -> None:
        """Remove a folder that was never sealed."""
        shutil.rmtree(aside, ignore_errors=True)

    def discard(self, facts: Mapping[str, str]) -> None:
        """Forget a compiled graph."""
        shutil.rmtree(self._place(facts), ignore_errors=True)

    def _place(self, facts: Mapping[str, str]) -> Path:
        return self._folder / sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def _make_room(self) -> None:
        with suppress(OSError):
            folders = [path for path in self._folder.iterdir() if path.is_dir()]
            for left in folders:
                if left.name.startswith(".") and time.time() - left.stat().st_mtime > _ASIDE_S:
                    self.drop(left)  # by a process that was ended
            kept = sorted(
                (path for path in folders if not path.name.startswith(".")), key=lambda path: -path.stat().st_mtime
            )
            total = 0
            for folder in kept:
                total += sum(path.stat().st_size for path in folder.iterdir())
                if total > self._most_bytes:
                    shutil.rmtree(folder, ignore_errors=True)


def _seal_holds(folder: Path) -> bool:
    try:
        hashes = json.loads((folder / _SEAL).read_text(encoding="utf-8"))
        names = {path.name for path in folder.iterdir()} - {_SEAL}
        return (
            isinstance(hashes, dict)
            and bool(names)
            and names == hashes.keys()
            and all(sha256_of(folder / name) == found for name, found in hashes.items())
        )
    except (OSError, ValueError, RecursionError):
        return False
