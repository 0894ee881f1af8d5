"""llama.cpp as a ``Decoder``: checks what comes in, and hands every native call to the one thread that may make it.

Does not call native code itself, and knows no prompt template.
"""

import weakref
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.arrays import EmbeddingRows
from gpt4roi_runtime.backends.gguf_embeddings import TokenEmbeddings, import_quants
from gpt4roi_runtime.backends.gguf_header import GgufHeader
from gpt4roi_runtime.backends.llama_cpp_child import library_identity
from gpt4roi_runtime.backends.llama_cpp_library import PINNED_VERSION, load_library
from gpt4roi_runtime.backends.llama_cpp_memory import cache_bytes, check_cache_types, check_memory, kept_budget
from gpt4roi_runtime.backends.llama_cpp_model import NativeModel, NativeSizes, OnProgress
from gpt4roi_runtime.backends.llama_cpp_pieces import Piece, split
from gpt4roi_runtime.backends.llama_cpp_selftest import SelfTest
from gpt4roi_runtime.backends.llama_cpp_settings import MAX_ANSWERS, LlamaCppSettings
from gpt4roi_runtime.backends.llama_cpp_thread import Abandoned, EngineThread, Job
from gpt4roi_runtime.errors import EngineError, NumericError, SettingsError
from gpt4roi_runtime.llm.decoder import (
    Allowed,
    AnswerToken,
    CancelCheck,
    DecodedToken,
    DecoderInfo,
    Prefilled,
    PrefixFacts,
    Sampling,
    Scores,
    check_n_top,
)

_THREADS = ("n_threads", "yields")
"""They change no bit of a prefix, but where attention is fused and a call has one row: threads share its sum."""
_CHANGE_NO_BIT = (*_THREADS, "kept_bytes")
"""Sizes that a prefix's state does not depend on; the tests see to that."""
_MOST_OVERHEAD_BYTES, _MOST_OVERHEAD_BYTES_PER_ROW = 1 << 16, 64


@dataclass
class _Native:
    """What the engine's thread owns; nobody else looks inside."""

    model: NativeModel
    embeddings: TokenEmbeddings

    def free(self) -> None:
        self.model.free()
        self.embeddings.close()


