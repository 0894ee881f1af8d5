"""llama.cpp as a ``Decoder``: checks what comes in, and hands every native call to the one thread that may make it.

Does not call native code itself, and knows no prompt template.
"""

import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.arrays import EmbeddingRows
from gpt4roi_runtime.backends.gguf_embeddings import TokenEmbeddings, import_quants
from gpt4roi_runtime.backends.gguf_header import GgufHeader
from gpt4roi_runtime.backends.llama_cpp_branches import Running
from gpt4roi_runtime.backends.llama_cpp_checks import check_prefix, check_rows, check_tokens
from gpt4roi_runtime.backends.llama_cpp_context import NativeContext
from gpt4roi_runtime.backends.llama_cpp_library import PINNED_VERSION, load_library
from gpt4roi_runtime.backends.llama_cpp_loading import NativeSizes, OnProgress
from gpt4roi_runtime.backends.llama_cpp_memory import check_cache_types, check_memory, kept_budget
from gpt4roi_runtime.backends.llama_cpp_model import NativeModel
from gpt4roi_runtime.backends.llama_cpp_pieces import Piece, split
from gpt4roi_runtime.backends.llama_cpp_selftest import SelfTest
from gpt4roi_runtime.backends.llama_cpp_settings import MAX_ANSWERS, LlamaCppSettings
from gpt4roi_runtime.backends.llama_cpp_states import PrefixStates
from gpt4roi_runtime.backends.llama_cpp_thread import Abandoned, EngineThread, Job
from gpt4roi_runtime.errors import EngineError, SettingsError
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
        self, thread: EngineThread, native: _Native, notes: tuple[str, ...], system: str, states: PrefixStates
    ) -> None:
        context = native.model.context
        self._states = states
        self._thread = thread
        self._native = native
        self._free = weakref.finalize(self, thread.stop, native.free)
        self._info = DecoderInfo(
            engine=f"llama-cpp-python {PINNED_VERSION}",
            system=system,
            embedding_length=context.embedding_length,
            vocabulary_size=context.vocabulary.size,
            context_length=context.context_length,
            batch_size=context.batch_size,
            n_threads=context.n_threads,
            notes=notes,
            max_answers=context.max_answers,
            model=context.description,
            model_bytes=context.weights_bytes,
            n_weights=context.n_weights,
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
                context = NativeContext(library, gguf, header, sizes, on_progress, lambda: abandoned() or cancel())
            except BaseException:
                embeddings.close()
                raise
            loaded.append(_Native(NativeModel(context), embeddings))
            return loaded[0], library.system

        try:
            job = thread.submit(work)
            import_quants()  # here, while the model is loading there
            native, system = job.result()
        except BaseException:
            thread.stop(lambda: _free_all(loaded))
            raise
        return cls(thread, native, notes, system, PrefixStates.of(header, sizes, system))

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
        check_rows(prefix, self._info.embedding_length)
        return self._thread.run(lambda abandoned: self._native.model.prepare(prefix, lambda: abandoned() or cancel()))

    def prefill(self, rows: npt.NDArray[Any], cancel: CancelCheck, n_prefix: int = 0) -> Prefilled:
        """Make the KV cache hold the prompt's ``rows``; see ``Decoder.prefill``."""
        check_rows(rows, self._info.embedding_length)
        check_prefix(rows, n_prefix)
        model = self._native.model
        return self._thread.run(lambda abandoned: model.prefill(rows, lambda: abandoned() or cancel(), n_prefix))

    def prefill_each(
        self, shared: npt.NDArray[Any], tails: Sequence[npt.NDArray[Any]], cancel: CancelCheck, n_prefix: int = 0
    ) -> Prefilled:
        """Make the KV cache hold several prompts with a common beginning; see ``Decoder.prefill_each``."""
        for rows in (shared, *tails):
            check_rows(rows, self._info.embedding_length)
        check_prefix(shared, n_prefix)
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
        self,
        sampling: Sampling,
        max_tokens: int,
        cancel: CancelCheck,
        is_over: Callable[[int], bool],
        waiting: Iterable[npt.NDArray[Any]] = (),
    ) -> Generator[AnswerToken, None, None]:
        """Choose and feed tokens behind several prompts at once; see ``Decoder.decode_each``.

        The next step runs while the caller handles this one.
        """
        if max_tokens < 1:
            raise SettingsError(f"max_tokens {max_tokens} is out of range", "Use 1 or more.")
        native = self._native
        answer = self._thread.run(lambda _: native.model.begin_answers(sampling, max_tokens, native.embeddings.rows))
        return self._steps_each(answer, cancel, is_over, iter(waiting))

    def score(
        self, rows: npt.NDArray[Any], texts: Sequence[Sequence[int]], cancel: CancelCheck, n_prefix: int = 0
    ) -> Scores:
        """How likely each of several texts is behind the prompt's ``rows``; see ``Decoder.score``."""
        check_rows(rows, self._info.embedding_length)
        check_prefix(rows, n_prefix)
        for text in texts:
            check_tokens(text, self._info.vocabulary_size)
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
        self,
        answer: int,
        cancel: CancelCheck,
        is_over: Callable[[int], bool],
        waiting: Iterator[npt.NDArray[Any]],
    ) -> Generator[AnswerToken, None, None]:
        """Who is over and who comes next is asked here, at a place that no thread's speed decides."""
        model = self._native.model
        step: Job[tuple[tuple[AnswerToken, ...], Running] | None] | None = None

        def submit(over: frozenset[int], tails: Sequence[npt.NDArray[Any]]) -> Job[Any]:
            return self._thread.submit(
                lambda abandoned: model.step_each(answer, over, tails, lambda: abandoned() or cancel())
            )

        try:
            step = submit(frozenset(), ())
            while (found := step.result()) is not None:
                tokens, running = found
                over = frozenset(filter(is_over, running.numbers))
                tails = list(islice(waiting, max(0, running.n_free + len(over))))
                for tail in tails:
                    check_rows(tail, self._info.embedding_length)
                step = submit(over, tails)
                yield from (token for token in tokens if not is_over(token.answer))
        finally:
            if step is not None:
                step.abandon()
            with suppress(EngineError):  # closed, with all that was in it
                self._thread.submit(lambda _: model.end_answers(answer))

    def _submit_step(self, answer: int, cancel: CancelCheck) -> Job[DecodedToken | None]:
        model = self._native.model
        return self._thread.submit(lambda abandoned: model.step(answer, lambda: abandoned() or cancel()))

    def _pieces(self, prefix: npt.NDArray[Any]) -> tuple[Piece, ...]:
        check_rows(prefix, self._info.embedding_length)
        return split(prefix, len(prefix), self._info.batch_size)


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
