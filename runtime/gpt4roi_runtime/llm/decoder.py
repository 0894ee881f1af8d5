"""The promise that a language engine keeps: rows in, bytes out. Does not know which engine keeps it."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.arrays import EmbeddingRows, TailRows
from gpt4roi_runtime.confidence import TokenScore
from gpt4roi_runtime.errors import SettingsError

PrefixState = npt.NDArray[np.uint8]
"""A prefix as it lies in the KV cache, in the engine's own words; only for the engine that wrote it."""

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
        max_answers: Most answers that can be written side by side.
        model: Architecture, size and type of the weights, in the engine's words.
        model_bytes: Bytes of the weights.
        n_weights: How many there are.
    """

    engine: str
    system: str
    embedding_length: int
    vocabulary_size: int
    context_length: int
    batch_size: int
    n_threads: int
    notes: tuple[str, ...] = ()
    max_answers: int = 1
    model: str = ""
    model_bytes: int = 0
    n_weights: int = 0


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


MAX_TOP = 20
"""Most alternatives that are told of a token."""


def check_n_top(n_top: int | None) -> None:
    """Refuse a number of alternatives that nobody can want.

    Raises:
        SettingsError: It is out of its range.
    """
    if n_top is not None and not 0 <= n_top <= MAX_TOP:
        raise SettingsError(f"{n_top} alternatives a token is out of range", f"Use 0 to {MAX_TOP}.")


@dataclass(frozen=True)
class Allowed:
    """The only answers that may be written.

    An answer is written as: the lead, one of the texts, and then the model's own end or a stop string. Up to two spaces
    or line breaks may stand before the stop string.

    Attributes:
        texts: One or more, without white space at their ends and without control characters.
        lead: What stands in front of every text, or an empty string.
        stop: Strings that end an answer as well as the model's own end.
        space: Whether one stands before the lead, and before the text.
    """

    texts: tuple[str, ...]
    lead: str = ""
    stop: tuple[str, ...] = ()
    space: Literal["none", "optional", "required"] = "optional"

    @property
    def max_tokens(self) -> int:
        """Tokens that are enough for every way to write any of the texts: a token is a byte at least."""
        longest = max(len(text.encode()) for text in self.texts)
        return len(f" {self.lead} ".encode()) + longest + 2 + max((len(stop.encode()) for stop in self.stop), default=0)


@dataclass(frozen=True)
class DecodedToken:
    """One step of decoding.

    Attributes:
        token: Its id.
        text_bytes: What it adds to the text: UTF-8 bytes, possibly a part of a character, possibly none.
        score: How likely it was, where that was asked for.
    """

    token: int
    text_bytes: bytes
    score: TokenScore | None = None


@dataclass(frozen=True)
class AnswerToken:
    """One step of one of several answers.

    Attributes:
        answer: Which one, from 0.
        token: Its next token; None when it has ended by itself, at ``max_tokens`` or because the context is full.
    """

    answer: int
    token: DecodedToken | None


@dataclass(frozen=True)
class Prefilled:
    """What became of the rows of a prompt.

    Attributes:
        n_kept: Rows that were in the KV cache already, or kept aside for it.
        n_computed: Rows that had to be computed.
    """

    n_kept: int
    n_computed: int


@dataclass(frozen=True)
class Scores:
    """How likely several texts are behind one prompt.

    Attributes:
        filled: What became of the prompt's rows.
        log_probabilities: Natural logarithms, of every token of every text: of the token behind all that precedes it.
    """

    filled: Prefilled
    log_probabilities: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class PrefixFacts:
    """What is known of a prefix without computing it.

    Attributes:
        key: 64 hex digits, equal only where the rows, the engine's build, the machine and every setting that decides a
            bit of the state are equal. The model is not among them: whoever keeps states tells models apart.
        is_there: Whether it lies in the KV cache or aside, so that no state is needed.
        most_bytes: More than its state can take.
    """

    key: str
    is_there: bool
    most_bytes: int


@runtime_checkable
class Decoder(Protocol):
    """A loaded language model and its KV cache, which holds one prompt and may keep beginnings of others.

    A prompt may begin with a prefix, the rows that belong to an image and not to a question. A prefix shares no call of
    the engine with the rows behind it, so whether it was kept or computed changes no number behind it. Rows are the
    same only if they are equal byte for byte.

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

    def prepare(self, prefix: EmbeddingRows, cancel: CancelCheck) -> Prefilled:
        """Put a prefix into the KV cache ahead of its questions; what was there before may be kept aside.

        Raises:
            ContextOverflowError: More rows than the context holds.
            EngineError: Rows of another width or dtype, or a failure of the engine.
            NumericError: Rows that are not finite.
            Cancelled: ``cancel`` said so; what is done stays done.
        """
        ...

    def prefill(self, rows: EmbeddingRows, cancel: CancelCheck, n_prefix: int = 0) -> Prefilled:
        """Make the KV cache hold the prompt's ``rows`` and no others; the last row's logits are kept for ``decode``.

        Args:
            rows: Float32 ``[t d]``.
            cancel: Asked often; True stops the work.
            n_prefix: How many of the rows are the prefix.

        Raises:
            ContextOverflowError: More rows than the context holds.
            EngineError: Rows of another width or dtype, a prefix longer than the prompt, or a failure of the engine.
            NumericError: Rows or logits that are not finite.
            Cancelled: ``cancel`` said so; what is done stays done.
        """
        ...

    def decode(
        self,
        sampling: Sampling,
        max_tokens: int,
        cancel: CancelCheck,
        *,
        allowed: Allowed | None = None,
        n_top: int | None = None,
    ) -> Generator[DecodedToken, None, None]:
        """Choose and feed one token after another behind the prefilled prompt, which gives one answer.

        Ends at the model's end-of-generation token (which is not yielded), after ``max_tokens``, or when the context
        is full. Closing the generator stops the engine.

        Args:
            sampling: How tokens are chosen.
            max_tokens: Most tokens.
            cancel: Asked between tokens, from the engine's thread.
            allowed: Where given, the answer is one of these, if ``allowed.max_tokens`` tokens may be and do fit.
            n_top: Where given, every token has a ``score`` with so many alternatives, 0 to ``MAX_TOP``; otherwise none
                is worked out.

        Raises:
            EngineError: Nothing was prefilled since the last answer, a newer prompt ended this one, the vocabulary
                cannot write what is allowed, or the engine failed.
            SettingsError: ``max_tokens`` is below 1, or ``n_top`` out of its range.
            NumericError: Logits that are not finite.
            Cancelled: ``cancel`` said so.
        """
        ...

    def prefill_each(
        self, shared: EmbeddingRows, tails: Sequence[TailRows], cancel: CancelCheck, n_prefix: int = 0
    ) -> Prefilled:
        """The same for several prompts that begin with the ``shared`` rows, for ``decode_each``.

        Args:
            shared: Float32 ``[t d]``.
            tails: The rows behind them of every prompt, 1 to ``max_answers`` prompts.
            cancel: Asked often; True stops the work.
            n_prefix: How many of the shared rows are the prefix.

        Raises:
            ContextOverflowError: More rows than the context holds.
            EngineError: As ``prefill``, or more prompts than can be answered side by side.
            NumericError: Rows or logits that are not finite.
            Cancelled: ``cancel`` said so; the tails are gone.
        """
        ...

    def decode_each(
        self,
        sampling: Sampling,
        max_tokens: int,
        cancel: CancelCheck,
        is_over: Callable[[int], bool],
        waiting: Iterable[TailRows] = (),
    ) -> Generator[AnswerToken, None, None]:
        """Choose and feed tokens behind all prompts of ``prefill_each`` at once, in one batch a step.

        As soon as an answer has ended, its place is taken by the next prompt that waits, if the context is sure to have
        room for all tokens of all: its rows go into the calls that feed the others' tokens. So there are never more
        answers at once than prompts were prefilled. Every answer is as long as ``decode`` would make it, and has a
        sampler of its own. Closing the generator stops the engine.

        Args:
            sampling: Of every answer.
            max_tokens: Of every answer.
            cancel: Asked between steps, from the engine's thread, and often where a long prompt is computed.
            is_over: Asked between steps for every answer that goes on; True ends that answer alone, of which nothing
                more comes.
            waiting: Rows of further prompts behind the shared ones, each float32 ``[t d]``; taken between steps, one
                for every free place. Their answers are numbered on.

        Raises:
            EngineError: As ``decode``; rows that wait are refused when their turn comes.
            ContextOverflowError: A prompt that waits does not fit even alone.
            SettingsError: ``max_tokens`` is below 1.
            NumericError: Rows or logits that are not finite.
            Cancelled: ``cancel`` said so.
        """
        ...

    def score(
        self, rows: EmbeddingRows, texts: Sequence[Sequence[int]], cancel: CancelCheck, n_prefix: int = 0
    ) -> Scores:
        """How likely each of several texts is behind the prompt's ``rows``; chooses nothing.

        The rows are computed once, and stay as ``prefill`` leaves them. Numbers do not depend on the order of the
        texts, but on which there are: kernels round by the number of rows in a call.

        Args:
            rows: Float32 ``[t d]``.
            texts: Ids of tokens, one or more of each text; any number of texts.
            cancel: Asked often; True stops the work.
            n_prefix: How many of the rows are the prefix.

        Raises:
            ContextOverflowError: Rows and the longest text are more than the context holds.
            EngineError: As ``prefill``, a text without tokens, or a token outside the vocabulary.
            NumericError: Rows or logits that are not finite.
            Cancelled: ``cancel`` said so; no row of a text stays.
        """
        ...

    def close(self) -> None:
        """Free the model. Any later call raises EngineError; closing twice is harmless."""
        ...


@runtime_checkable
class WritesPrefixes(Protocol):
    """What a decoder can promise besides: a prefix leaves the KV cache as bytes, and comes back bit for bit.

    The caller keeps bytes apart by ``PrefixFacts.key`` and makes sure that they are those that were written.
    """

    def prefix_facts(self, prefix: EmbeddingRows) -> PrefixFacts:
        """What is known of a prefix, float32 ``[t d]``, whether or not it was ever computed.

        Raises:
            EngineError: Rows of another width or dtype.
            NumericError: Rows that are not finite.
        """
        ...

    def write_prefix(self, prefix: EmbeddingRows) -> PrefixState | None:
        """The state of a prefix that ``is_there``, or None if it is not. What is being answered ends.

        Raises:
            EngineError: As ``prefix_facts``.
        """
        ...

    def read_prefix(self, prefix: EmbeddingRows, state: PrefixState) -> bool:
        """Put a prefix into the KV cache from its state; what is being answered ends, as with ``Decoder.prepare``.

        Every number after it is the one that it would be had the prefix been computed.

        Returns:
            Whether it lies there now; a state that the engine refuses leaves an empty cache.

        Raises:
            ContextOverflowError: More rows than the context holds.
            EngineError: As ``prefix_facts``.
        """
        ...