class LlamaCppDecoder:
    """A GGUF loaded by llama.cpp, with a prompt and up to 16 answers in its KV cache. Made by ``load``.

    Keeps the promises of ``Decoder`` and ``WritesPrefixes``. It frees itself when it is closed, collected, or when the
    interpreter ends.
    """

    def __init__(
        self, thread: EngineThread, native: _Native, notes: tuple[str, ...], system: str, states: "_States"
    ) -> None:
        model = native.model
        self._states = states
        self._thread = thread
        self._native = native
        self._free = weakref.finalize(self, thread.stop, native.free)
        self._info = DecoderInfo(
            engine=f"llama-cpp-python {PINNED_VERSION}",
            system=system,
            embedding_length=model.embedding_length,
            vocabulary_size=model.vocabulary_size,
            context_length=model.context_length,
            batch_size=model.batch_size,
            n_threads=model.n_threads,
            notes=notes,
            max_answers=model.max_answers,
            model=model.description,
            model_bytes=model.weights_bytes,
            n_weights=model.n_weights,
        )

    @classmethod
    def load(
        cls,
        gguf: Path,
        header: GgufHeader,
        settings: LlamaCppSettings | None = None,
        *,
        context_limit: int | None = None,
        self_test: SelfTest | None = None,
        on_progress: OnProgress = lambda _part: None,
        cancel: CancelCheck = lambda: False,
    ) -> "LlamaCppDecoder":
        """Load a model.

        Args:
            gguf: The file, its hash already checked.
            header: What ``inspect_gguf`` found in it.
            settings: How to run; defaults suit this machine.
            context_limit: Positions the model is good for, where its maker knows of fewer than the header says.
            self_test: Where the self-test of the native library remembers its result; by default in the user's cache.
            on_progress: Hears the part done, 0 to 1, in the engine's thread.
            cancel: Asked while loading, in the engine's thread.

        Raises:
            SettingsError: A longer context was asked for than the model was trained for, a cache of a type that its
                heads cannot have, or a GPU where llama.cpp was built without.
            EngineMissingError: llama-cpp-python is not installed.
            EngineError: It does not run here, refused the file, or there is too little memory.
            Cancelled: ``cancel`` said so.
        """
        settings = settings or LlamaCppSettings()
        trained_length = header.context_length if context_limit is None else min(header.context_length, context_limit)
        context_length = settings.context_for(trained_length)
        types = (settings.type_k, settings.type_v)
        check_cache_types(header, types)
        kept_bytes = kept_budget(header, context_length, settings.kept_bytes, types)
        check_memory(header, context_length, kept_bytes, types)
        repack, notes = _choose_repack(settings, self_test or SelfTest())
        sizes = NativeSizes(
            context_length=context_length,
            batch_size=settings.batch_size,
            n_threads=settings.threads(),
            yields=settings.n_threads is None,
            flash_attention=settings.wants_flash_attention(header.embedding_length),
            repack=repack,
            max_answers=min(MAX_ANSWERS, settings.rows_at_once()),
            kept_bytes=kept_bytes,
            ubatch_size=settings.rows_at_once(),
            type_k=settings.type_k,
            type_v=settings.type_v,
            n_gpu_layers=settings.n_gpu_layers,
        )
        thread = EngineThread("llama.cpp")
        loaded: list[_Native] = []

        def work(abandoned: Abandoned) -> tuple[_Native, str]:
            library = load_library()
            embeddings = TokenEmbeddings(gguf, header)
            try:
                model = NativeModel(library, gguf, header, sizes, on_progress, lambda: abandoned() or cancel())
            except BaseException:
                embeddings.close()
                raise
            loaded.append(_Native(model, embeddings))
            return loaded[0], library.system

        try:
            job = thread.submit(work)
            import_quants()  # here, while the model is loading there
            native, system = job.result()
        except BaseException:
            thread.stop(lambda: _free_all(loaded))
            raise
        return cls(thread, native, notes, system, _States.of(header, sizes, system))

    @property
    def info(self) -> DecoderInfo:
        """The sizes llama.cpp works with, read back after loading."""
        return self._info

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Token ids of plain text, without BOS; see ``Decoder.tokenize``."""
        return self._thread.run(lambda _: self._native.model.vocabulary.tokenize(text))

    def special_token(self, piece: str) -> int:
        """Id of a special token by its text; see ``Decoder.special_token``."""
        return self._thread.run(lambda _: self._native.model.vocabulary.special_token(piece))

    def embed(self, tokens: Sequence[int]) -> EmbeddingRows:
        """The model's own embeddings of ``tokens``; see ``Decoder.embed``."""
        return self._thread.run(lambda _: self._native.embeddings.rows(tokens))

    def prepare(self, prefix: npt.NDArray[Any], cancel: CancelCheck) -> Prefilled:
        """Put a prefix into the KV cache ahead of its questions; see ``Decoder.prepare``."""
        self._check_rows(prefix)
        return self._thread.run(lambda abandoned: self._native.model.prepare(prefix, lambda: abandoned() or cancel()))

    def prefill(self, rows: npt.NDArray[Any], cancel: CancelCheck, n_prefix: int = 0) -> Prefilled:
        """Make the KV cache hold the prompt's ``rows``; see ``Decoder.prefill``.

        The argument is typed loosely and checked by hand, because here a wrong dtype or width would be read past its
        end by native code.
        """
        self._check_rows(rows)
        _check_prefix(rows, n_prefix)
        model = self._native.model
        return self._thread.run(lambda abandoned: model.prefill(rows, lambda: abandoned() or cancel(), n_prefix))

    def prefill_each(
        self, shared: npt.NDArray[Any], tails: Sequence[npt.NDArray[Any]], cancel: CancelCheck, n_prefix: int = 0
    ) -> Prefilled:
        """Make the KV cache hold several prompts with a common beginning; see ``Decoder.prefill_each``."""
        for rows in (shared, *tails):
            self._check_rows(rows)
        _check_prefix(shared, n_prefix)
        model = self._native.model
        return self._thread.run(
            lambda abandoned: model.prefill_each(shared, tails, lambda: abandoned() or cancel(), n_prefix)
        )

    def prefix_facts(self, prefix: npt.NDArray[Any]) -> PrefixFacts:
        """What is known of a prefix without computing it; see ``WritesPrefixes.prefix_facts``."""
        pieces = self._pieces(prefix)
        is_there = self._thread.run(lambda _: self._native.model.cache.holds(pieces))
        return PrefixFacts(self._states.key_of(pieces), is_there, self._states.most_bytes(len(prefix)))

    def write_prefix(self, prefix: npt.NDArray[Any]) -> npt.NDArray[np.uint8] | None:
        """The state of a prefix that is there; see ``WritesPrefixes.write_prefix``."""
        pieces = self._pieces(prefix)
        return self._thread.run(lambda _: self._native.model.write_prefix(pieces))

    def read_prefix(self, prefix: npt.NDArray[Any], state: npt.NDArray[np.uint8]) -> bool:
        """Put a prefix into the KV cache from its state; see ``WritesPrefixes.read_prefix``."""
        pieces, whole = self._pieces(prefix), np.ascontiguousarray(state, dtype=np.uint8)
        return self._thread.run(lambda _: self._native.model.read_prefix(pieces, whole))

    def decode(
        self,
        sampling: Sampling,
        max_tokens: int,
        cancel: CancelCheck,
        *,
        allowed: Allowed | None = None,
        n_top: int | None = None,
    ) -> Generator[DecodedToken, None, None]:
        """Choose and feed one token after another; see ``Decoder.decode``.

        The step for the next token runs while the caller handles this one.
        """
        if max_tokens < 1:
            raise SettingsError(f"max_tokens {max_tokens} is out of range", "Use 1 or more.")
        check_n_top(n_top)
        answer = self._thread.run(lambda _: self._native.model.begin_answer(sampling, allowed, n_top))
        return self._steps(answer, max_tokens, cancel)

    def decode_each(
        self, sampling: Sampling, max_tokens: int, cancel: CancelCheck, is_over: Callable[[int], bool]
    ) -> Generator[AnswerToken, None, None]:
        """Choose and feed tokens behind several prompts at once; see ``Decoder.decode_each``.

        The next step runs while the caller handles this one.
        """
        if max_tokens < 1:
            raise SettingsError(f"max_tokens {max_tokens} is out of range", "Use 1 or more.")
        answer = self._thread.run(lambda _: self._native.model.begin_answers(sampling, max_tokens))
        return self._steps_each(answer, cancel, is_over)

    def score(
        self, rows: npt.NDArray[Any], texts: Sequence[Sequence[int]], cancel: CancelCheck, n_prefix: int = 0
    ) -> Scores:
        """How likely each of several texts is behind the prompt's ``rows``; see ``Decoder.score``."""
        self._check_rows(rows)
        _check_prefix(rows, n_prefix)
        for text in texts:
            _check_tokens(text, self._info.vocabulary_size)
        if not texts:
            return Scores(Prefilled(0, 0), ())
        model = self._native.model
        return self._thread.run(lambda abandoned: model.score(rows, texts, lambda: abandoned() or cancel(), n_prefix))

    def sequence_lengths(self) -> tuple[int, ...]:
        """Rows of every sequence in the KV cache, the prompt's first and then those of answers side by side."""
        return self._thread.run(lambda _: self._native.model.cache.lengths())

    def logits(self) -> npt.NDArray[np.float32]:
        """Scores of every token to come next, float32 ``[vocabulary]``, after ``prefill``.

        Raises:
            EngineError: Nothing was prefilled.
        """
        return self._thread.run(lambda _: self._native.model.logits())

    def close(self) -> None:
        """Free the model; see ``Decoder.close``."""
        self._free()

    def _steps(self, answer: int, max_tokens: int, cancel: CancelCheck) -> Generator[DecodedToken, None, None]:
        step = self._submit_step(answer, cancel)
        try:
            for n_left in reversed(range(max_tokens)):
                token = step.result()
                if token is None:
                    return
                if n_left > 0:
                    step = self._submit_step(answer, cancel)
                yield token
        finally:
            step.abandon()

    def _steps_each(
        self, answer: int, cancel: CancelCheck, is_over: Callable[[int], bool]
    ) -> Generator[AnswerToken, None, None]:
        model = self._native.model

        def submit() -> Job[tuple[AnswerToken, ...] | None]:
            return self._thread.submit(
                lambda abandoned: model.step_each(answer, is_over, lambda: abandoned() or cancel())
            )

        step = submit()
        try:
            while (tokens := step.result()) is not None:
                step = submit()
                yield from tokens
        finally:
            step.abandon()
            with suppress(EngineError):  # closed, with all that was in it
                self._thread.submit(lambda _: model.end_answers(answer))

    def _submit_step(self, answer: int, cancel: CancelCheck) -> Job[DecodedToken | None]:
        model = self._native.model
        return self._thread.submit(lambda abandoned: model.step(answer, lambda: abandoned() or cancel()))

    def _pieces(self, prefix: npt.NDArray[Any]) -> tuple[Piece, ...]:
        self._check_rows(prefix)
        return split(prefix, len(prefix), self._info.batch_size)

    def _check_rows(self, rows: npt.NDArray[Any]) -> None:
        width = self._info.embedding_length
        kind = getattr(rows, "dtype", type(rows).__name__)
        if kind != np.float32:
            raise EngineError(f"the prompt's rows are {kind}, expected float32", "Convert them before prefill.")
        if rows.ndim != 2 or rows.shape[1] != width or rows.shape[0] < 1:
            raise EngineError(
                f"the prompt's rows have shape {rows.shape}, expected (1 or more, {width})",
                "Graphs and GGUF of a bundle must have one width; run gpt4roi verify on it.",
            )
        if not rows.flags.c_contiguous:
            raise EngineError("the prompt's rows are not C-contiguous", "Use numpy.ascontiguousarray before prefill.")
        if not np.isfinite(rows).all():
            first = int(np.argmin(np.isfinite(rows).all(axis=1)))
            raise NumericError(
                f"row {first} of the prompt holds NaN or infinity", "The encoder's output is broken; verify the bundle."
            )


