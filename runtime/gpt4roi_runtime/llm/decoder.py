"""The promise that a language engine keeps: rows in, bytes out. Does not know which engine keeps it."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gpt4roi_runtime.arrays import EmbeddingRows
from gpt4roi_runtime.errors import SettingsError

CancelCheck = Callable[[], bool]
"""Asked often from the engine's own thread; True means: stop now."""


@dataclass(frozen=True)
class DecoderInfo:
    """The sizes an engine really works with, read back from it after loading.

    Attributes:
        engine: Name and version of the engine.
        system: What the engine says of the machine (instruction sets, devices).
        embedding_length: Width ``d`` of a row.
        vocabulary_size: Number of tokens.
        context_length: Rows that fit the KV cache, prompt and answer together.
        batch_size: Most rows in one call of the engine.
        n_threads: Threads used for prefill and decode.
        notes: Warnings the user should see, such as a slow fall-back.
    """

    engine: str
    system: str
    embedding_length: int
    vocabulary_size: int
    context_length: int
    batch_size: int
    n_threads: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the likeliest token (greedy); otherwise logits are divided by it.
        top_k: Only the ``top_k`` likeliest tokens stay; 0 keeps all.
        top_p: The smallest set of tokens whose probability reaches ``top_p`` stays; 1 keeps all.
        seed: Start of the random numbers; the same seed gives the same answer on the same build and threads.

    Raises:
        SettingsError: A value is out of its range.
    """

    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= 10.0:
            raise SettingsError(
                f"temperature {self.temperature} is out of range", "Use a number from 0 (greedy) to 10."
            )
        if not 0 <= self.top_k < 2**31:
            raise SettingsError(f"top_k {self.top_k} is out of range", "Use 0 (keep all) or more, below 2147483648.")
        if not 0.0 < self.top_p <= 1.0:
            raise SettingsError(f"top_p {self.top_p} is out of range", "Use a number above 0 and up to 1.")
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"seed {self.seed} is out of range", "Use a whole number from 0 to 4294967295.")


@dataclass(frozen=True)
class DecodedToken:
    """One step of decoding.

    Attributes:
        token: Id in the vocabulary.
        text_bytes: Its bytes; a character may be split over several tokens.
    """

    token: int
    text_bytes: bytes


@runtime_checkable
class Decoder(Protocol):
    """A loaded language model with one sequence in its KV cache.

    One owner: calls come one after another. Every method may be called from any thread; the engine's work itself is
    done in one thread that the implementation owns.
    """

    @property
    def info(self) -> DecoderInfo:
        """The sizes the engine works with."""
        ...

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Token ids of plain text, without BOS.

        Text is never read as a special token: ``<|im_end|>`` typed by a user becomes ordinary characters, or, where
        the vocabulary has no such way, is refused.

        Raises:
            QuestionError: The vocabulary would turn a part of the text into a special token all the same.
        """
        ...

    def special_token(self, piece: str) -> int:
        """Id of the special token whose text is exactly ``piece``, such as ``<|im_end|>``.

        Raises:
            EngineError: The vocabulary has no such special token.
        """
        ...

    def embed(self, tokens: Sequence[int]) -> EmbeddingRows:
        """The model's own embeddings of ``tokens``, float32 ``[t d]``.

        Raises:
            EngineError: A token id is outside the vocabulary.
        """
        ...

    def prefill(self, rows: EmbeddingRows, cancel: CancelCheck) -> None:
        """Empty the KV cache and fill it with the prompt's ``rows``; the last row's logits are kept for ``decode``.

        Raises:
            ContextOverflowError: More rows than the context holds.
            EngineError: Rows of another width or dtype, or a failure of the engine.
            NumericError: Rows or logits that are not finite.
            Cancelled: ``cancel`` said so; the KV cache is empty again.
        """
        ...

    def decode(self, sampling: Sampling, max_tokens: int, cancel: CancelCheck) -> Generator[DecodedToken, None, None]:
        """Choose and feed one token after another behind the prefilled prompt, which gives one answer.

        Ends at the model's end-of-generation token (which is not yielded), after ``max_tokens``, or when the context
        is full. Closing the generator stops the engine.

        Raises:
            EngineError: Nothing was prefilled since the last answer, a newer prompt ended this one, or the engine
                failed.
            SettingsError: ``max_tokens`` is below 1.
            NumericError: Logits that are not finite.
            Cancelled: ``cancel`` said so.
        """
        ...

    def close(self) -> None:
        """Free the model. Any later call raises EngineError; closing twice is harmless."""
        ...
