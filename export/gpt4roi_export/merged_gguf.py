"""A tuned GGUF from a base GGUF and an adapter: adapted matrices are added up and quantised, the rest is copied.

Does not know torch or llama.cpp. The same file comes out on every machine: halves multiplied in float64 make sums
without rounding (up to 32, far above any weight), and all that follows is element by element.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, LlamaFileType, quants
from jaxtyping import Float32

from gpt4roi_export.adapter import Adapter, LowRank
from gpt4roi_export.gguf_layout import (
    GgufLayout,
    header_bytes,
    number_entry,
    padded_bytes,
    read_layout,
    size_bytes,
    text_entry,
)
from gpt4roi_export.weights import Progress
from gpt4roi_runtime.backends.gguf_header import BLOCKS, TensorPlace, inspect_gguf
from gpt4roi_runtime.errors import BundleError, SettingsError
from gpt4roi_runtime.storage import written_aside

QUANTISATIONS = ("Q8_0", "F16", "Q5_1", "Q4_1", "Q4_0")
"""Types that adapted matrices can be stored as; the first is the one to take.

Measured with random adapters of 3 % of the weights' size: rounding to Q8_0 errs by a fifth of what was added, Q5_1 and
below by more than it; and a base of Q4_1 snaps back to its own steps, so that Q4_1 loses six sevenths of the tuning.
"""

_FILE_TYPES = {
    "F32": LlamaFileType.ALL_F32,
    "F16": LlamaFileType.MOSTLY_F16,
    "Q4_0": LlamaFileType.MOSTLY_Q4_0,
    "Q4_1": LlamaFileType.MOSTLY_Q4_1,
    "Q5_1": LlamaFileType.MOSTLY_Q5_1,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
}
_QUANTISATION_VERSION = 2  # of the blocks' layouts; llama.cpp's only one since 2023
_EMBEDDINGS = "token_embd.weight"
_PIECE_WEIGHTS = 1 << 22
_LARGEST_HALF = 65504.0
_PIECE_BYTES = 1 << 22


@dataclass(frozen=True)
class _Step:
    """One tensor's way into the new file.

    Attributes:
        source: Where it lies in the base.
        target: What it becomes; its offset means nothing.
        pair: What to add, or ``None`` to copy its bytes.
    """

    source: TensorPlace
    target: TensorPlace
    pair: LowRank | None


def merge(base: Path, adapter: Adapter, out: Path, quantisation: str, progress: Progress) -> None:
    """Write the tuned GGUF.

    Metadata and tensors that the adapter leaves alone, or to which it adds nothing but zeros, keep their bytes.

    Args:
        base: GGUF that the adapter was trained on.
        adapter: Its rows in the GGUF's order.
        out: The new file; may be ``base``.
        quantisation: Type to store the adapted matrices as, one of ``QUANTISATIONS``.
        progress: Told what is being done.

    Raises:
        SettingsError: There is no such quantisation.
        BundleError: The base is no usable GGUF, or the adapter is not for it.
        OutputError: The file cannot be written.
    """
    if quantisation not in QUANTISATIONS:
        raise SettingsError(f"quantisation {quantisation!r} is unknown", f"Use one of {', '.join(QUANTISATIONS)}.")
    name = inspect_gguf(base).name
    layout = read_layout(base)
    steps = _plan(layout, adapter, quantisation)
    tensors = tuple(step.target for step in steps)
    merged = GgufLayout(layout.version, _entries(layout, steps, name, quantisation), tensors)
    n_bytes, n_written = sum(tensor.size_bytes for tensor in tensors), 0
    with closing(_Source(base)) as source, written_aside(out) as target:
        target.write(header_bytes(merged))
        for step in steps:
            progress("merging the adapter into the language model", n_written / n_bytes)
            for piece in _pieces(source, step, adapter.scale):
                target.write(piece)
            n_written += step.target.size_bytes
            target.write(bytes(padded_bytes(step.target.size_bytes, layout.alignment) - step.target.size_bytes))


def _plan(layout: GgufLayout, adapter: Adapter, quantisation: str) -> tuple[_Step, ...]:
    places = {place.name: place for place in layout.tensors}
    for name, pair in adapter.pairs.items():
        _check_fits(name, pair, places.get(name))
    return tuple(_step(place, adapter.pairs.get(place.name), quantisation) for place in layout.tensors)


def _check_fits(name: str, pair: LowRank, place: TensorPlace | None) -> None:
    shape = pair.a.shape[1], pair.b.shape[0]
    if place is None or place.shape != shape:
        found = "no such tensor" if place is None else f"{' x '.join(map(str, place.shape))}"
        raise BundleError(
            f"the adapter changes {name}, {shape[0]} x {shape[1]}, but the GGUF has {found}",
            "Use the adapter with the model that it was trained on.",
        )


def _step(place: TensorPlace, pair: LowRank | None, quantisation: str) -> _Step:
    if pair is None or not pair.a.any() or not pair.b.any():
        return _Step(place, place, None)
    kind = GGMLQuantizationType[quantisation]
    _, n_weights, _ = BLOCKS[kind]
    if place.shape[0] % n_weights:
        raise BundleError(
            f"rows of {place.name} hold {place.shape[0]} weights, but {quantisation} needs a multiple of {n_weights}",
            "Merge with the quantisation F16.",
        )
    return _Step(place, replace(place, type_number=int(kind), size_bytes=size_bytes(place.shape, kind)), pair)


def _entries(layout: GgufLayout, steps: Sequence[_Step], name: str, quantisation: str) -> Mapping[str, bytes]:
    """The base's metadata, with what is no longer true replaced."""
    n_changed = sum(step.pair is not None for step in steps)
    description = f"Tuned: a low-rank adapter was added to {n_changed} matrices, then stored as {quantisation}."
    changes = {
        "general.name": text_entry("general.name", f"{name} (tuned)".strip()),
        "general.description": text_entry("general.description", description),
        "general.quantization_version": number_entry("general.quantization_version", _QUANTISATION_VERSION),
    }
    file_type = _FILE_TYPES.get(_most_used_type(step.target for step in steps))
    if file_type is not None:  # any other type was the base's, and still is
        changes["general.file_type"] = number_entry("general.file_type", file_type)
    return {**layout.entries, **changes}