@dataclass(frozen=True)
class _States:
    """What tells the states of prefixes apart, and how large they can be.

    Attributes:
        identity: Hash of build, machine and settings.
        threads: What is known of them, where they may decide a bit.
        most_bytes_per_row: Of a KV cache of float32; no type is wider.
    """

    identity: str
    threads: tuple[object, ...]
    most_bytes_per_row: int

    @classmethod
    def of(cls, header: GgufHeader, sizes: NativeSizes, system: str) -> "_States":
        values = asdict(sizes)
        decides = {name: value for name, value in sorted(values.items()) if name not in _CHANGE_NO_BIT}
        threads = tuple(values[name] for name in _THREADS) if sizes.flash_attention else ()
        build = (PINNED_VERSION, library_identity(), system)
        identity = sha256(repr((build, header.embedding_length, decides)).encode()).hexdigest()
        return cls(identity, threads, 2 * cache_bytes(header, 1) + _MOST_OVERHEAD_BYTES_PER_ROW)

    def key_of(self, pieces: Sequence[Piece]) -> str:
        """Of a prefix, 64 hex digits; its last piece's key tells of all rows and of how they are split."""
        threads = self.threads if any(piece.end - piece.start == 1 for piece in pieces) else ()
        decides = (self.identity, threads, pieces[-1].end, pieces[-1].key)
        return sha256(repr(decides).encode()).hexdigest()

    def most_bytes(self, n_rows: int) -> int:
        """More than the state of so many rows can take."""
        return _MOST_OVERHEAD_BYTES + n_rows * self.most_bytes_per_row


def _check_prefix(rows: npt.NDArray[Any], n_prefix: int) -> None:
    if not 0 <= n_prefix <= len(rows):
        raise EngineError(f"a prefix of {n_prefix} rows in a prompt of {len(rows)}", "It is the prompt's beginning.")


def _check_tokens(text: Sequence[int], vocabulary_size: int) -> None:
    if len(text) == 0:
        raise EngineError("a text without tokens cannot be scored", "Leave it out.")
    for token in text:
        if not 0 <= token < vocabulary_size:
            raise EngineError(f"token {token} is outside the vocabulary of {vocabulary_size}", "Tokenize the text.")


def _choose_repack(settings: LlamaCppSettings, self_test: SelfTest) -> tuple[bool, tuple[str, ...]]:
    """Whether to rearrange weights, and what the user should know about it."""
    if settings.repack != "auto":
        return settings.repack == "on", ()
    verdict = self_test.verdict()
    return verdict.repack_works, () if verdict.note is None else (verdict.note,)


def _free_all(loaded: list[_Native]) -> None:
    """Free what was loaded, even if that was after its caller had gone."""
    for native in loaded:
        native.free()
