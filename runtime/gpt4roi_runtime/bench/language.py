"""Tests of the language model alone, as llama-bench makes them, through our own decoder; knows no image.

Prompts are embeddings of random tokens, as every prompt of ours is embeddings. Tokens are decoded greedily by the loop
that answers questions, sampling included, which llama-bench leaves out; ``tgN`` is N evaluations of one row, as there.
"""

from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from gpt4roi_runtime.arrays import EmbeddingRows
from gpt4roi_runtime.bench.matrix import LanguageTest
from gpt4roi_runtime.bench.measure import Clock, NotMeasured, Trial
from gpt4roi_runtime.llm.decoder import Decoder, Sampling

_GREEDY = Sampling()
_MAX_EMPTY = 16
SPARE_ROWS = 2
"""Rows of the context beside those of a test: one must stay free, and one is there at depth 0."""


def as_trials(decoder: Decoder, wanted: tuple[LanguageTest, ...]) -> tuple[Trial, ...]:
    """The tests, for one loaded model."""
    return tuple(_as_trial(decoder, one) for one in wanted)


def _as_trial(decoder: Decoder, one: LanguageTest) -> Trial:
    session = _Session(decoder, one)
    return Trial(
        one.name, "language", "token", session.once, n_prompt=one.n_prompt, n_gen=one.n_gen, n_depth=one.n_depth
    )


@dataclass
class _Session:
    """One test on one model; random numbers go on from repetition to repetition, so that no prompt is there already."""

    decoder: Decoder
    test: LanguageTest
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    deep: EmbeddingRows | None = None

    def once(self, clock: Clock) -> None:
        """A repetition: depth, then the prompt against the clock, then tokens against the clock."""
        n_depth, n_prompt = self.test.n_depth, self.test.n_prompt
        if self.deep is None:
            self.deep = self._rows(n_depth)
        if n_prompt:
            rows, n_prefix = np.concatenate([self.deep, self._rows(n_prompt)]), n_depth
        else:  # the row behind which the first token stands
            rows = self.deep if n_depth else self._rows(1)
            n_prefix = len(rows) - 1
        if n_prefix:
            self.decoder.prepare(np.ascontiguousarray(rows[:n_prefix]), _never)
        if n_prompt:
            with clock.running():
                self.decoder.prefill(rows, _never, n_prefix)
        else:
            self.decoder.prefill(rows, _never, n_prefix)
        clock.count(n_prompt + self.test.n_gen)
        if self.test.n_gen:
            self._generate(clock, rows[:-1])

    def _generate(self, clock: Clock, before: EmbeddingRows) -> None:
        """Decode; where the model ends its answer early, another prompt of the same length goes on."""
        left, n_empty = self.test.n_gen, 0
        while True:
            n_evaluated = self._decode(clock, left)
            left -= n_evaluated
            if left <= 0:
                return
            n_empty = 0 if n_evaluated else n_empty + 1
            if n_empty > _MAX_EMPTY:
                raise NotMeasured(f"{self.test.name}: the model ends its answers at once")
            rows = np.concatenate([before, self._rows(1)])
            self.decoder.prefill(rows, _never, len(before))

    def _decode(self, clock: Clock, n_wanted: int) -> int:
        """The first token comes from the prompt's own logits, so the clock runs from there on."""
        with closing(self.decoder.decode(_GREEDY, n_wanted + 1, _never)) as tokens:
            if next(tokens, None) is None:
                return 0
            with clock.running():
                n_tokens = sum(1 for _ in tokens)
        return min(n_tokens + 1, n_wanted)  # the token that ended an answer early was evaluated too

    def _rows(self, n: int) -> EmbeddingRows:
        info = self.decoder.info
        tokens = self.random.integers(0, info.vocabulary_size, n)
        if n == 0:
            return np.zeros((0, info.embedding_length), dtype=np.float32)
        return self.decoder.embed([int(token) for token in tokens])


def _never() -> bool:
    return False