def _most_used_type(tensors: Iterable[TensorPlace]) -> str:
    n_weights: Counter[str] = Counter()
    for tensor in tensors:
        if tensor.name != _EMBEDDINGS:
            n_weights[tensor.type_name] += math.prod(tensor.shape)
    return n_weights.most_common(1)[0][0]


class _Source:
    """The base's weights, read where they are needed; its failures are not the new file's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as failed:
            raise self._unreadable(failed) from failed

    def read(self, offset_bytes: int, n_bytes: int) -> bytes:
        """Bytes of the file."""
        try:
            self._file.seek(offset_bytes)
            content = self._file.read(n_bytes)
        except OSError as failed:
            raise self._unreadable(failed) from failed
        if len(content) != n_bytes:
            raise BundleError(f"{self._path} is shorter than when it was checked", "Fetch the bundle again.")
        return content

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _unreadable(self, failed: OSError) -> BundleError:
        return BundleError(f"cannot read {self._path}: {failed.strerror or failed}", "Fetch the bundle again.")


def _pieces(source: _Source, step: _Step, scale: float) -> Iterator[bytes]:
    """The new bytes of one tensor, in pieces that keep the memory small."""
    if step.pair is None:
        return _copied(source, step.source)
    return _merged(source, step, step.pair, scale)


def _copied(source: _Source, place: TensorPlace) -> Iterator[bytes]:
    for start in range(0, place.size_bytes, _PIECE_BYTES):
        yield source.read(place.offset_bytes + start, min(_PIECE_BYTES, place.size_bytes - start))


def _merged(source: _Source, step: _Step, pair: LowRank, scale: float) -> Iterator[bytes]:
    place, kind = step.source, GGMLQuantizationType(step.target.type_number)
    width, n_rows = place.shape
    row_bytes = place.size_bytes // n_rows
    rows_at_once = max(1, _PIECE_WEIGHTS // width)
    a = pair.a.astype(np.float64)
    for start in range(0, n_rows, rows_at_once):
        b = pair.b[start : start + rows_at_once].astype(np.float64)
        packed = source.read(place.offset_bytes + start * row_bytes, len(b) * row_bytes)
        merged = _unpacked(packed, place).reshape(-1, width) + (b @ a * scale).astype(np.float32)
        if not np.abs(merged).max() <= _LARGEST_HALF:  # not `>`: NaN is refused too
            raise BundleError(
                f"{place.name} and the adapter add up to {np.abs(merged).max():g}, expected at most {_LARGEST_HALF:g}",
                "Use the adapter with the model that it was trained on.",
            )
        yield quants.quantize(merged, kind).tobytes()


def _unpacked(packed: bytes, place: TensorPlace) -> Float32[np.ndarray, "..."]:
    unpacked = quants.dequantize(np.frombuffer(packed, np.uint8), GGMLQuantizationType(place.type_number))
    return np.asarray(unpacked, dtype=np.float32)
