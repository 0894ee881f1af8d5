"""Engines that keep the promises of `vision` and `llm` with arithmetic a test can follow; no model behind them."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from gpt4roi_runtime.arrays import Boxes, EmbeddingRows, PixelValues, RegionEmbeddings, TailRows
from gpt4roi_runtime.confidence import TokenScore
from gpt4roi_runtime.llm.decoder import (
    Allowed,
    AnswerToken,
    CancelCheck,
    DecodedToken,
    DecoderInfo,
    Prefilled,
    Sampling,
    Scores,
)
from gpt4roi_runtime.vision.encoder import ImageFeatures, Pyramid

WIDTH = 4


class FakeEncoder:
    """Image rows are -1; a region's rows hold its box."""

    engine = "fake"

    def __init__(self, n_image_rows: int = 2, n_rows_per_region: int = 3) -> None:
        self.n_image_rows = n_image_rows
        self.n_rows_per_region = n_rows_per_region
        self.n_encoded = 0
        self.closed = False

    def encode(self, pixels: PixelValues) -> ImageFeatures:
        self.n_encoded += 1
        embeddings = np.full((self.n_image_rows, WIDTH), -1, dtype=np.float32)
        return ImageFeatures(embeddings, (pixels[:, :1].copy(),))

    def embed_regions(self, pyramid: Pyramid, boxes: Boxes) -> RegionEmbeddings:
        return np.repeat(boxes[:, None, :], self.n_rows_per_region, axis=1)

    def close(self) -> None:
        self.closed = True


class FakeDecoder:
    """A token is a character's code; its embedding holds that code; the answer is given beforehand."""

    def __init__(self, answer: str = "a dog", context_length: int = 400) -> None:
        self.answer = answer
        self.rows: EmbeddingRows | None = None
        self.prepared: EmbeddingRows | None = None
        self.shared: EmbeddingRows | None = None
        self.tails: tuple[TailRows, ...] = ()
        self.n_prefix = 0
        self.allowed: Allowed | None = None
        self.texts: tuple[tuple[int, ...], ...] = ()
        self.groups: list[int] = []
        self.most_at_once = 0
        self.answers: tuple[str, ...] = ()
        self.sampling: Sampling | None = None
        self.n_stepped = 0
        self.iterator_closed = False
        self.closed = False
        self.info = DecoderInfo(
            engine="fake",
            system="",
            embedding_length=WIDTH,
            vocabulary_size=1 << 17,
            context_length=context_length,
            batch_size=512,
            n_threads=1,
            max_answers=4,
        )

    def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(map(ord, text))

    def special_token(self, piece: str) -> int:
        return {"<s>": 1, "<im_start>": 2, "<im_end>": 3}[piece]

    def embed(self, tokens: Sequence[int]) -> EmbeddingRows:
        return np.repeat(np.array(tokens, dtype=np.float32).reshape(-1, 1), WIDTH, axis=1)

    def prepare(self, prefix: EmbeddingRows, cancel: CancelCheck) -> Prefilled:
        self.prepared = prefix
        return Prefilled(0, len(prefix))

    def prefill(self, rows: EmbeddingRows, cancel: CancelCheck, n_prefix: int = 0) -> Prefilled:
        self.rows, self.n_prefix = rows, n_prefix
        return self._kept(rows)

    def prefill_each(
        self, shared: EmbeddingRows, tails: Sequence[TailRows], cancel: CancelCheck, n_prefix: int = 0
    ) -> Prefilled:
        self.shared, self.tails, self.n_prefix = shared, tuple(tails), n_prefix
        self.groups.append(len(tails))
        self.most_at_once = len(tails)
        return self._kept(shared)

    def _kept(self, rows: EmbeddingRows) -> Prefilled:
        """As if the prefix of the last preparation were in the cache."""
        prepared = self.prepared
        is_there = prepared is not None and np.array_equal(rows[: self.n_prefix], prepared[: self.n_prefix])
        return Prefilled(self.n_prefix, len(rows) - self.n_prefix) if is_there else Prefilled(0, len(rows))

    def decode(
        self,
        sampling: Sampling,
        max_tokens: int,
        cancel: CancelCheck,
        *,
        allowed: Allowed | None = None,
        n_top: int | None = None,
    ) -> Iterator[DecodedToken]:
        self.sampling, self.allowed = sampling, allowed
        try:
            for byte in self.answer.encode()[:max_tokens]:
                self.n_stepped += 1
                score = None if n_top is None else TokenScore(bytes([byte]), -1.0)
                yield DecodedToken(byte, bytes([byte]), score)
        finally:
            self.iterator_closed = True

    def decode_each(
        self,
        sampling: Sampling,
        max_tokens: int,
        cancel: CancelCheck,
        is_over: Callable[[int], bool],
        waiting: Iterable[TailRows] = (),
    ) -> Iterator[AnswerToken]:
        """A byte of every answer in turn; ``answers``, where given, are of all prompts in turn."""
        self.sampling = sampling
        n_places, queue, running = len(self.tails), iter(waiting), {}
        try:
            for index in range(n_places):
                running[index] = iter(self._answer_of(index)[:max_tokens])
            while running:
                for index, text in tuple(running.items()):
                    byte = None if is_over(index) else next(text, None)
                    if byte is not None:
                        self.n_stepped += 1
                        yield AnswerToken(index, DecodedToken(byte, bytes([byte])))
                        continue
                    del running[index]
                    if not is_over(index):
                        yield AnswerToken(index, None)
                for tail in islice(queue, n_places - len(running)):
                    running[len(self.tails)] = iter(self._answer_of(len(self.tails))[:max_tokens])
                    self.tails += (tail,)
                    self.most_at_once = max(self.most_at_once, len(running))
        finally:
            self.iterator_closed = True

    def _answer_of(self, index: int) -> bytes:
        return (self.answers[index % len(self.answers)] if self.answers else self.answer).encode()

    def score(
        self, rows: EmbeddingRows, texts: Sequence[Sequence[int]], cancel: CancelCheck, n_prefix: int = 0
    ) -> Scores:
        """A letter has the probability 1/2, any other token 1/4."""
        self.rows, self.texts, self.n_prefix = rows, tuple(map(tuple, texts)), n_prefix
        scores = (tuple(math.log(1 / 2 if chr(token).isalpha() else 1 / 4) for token in text) for text in texts)
        return Scores(self._kept(rows), tuple(scores))

    def close(self) -> None:
        self.closed = True
