"""Whether the numbers of a delta belong to a base, told from a few matrices. Does not know files or folders.

The authors' delta was made by subtracting two float16 numbers, and where these lie within a factor of two of each other
the difference is exact. So base plus delta must hit a float16 number there, every time; with any other base it falls
between two of them at 1 % (a close relative) to 30 % (an unrelated LLaMA) of the weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from gpt4roi_export.released.sizes import LAYER_PREFIX, LanguageSizes
from gpt4roi_export.tensors import Array, Tensors

MOST_DELTA_SHARE: Final = 0.5
"""Root mean square of the delta against the base's; tuning changes a few per cent."""
MOST_OFF_GRID: Final = 0.001
_UNRELATED_OFF_GRID = 0.2
_SAMPLED_ROWS = 256
_MATRICES = ("q_proj", "k_proj", "o_proj")
_ROTATED = ("q_proj", "k_proj")


@dataclass(frozen=True)
class NumbersReport:
    """What the sampled matrices say.

    Attributes:
        delta_share: Root mean square of the delta against the base's, the largest of all.
        off_grid: Share of weights where base plus delta lies between two float16 numbers, the largest of all; ``None``
            where the delta is not float16, so that it says nothing.
        doubts: Problem and advice of everything that speaks against the pair.
    """

    delta_share: float
    off_grid: float | None
    doubts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Sample:
    """One matrix of both, compared; ``reordered`` with the base's rows put into Hugging Face's rotary order."""

    matrix: str
    delta_share: float
    off_grid: float
    off_grid_reordered: float


def compare_numbers(base: Tensors, delta: Tensors, sizes: LanguageSizes) -> NumbersReport:
    """Compare nine matrices of both.

    Args:
        base: Of a LLaMA.
        delta: Of the same names and shapes.
        sizes: Of both.
    """
    samples = [_compared(base, delta, sizes, layer, matrix) for layer in _layers(sizes) for matrix in _MATRICES]
    first = f"{LAYER_PREFIX}0.self_attn.q_proj.weight"
    is_half = delta.facts[first].dtype == "float16"
    return NumbersReport(
        delta_share=max(sample.delta_share for sample in samples),
        off_grid=max(sample.off_grid for sample in samples) if is_half else None,
        doubts=tuple(_doubts(base.facts[first].dtype, samples, is_half=is_half)),
    )


def _doubts(base_dtype: str, samples: list[_Sample], *, is_half: bool) -> Iterator[tuple[str, str]]:
    largest = max(samples, key=lambda sample: sample.delta_share)
    if largest.delta_share > MOST_DELTA_SHARE:
        yield (
            f"the delta's {largest.matrix} is {largest.delta_share:.2f} times as large as the base's, expected at most "
            f"{MOST_DELTA_SHARE}",
            "Tuning changes a few per cent: this is no delta, or the base is not the model that it was made from.",
        )
    off_grid = {sample.matrix: sample for sample in samples if sample.off_grid > MOST_OFF_GRID}
    if not is_half or not off_grid:
        return
    worst = max(off_grid.values(), key=lambda sample: sample.off_grid)
    yield (
        f"base plus delta misses float16's numbers at {worst.off_grid:.1%} of the weights of {worst.matrix}, expected "
        "none: the delta was made from another base",
        _advice(base_dtype, off_grid, worst),
    )


def _advice(base_dtype: str, off_grid: dict[str, _Sample], worst: _Sample) -> str:
    rotated = [sample for sample in off_grid.values() if sample.matrix.endswith(_ROTATED)]
    if len(rotated) == len(off_grid) and all(sample.off_grid_reordered <= MOST_OFF_GRID for sample in rotated):
        return (
            "Only q_proj and k_proj miss, and in Hugging Face's order of rotary dimensions they do not: the base has "
            "Meta's order. Convert it anew with convert_llama_weights_to_hf.py of transformers."
        )
    if base_dtype == "bfloat16":
        return "The base was rounded to bfloat16; take LLaMA-7B as it was released, in float16."
    if worst.off_grid > _UNRELATED_OFF_GRID:
        return "That many misses mean unrelated weights, LLaMA 2 for example; take the first LLaMA-7B."
    return "So few misses mean a close relative, a tuned LLaMA such as Vicuna; take the first LLaMA-7B itself."


def _layers(sizes: LanguageSizes) -> list[int]:
    return sorted({0, sizes.n_layers // 2, sizes.n_layers - 1})


def _compared(base: Tensors, delta: Tensors, sizes: LanguageSizes, layer: int, matrix: str) -> _Sample:
    name = f"{LAYER_PREFIX}{layer}.self_attn.{matrix}.weight"
    ours, difference = base.read(name), delta.read(name)
    n_heads = sizes.n_kv_heads if matrix == "k_proj" else sizes.n_heads
    rows = np.arange(0, len(ours), max(1, len(ours) // _SAMPLED_ROWS))
    sampled = _as_float(difference[rows])
    off_grid = off_grid_share(_as_float(ours[rows]), sampled)
    reordered = _as_float(ours[_in_hugging_face_order(len(ours), n_heads)[rows]])
    size = float(np.sqrt(np.mean(np.square(_as_float(ours[rows])))))
    return _Sample(
        matrix=f"layer {layer}'s {matrix}",
        delta_share=float(np.sqrt(np.mean(np.square(sampled)))) / size if size else float("inf"),
        off_grid=off_grid,
        off_grid_reordered=off_grid_share(reordered, sampled),
    )


def off_grid_share(base: Array, delta: Array) -> float:
    """Where base and sum lie within a factor of two, how often the sum is no float16 number.

    Args:
        base: Float16 numbers as float32.
        delta: The same, of the same shape.

    Returns:
        0..1; 0 where there is nothing to compare.
    """
    with np.errstate(all="ignore"):  # infinities compare as a miss or not at all
        total = base + delta
    ratio = np.divide(total, base, out=np.zeros_like(total), where=base != 0)
    comparable = (ratio > 0.55) & (ratio < 1.8)
    with np.errstate(over="ignore"):
        misses = comparable & (total.astype(np.float16).astype(np.float32) != total)
    return float(misses.sum() / max(1, comparable.sum()))


def _as_float(numbers: Array) -> Array:
    """Rounded to float16 as the authors' script does, then widened for exact sums."""
    return numbers.astype(np.float16).astype(np.float32)


def _in_hugging_face_order(n_rows: int, n_heads: int) -> Array:
    """For every row of a head in Hugging Face's order (first halves of the rotated pairs, then second), Meta's row."""
    rows: Array = np.arange(n_rows).reshape(n_heads, -1, 2).transpose(0, 2, 1).reshape(-1)
    return rows
