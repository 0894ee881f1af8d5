"""The licence file of a downloaded folder. Does not judge what it permits."""

from pathlib import Path

_NAMES = frozenset({"license", "licence", "license.txt", "licence.txt", "license.md", "licence.md"})


def find_licence(folder: Path) -> Path | None:
    """The licence file that lies beside the weights, if one does."""
    return next((path for path in sorted(folder.iterdir()) if path.name.lower() in _NAMES and path.is_file()), None)
