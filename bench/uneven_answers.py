"""Answers of very different lengths: places that are taken again, against one group after another.

    python bench/uneven_answers.py [bundle]

The model is loaded once; every pair answers the same prompts in both ways, in turn. An answer ends where a fixed list
says, as a stop string would end it, if the model has not ended it before; so both ways do the same work.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from gpt4roi_runtime import default_bundle
from gpt4roi_runtime.arrays import EmbeddingRows
from gpt4roi_runtime.backends.llama_cpp_context import NativeContext
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.backends.load import EngineSettings, load_decoder
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.llm.decoder import Decoder, Sampling

N_PROMPTS, N_SHARED, N_TAIL = 32, 64, 8
SHORTEST, LONGEST = 2, 32


def main() -> None:
    """Print seconds of both ways, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    for name in ("compute_rows", "compute_tokens"):
        setattr(NativeContext, name, _Calls.counted(getattr(NativeContext, name)))
    bundle = open_bundle(options.bundle or default_bundle())
    language = LlamaCppSettings(n_threads=options.threads, context_length=2048)
    with closing(load_decoder(bundle, EngineSettings(language=language))) as decoder:
        random = np.random.default_rng(0)
        shared = decoder.embed([int(token) for token in random.integers(300, 1000, N_SHARED)])
        tails = [decoder.embed([int(token) for token in random.integers(300, 1000, N_TAIL)]) for _ in range(N_PROMPTS)]
        for name, lengths in (
            ("even", np.full(N_PROMPTS, (SHORTEST + LONGEST) // 2)),
            ("uneven", random.integers(SHORTEST, LONGEST + 1, N_PROMPTS)),
        ):
            _compare(decoder, shared, tails, [int(length) for length in lengths], name, options.pairs)


def _compare(
    decoder: Decoder, shared: EmbeddingRows, tails: Sequence[EmbeddingRows], lengths: Sequence[int], name: str, n: int
) -> None:
    most = decoder.info.max_answers
    groups = [slice(first, first + most) for first in range(0, len(tails), most)]
    seconds: list[tuple[float, float]] = []
    ratios: list[tuple[float, float]] = []
    n_tokens, calls = 0, (0, 0)
    for _ in range(n):
        started = (perf_counter(), process_time(), _Calls.n)
        for group in groups:
            _answer(decoder, shared, tails[group], lengths[group])
        middle = (perf_counter(), process_time(), _Calls.n)
        n_tokens = _answer(decoder, shared, tails, lengths)
        end = (perf_counter(), process_time(), _Calls.n)
        calls = (middle[2] - started[2], end[2] - middle[2])
        seconds.append((middle[0] - started[0], end[0] - middle[0]))
        ratios.append(
            ((middle[0] - started[0]) / (end[0] - middle[0]), (middle[1] - started[1]) / (end[1] - middle[1]))
        )
    (grouped, refilled), (wall, cpu) = (map(statistics.median, zip(*pairs, strict=True)) for pairs in (seconds, ratios))
    print(
        f"{name}: {len(tails)} answers of {min(lengths)} to {max(lengths)} tokens, {n_tokens} in all: in groups of "
        f"{most} {grouped:.2f} s and {calls[0]} calls, places taken again {refilled:.2f} s and {calls[1]} calls; "
        f"medians of {n} pairs: {wall:.2f} times as fast, {cpu:.2f} by the processor's time"
    )


class _Calls:
    """How often llama.cpp was asked to compute."""

    n = 0

    @classmethod
    def counted(cls, compute: Callable[..., None]) -> Callable[..., None]:
        """The same, and noted."""

        def counting(*given: Any, **named: Any) -> None:
            cls.n += 1
            compute(*given, **named)

        return counting


def _answer(decoder: Decoder, shared: EmbeddingRows, tails: Sequence[EmbeddingRows], lengths: Sequence[int]) -> int:
    """Tokens of all answers."""
    most, counts = decoder.info.max_answers, [0] * len(tails)

    def is_over(number: int) -> bool:
        return counts[number] >= lengths[number]

    decoder.prefill_each(shared, tails[:most], lambda: False)
    for step in decoder.decode_each(Sampling(), max(lengths), lambda: False, is_over, iter(tails[most:])):
        counts[step.answer] += step.token is not None
    return sum(counts)


if __name__ == "__main__":
    main()
