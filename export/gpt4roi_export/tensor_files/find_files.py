"""Which files of a folder hold a checkpoint's tensors: one file, or shards that an index names. Does not open tensors.

An index comes from others, so a shard's name has to be a plain one; what the user's own folder links to is the user's
business, and download caches keep their files behind links.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpt4roi_export.tensor_files.tensor_file import unreadable
from gpt4roi_runtime.errors import BundleError

_NAMES = ("model.safetensors", "pytorch_model.bin")
_INDEX_SUFFIX = ".index.json"
MAX_INDEX_BYTES = 16 << 20
MAX_SHARDS = 1000


@dataclass(frozen=True)
class FileSet:
    """Files that make one checkpoint.

    Attributes:
        index: The file that names the shards, if there are shards.
        shards: Every file with tensors, in the order of their names.
        shard_of: Tensor -> shard as the index has it; empty without one.
    """

    index: Path | None
    shards: tuple[Path, ...]
    shard_of: Mapping[str, Path]


class _Index(msgspec.Struct):
    """What matters of an index."""

    weight_map: dict[str, str]


def find_files(path: Path) -> FileSet:
    """The files of a checkpoint; safetensors first where a folder has both, and a complete set before an incomplete.

    Args:
        path: A file with tensors, or a folder as ``save_pretrained`` writes it.

    Raises:
        BundleError: There is no checkpoint, or a shard that the index names is missing.
    """
    if path.is_file():
        return FileSet(None, (path,), {})
    if not path.is_dir():
        raise BundleError(f"there is no {path}", "Name the folder that the checkpoint was downloaded to.")
    found = [file_set for name in _NAMES for file_set in _sets(path, name)]
    if not found:
        raise BundleError(f"{path} holds no checkpoint", _expected(path))
    complete = [file_set for file_set in found if not _absent(file_set)]
    if not complete:
        absent = _absent(found[0])
        raise BundleError(
            f"{path} lacks {absent[0].name}, and in all {len(absent)} of {len(found[0].shards)} shards",
            "Expected every shard that the index names beside it; finish the download.",
        )
    return complete[0]


def _sets(folder: Path, name: str) -> list[FileSet]:
    sets = []
    if (folder / (name + _INDEX_SUFFIX)).is_file():
        sets.append(_indexed(folder / (name + _INDEX_SUFFIX)))
    if (folder / name).is_file():
        sets.append(FileSet(None, (folder / name,), {}))
    return sets


def _absent(file_set: FileSet) -> list[Path]:
    return [shard for shard in file_set.shards if not shard.is_file()]


def _expected(folder: Path) -> str:
    shards = sorted(path.name for path in folder.glob("*-of-*") if path.is_file())
    if shards:
        indices = " or ".join(name + _INDEX_SUFFIX for name in _NAMES)
        return f"There is a shard {shards[0]}, but not {indices}; finish the download."
    return f"Expected {' or '.join(_NAMES)}, or shards with their {_INDEX_SUFFIX.lstrip('.')}; finish the download."


def _indexed(index: Path) -> FileSet:
    try:
        with index.open("rb") as file:
            content = file.read(MAX_INDEX_BYTES + 1)
    except OSError as failed:
        raise unreadable(index, failed) from failed
    if len(content) > MAX_INDEX_BYTES:
        raise BundleError(f"{index} is larger than {MAX_INDEX_BYTES} bytes", "Fetch it again.")
    try:
        names = msgspec.json.decode(content, type=_Index).weight_map
    except (msgspec.MsgspecError, RecursionError, ValueError) as damaged:
        raise BundleError(f"{index} is no index of shards ({damaged})", "Fetch it again.") from damaged
    shards = sorted(set(names.values()))
    if not 0 < len(shards) <= MAX_SHARDS:
        raise BundleError(f"{index} names {len(shards)} shards, expected 1 to {MAX_SHARDS}", "Fetch it again.")
    for shard in shards:
        _check_plain(shard, index)
    places = {shard: index.parent / shard for shard in shards}
    return FileSet(index, tuple(places.values()), {name: places[shard] for name, shard in names.items()})


def _check_plain(shard: str, index: Path) -> None:
    if shard in ("", ".", "..") or len(shard) > 255 or any(mark in shard for mark in "/\\:\0"):
        raise BundleError(
            f"{index} names the shard {shard[:80]!r}",
            "Expected the plain name of a file beside the index; fetch it again.",
        )
