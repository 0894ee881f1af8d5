"""A GPT4RoI of random weights on disk, as its authors would have released it, with the CLIP that it needs.

Knows nothing of importing. The numbers are finite and of a size at which a forward pass stays finite, and mean nothing.
"""

import json
import math
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gpt4roi_export.released.sizes import PROJECTOR_PREFIX, REGION_PREFIX, VOCABULARY_TENSORS, LanguageSizes
from gpt4roi_export.synthesis import contents
from gpt4roi_export.synthesis.numbers import BLOCK_NUMBERS, SMALL_BLOCK_NUMBERS, Numbers, Role
from gpt4roi_export.synthesis.presets import Preset, Size, preset
from gpt4roi_export.synthesis.tokenizer import little_vocabulary, model_proto
from gpt4roi_export.synthesis.torch_pickle import Entry
from gpt4roi_export.synthesis.write_shard import FileFormat, size_bytes, write_shard
from gpt4roi_export.tensors import Array
from gpt4roi_export.weights import Progress
from gpt4roi_runtime.errors import OutputError

_MARGIN_BYTES = 16 << 20
_TORCH_NAMES = ("pytorch_model", "bin")
_SAFETENSORS_NAMES = ("model", "safetensors")


@dataclass(frozen=True)
class SynthesizedFolders:
    """What was written.

    Attributes:
        gpt4roi: The merged checkpoint; ``None`` where base and delta were asked for.
        base: The LLaMA, else ``None``.
        delta: What is to be added to it, else ``None``.
        clip: The vision tower.
    """

    gpt4roi: Path | None
    base: Path | None
    delta: Path | None
    clip: Path


def synthesize(
    size: Size,
    out: Path,
    seed: int,
    progress: Progress,
    *,
    as_delta: bool = False,
    file_format: FileFormat = "torch",
) -> SynthesizedFolders:
    """Write ``out/gpt4roi`` (or ``out/base`` and ``out/delta``) and ``out/clip``.

    The same arguments give the same bytes, and base and delta of a seed add up to its merged checkpoint exactly.

    Args:
        size: Of everything.
        out: A new folder; appears by one rename when all of it is written.
        seed: Of the random numbers.
        progress: Told what is being written.
        as_delta: Whether to split the checkpoint into a base and a delta.
        file_format: Of the tensors.

    Raises:
        OutputError: ``out`` is taken, the disk is too small, or the folder cannot be written.
    """
    pieces = little_vocabulary(0 if size == "tiny" else 32000)
    sizes = preset(size, len(pieces))
    n_bytes = _n_bytes(sizes, as_delta=as_delta)
    _require_space(out, n_bytes)
    writer = _Writer(
        sizes,
        Numbers(seed, SMALL_BLOCK_NUMBERS if size == "tiny" else BLOCK_NUMBERS),
        model_proto(pieces),
        file_format,
        _Counter(progress, n_bytes),
    )
    with _new_folder(out) as folder:
        writer.clip(folder / "clip")
        if as_delta:
            writer.language(folder / "base", "base")
            writer.language(folder / "delta", "delta")
        else:
            writer.language(folder / "gpt4roi", "whole")
    if as_delta:
        return SynthesizedFolders(gpt4roi=None, base=out / "base", delta=out / "delta", clip=out / "clip")
    return SynthesizedFolders(gpt4roi=out / "gpt4roi", base=None, delta=None, clip=out / "clip")


class _Counter:
    """Bytes written so far, told to whoever waits."""

    def __init__(self, progress: Progress, n_bytes: int) -> None:
        self._n_bytes = n_bytes
        self._progress = progress
        self._n_written = 0

    def add(self, what: str, n_bytes: int) -> None:
        self._n_written += n_bytes
        self._progress(f"writing {what}", min(1.0, self._n_written / self._n_bytes))


