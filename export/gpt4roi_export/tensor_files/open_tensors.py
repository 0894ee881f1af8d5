"""A checkpoint on disk as one source of arrays, whatever its format and however many files it is.

Does not know which model it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_export.state_dict import StoredTensor, read_layout
from gpt4roi_export.tensor_files.find_files import FileSet, find_files
from gpt4roi_export.tensor_files.safetensors_header import read_safetensors_layout
from gpt4roi_export.tensor_files.tensor_file import TensorFile, unreadable
from gpt4roi_export.tensors import Array, TensorFacts, missing
from gpt4roi_runtime.errors import BundleError

_SAFETENSORS_HEADER = b"{"
_SAFETENSORS_HEADER_AT = 8
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class CheckpointFiles:
    """All tensors of a checkpoint's files.

    Attributes:
        files: What was opened: the index, if there is one, then every file with tensors.
        shard_of: Tensor -> the file that holds it.
    """

    files: tuple[Path, ...]
    shard_of: Mapping[str, TensorFile]

    @property
    def facts(self) -> Mapping[str, TensorFacts]:
        """Shapes and dtypes, shard by shard."""
        shards = {shard.path: shard for shard in self.shard_of.values()}
        return {name: facts for shard in shards.values() for name, facts in shard.facts.items()}

    def read(self, name: str) -> Array:
        """One tensor; nothing else of its file enters the memory."""
        if name not in self.shard_of:
            raise missing(name)
        return self.shard_of[name].read(name)


def open_tensors(path: Path) -> CheckpointFiles:
    """Read the headers of a checkpoint.

    Args:
        path: A file of tensors, or a folder with one or with shards and their index.

    Returns:
        A source that needs no closing: files are open only while something is read.

    Raises:
        BundleError: A file is missing, damaged, of no known format, or asks for more than tensors; the index lies.
    """
    found = find_files(path)
    shard_of: dict[str, TensorFile] = {}
    for shard_path in found.shards:
        shard = TensorFile(shard_path, _layout(shard_path))
        for name in shard.stored:
            if name in shard_of:
                raise BundleError(
                    f"tensor {name!r} is in {shard_of[name].path.name} and in {shard_path.name}",
                    f"Expected every tensor once in {path}; fetch the checkpoint again.",
                )
            shard_of[name] = shard
    _check_index(found, shard_of)
    return CheckpointFiles(input_files(path), shard_of)


def input_files(path: Path) -> tuple[Path, ...]:
    """The files that ``open_tensors`` opens, without opening those with tensors.

    Raises:
        BundleError: There is no checkpoint, or a shard is missing.
    """
    found = find_files(path)
    return (*(() if found.index is None else (found.index,)), *found.shards)


def _check_index(found: FileSet, shard_of: Mapping[str, TensorFile]) -> None:
    """What the index names has to be where it says. Tensors that it leaves out are read all the same, as torch does."""
    for name, expected in found.shard_of.items():
        if name not in shard_of or shard_of[name].path != expected:
            actual = f"it is in {shard_of[name].path.name}" if name in shard_of else "no shard has it"
            raise BundleError(
                f"{found.index} says that {name!r} is in {expected.name}, but {actual}",
                "Expected index and shards of one download; fetch the checkpoint again.",
            )


def _layout(path: Path) -> dict[str, StoredTensor]:
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS_POINTER))
            if head == _LFS_POINTER:
                raise BundleError(
                    f"{path} is Git LFS's note of a file, not the file", "Fetch the files themselves (git lfs pull)."
                )
            if head[_SAFETENSORS_HEADER_AT:].startswith(_SAFETENSORS_HEADER):
                return read_safetensors_layout(file, str(path))
            return read_layout(file, str(path))
    except OSError as failed:
        raise unreadable(path, failed) from failed
