"""Engines that keep the promises of `vision` and `llm` with arithmetic a test can follow; no model behind them."""

from collections.abc import Iterator, Sequence

import numpy as np

from gpt4roi_runtime.arrays import Boxes, EmbeddingRows, FeatureMap, PixelValues, RegionEmbeddings
from gpt4roi_runtime.llm.decoder import CancelCheck, DecodedToken, DecoderInfo, Sampling
from gpt4roi_runtime.vision.encoder import ImageFeatures

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

    def embed_regions(self, pyramid: tuple[FeatureMap, ...], boxes: Boxes) -> RegionEmbeddings:
        return np.repeat(boxes[:, None, :], self.n_rows_per_region, axis=1)

    def close(self) -> None:
        self.closed = True


class FakeDecoder:
    """A token is a character's code; its embedding holds that code; the answer is given beforehand."""

    def __init__(self, answer: str = "a dog", context_length: int = 400) -> None:
        self.answer = answer
        self.rows: EmbeddingRows | None = None
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
        )

    def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(map(ord, text))

    def special_token(self, piece: str) -> int:
        return {"<s>": 1, "<im_start>": 2, "<im_end>": 3}[piece]

    def embed(self, tokens: Sequence[int]) -> EmbeddingRows:
        return np.repeat(np.array(tokens, dtype=np.float32).reshape(-1, 1), WIDTH, axis=1)

    def prefill(self, rows: EmbeddingRows, cancel: CancelCheck) -> None:
        self.rows = rows

    def decode(self, sampling: Sampling, max_tokens: int, cancel: CancelCheck) -> Iterator[DecodedToken]:
        self.sampling = sampling
        try:
            for byte in self.answer.encode()[:max_tokens]:
                self.n_stepped += 1
                yield DecodedToken(byte, bytes([byte]))
        finally:
            self.iterator_closed = True

    def close(self) -> None:
        self.closed = True