@dataclass(frozen=True)
class _Writer:
    """Writes one folder after another."""

    sizes: Preset
    numbers: Numbers
    tokenizer_model: bytes
    file_format: FileFormat
    counter: _Counter

    def clip(self, folder: Path) -> None:
        folder.mkdir()
        _write_json(folder / "config.json", contents.clip_config(self.sizes.clip))
        _write_json(folder / "preprocessor_config.json", contents.preprocessor_config(self.sizes.clip))
        self._tensors(folder, contents.clip_entries(self.sizes.clip), "whole", shard_bytes=1 << 62)

    def language(self, folder: Path, role: Role) -> None:
        folder.mkdir()
        sizes = _base_sizes(self.sizes) if role == "base" else self.sizes.language
        region = None if role == "base" else self.sizes.region
        config = contents.gpt4roi_config(sizes, region) if region else contents.base_config(sizes)
        _write_json(folder / "config.json", config)
        _write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})
        (folder / "tokenizer.model").write_bytes(self.tokenizer_model)
        for name, content in contents.tokenizer_jsons(self.sizes.n_pieces, has_added=role != "base").items():
            _write_json(folder / name, content)
        self._tensors(folder, contents.language_entries(sizes, region), role, self.sizes.shard_bytes)

    def _tensors(self, folder: Path, entries: Sequence[Entry], role: Role, shard_bytes: int) -> None:
        def pieces(entry: Entry) -> Iterator[Array]:
            for piece in self._pieces(entry, role):
                yield piece
                self.counter.add(f"{folder.name}: {entry.name}", piece.nbytes)

        stem, suffix = _SAFETENSORS_NAMES if self.file_format == "safetensors" else _TORCH_NAMES
        shards = _shards(entries, shard_bytes)
        if len(shards) == 1:
            write_shard(folder / f"{stem}.{suffix}", entries, pieces, self.file_format)
            return
        weight_map: dict[str, str] = {}
        for index, shard in enumerate(shards, 1):
            name = f"{stem}-{index:05}-of-{len(shards):05}.{suffix}"
            write_shard(folder / name, shard, pieces, self.file_format)
            weight_map |= {entry.name: name for entry in shard}
        total = {"total_size": sum(map(size_bytes, entries))}
        _write_json(folder / f"{stem}.{suffix}.index.json", {"metadata": total, "weight_map": weight_map})

    def _pieces(self, entry: Entry, role: Role) -> Iterator[Array]:
        """Numbers of one tensor: buffers are computed, a delta's own tensors and rows are whole."""
        name, shape, dtype = entry.name, entry.shape, entry.dtype
        if name.endswith(contents.POSITIONS_SUFFIX):
            yield np.arange(entry.n_numbers, dtype=dtype)
        elif name.endswith(contents.ROTARY_SUFFIX):
            yield _inverse_frequencies(self.sizes.language).astype(dtype)
        elif role == "delta" and name.startswith((REGION_PREFIX, PROJECTOR_PREFIX)):
            yield from self.numbers.pieces(name, shape, dtype, "whole")
        elif role == "delta" and name in VOCABULARY_TENSORS:
            yield from self.numbers.pieces(name, (self.sizes.n_pieces, *shape[1:]), dtype, "delta")
            yield from self.numbers.pieces(name, shape, dtype, "whole", math.prod((self.sizes.n_pieces, *shape[1:])))
        else:
            yield from self.numbers.pieces(name, shape, dtype, role)


def _base_sizes(sizes: Preset) -> LanguageSizes:
    return replace(sizes.language, vocabulary_size=sizes.n_pieces)


def _inverse_frequencies(sizes: LanguageSizes) -> Array:
    exponents = range(0, sizes.head_size, 2)
    return np.array([sizes.rope_theta ** (-exponent / sizes.head_size) for exponent in exponents])


def _shards(entries: Sequence[Entry], shard_bytes: int) -> list[list[Entry]]:
    """Runs of tensors, in order, as many to a file as fit."""
    shards: list[list[Entry]] = []
    n_bytes = 0
    for entry in entries:
        if not shards or n_bytes + size_bytes(entry) > shard_bytes:
            shards.append([])
            n_bytes = 0
        shards[-1].append(entry)
        n_bytes += size_bytes(entry)
    return shards


def _n_bytes(sizes: Preset, *, as_delta: bool) -> int:
    parts = [contents.clip_entries(sizes.clip), contents.language_entries(sizes.language, sizes.region)]
    if as_delta:
        parts.append(contents.language_entries(_base_sizes(sizes), None))
    return sum(size_bytes(entry) for part in parts for entry in part)


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _require_space(out: Path, n_bytes: int) -> None:
    """Refuse before hours of writing what a full disk would end."""
    existing = next(path for path in out.absolute().parents if path.exists())
    free = shutil.disk_usage(existing).free
    if free < n_bytes + _MARGIN_BYTES:
        raise OutputError(
            f"the checkpoint takes {n_bytes / 1e9:.1f} GB, but {existing} has {free / 1e9:.1f} GB free",
            "Choose another disk, or a smaller size.",
        )


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes ``out`` when the block ends well, and vanishes when it does not."""
    out = out.absolute()
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise OutputError(f"{out} is already there", "Choose a new folder.")
    aside = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        aside.mkdir(parents=True)
        yield aside
        aside.rename(out)
    except OSError as failed:
        raise OutputError(
            f"cannot write {out}: {failed.strerror or failed}", "Check the free space and the folder's permissions."
        ) from failed
    finally:
        shutil.rmtree(aside, ignore_errors=True)
