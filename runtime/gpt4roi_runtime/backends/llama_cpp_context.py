"""Owner of one model's native pointers, and the calls that compute; knows no question, no answer and no thread.

Made, used and freed in one and the same thread.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.arrays import TailRows
from gpt4roi_runtime.backends.gguf_header import GgufHeader
from gpt4roi_runtime.backends.llama_cpp_batches import RowBatch, TokenBatch
from gpt4roi_runtime.backends.llama_cpp_cache import NativeCache
from gpt4roi_runtime.backends.llama_cpp_cores import FreeCores
from gpt4roi_runtime.backends.llama_cpp_guard import CallbackGuard
from gpt4roi_runtime.backends.llama_cpp_library import NativeLibrary
from gpt4roi_runtime.backends.llama_cpp_loading import NativeSizes, OnProgress, failure, load_model, make_context
from gpt4roi_runtime.backends.llama_cpp_threads import NativeThreads
from gpt4roi_runtime.backends.llama_cpp_vocabulary import NativeVocabulary
from gpt4roi_runtime.errors import ContextOverflowError, EngineError, NumericError
from gpt4roi_runtime.llm.decoder import CancelCheck


class NativeContext:
    """One loaded model, its KV cache and its batches.

    Attributes:
        api: The library's functions.
        pointer: The context's, for those who call a function of the library themselves.
        vocabulary: Of the model.
        cache: What is in the KV cache.
        context_length: Rows of the KV cache, as llama.cpp took them.
        batch_size: Most rows of a call.
        max_answers: Most answers side by side.

    Raises:
        EngineError: llama.cpp refused the file or the sizes; its own words are in the message.
        Cancelled: ``cancel`` said so while loading.
    """

    def __init__(
        self,
        library: NativeLibrary,
        path: Path,
        header: GgufHeader,
        sizes: NativeSizes,
        on_progress: OnProgress,
        cancel: CancelCheck,
    ) -> None:
        self._library = library
        self.api = library.api
        self.pointer: Any = None
        self._model: Any = None
        self._threads: NativeThreads | None = None
        self._cores = FreeCores(sizes.n_threads) if sizes.yields else None
        self._logits_at: dict[int, npt.NDArray[np.float32]] = {}
        try:
            self._model = load_model(library, path, sizes, on_progress, cancel)
            self.vocabulary = NativeVocabulary(library, self.api.llama_model_get_vocab(self._model))
            self._check_model(header)
            self.pointer = make_context(library, self._model, sizes)
            self._read_back(sizes)
            if self.n_threads > 1:
                self._threads = NativeThreads(self.api, self.pointer, self.n_threads)
        except BaseException:
            self.free()
            raise

    def free(self) -> None:
        """Free everything, the newest first; twice is harmless. Samplers are freed before."""
        context, self.pointer = self.pointer, None
        model, self._model = self._model, None
        threads, self._threads = self._threads, None
        if context:
            self.api.llama_free(context)
        if threads is not None:
            threads.free()
        if model:
            self.api.llama_model_free(model)

    def check_room(self, n_rows: int) -> None:
        """Refuse a prompt that leaves no row for a token.

        Raises:
            ContextOverflowError: With both numbers.
        """
        if n_rows > self.context_length - 1:
            raise ContextOverflowError(
                f"the prompt takes {n_rows} rows of the context's {self.context_length}, and one more must stay free",
                "Ask a shorter question, mention fewer regions, begin a new dialogue or choose a larger context.",
            )

    def compute_rows(
        self, rows: TailRows, positions: Sequence[int], sequences: Sequence[int], *, n_wanted: int = 0
    ) -> None:
        """Put checked rows into the KV cache; see ``RowBatch.over``.

        Raises:
            EngineError: llama.cpp could not, or was stopped.
        """
        self._decode(self._rows.over(rows, positions, sequences, n_wanted=n_wanted))

    def compute_tokens(self, tokens: Sequence[int], positions: Sequence[int], sequences: Sequence[int]) -> None:
        """The same for tokens, one a sequence; logits are wanted of all.

        Raises:
            EngineError: llama.cpp could not, or was stopped.
        """
        self._decode(self._tokens.holding(tokens, positions, sequences))

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        """The scores behind one row of the last call, float32 ``[vocabulary]``, gone with the next; -1 is the last one.

        Raises:
            NumericError: They are not finite; the KV cache is empty then.
        """
        pointer = self.api.llama_get_logits_ith(self.pointer, row)
        if not pointer:
            raise failure(self._library, "llama.cpp gave no logits")
        address = ctypes.addressof(pointer.contents)
        logits = self._logits_at.get(address)
        if logits is None:  # a view costs more than looking at it, and there are few places
            logits = np.ctypeslib.as_array(pointer, shape=(self.vocabulary.size,))
            self._logits_at[address] = logits
        if not np.isfinite(logits).all():
            self.cache.forget()
            raise NumericError(
                "the language model's logits are not finite", "The GGUF file is damaged, or this build of llama.cpp is."
            )
        return logits

    @contextmanager
    def abortable(self, cancel: CancelCheck) -> Iterator[None]:
        """Inside, ``cancel`` is asked between any two operations of the graph.

        Not while tokens alone are computed: there, a question between two of them is soon enough, and five hundred
        callbacks a token cost 3 % of a small model's speed.
        """
        guard = CallbackGuard(cancel)
        callback = self.api.ggml_abort_callback(lambda _data: not guard.goes_on())
        guard.goes_on()
        guard.raise_if_stopped()
        self.api.llama_set_abort_callback(self.pointer, callback, None)
        try:
            yield
        except EngineError:
            guard.raise_if_stopped()  # llama.cpp only reports that it was stopped
            raise
        finally:
            self.api.llama_set_abort_callback(self.pointer, self.api.ggml_abort_callback(), None)

    def _check_model(self, header: GgufHeader) -> None:
        found = (self.api.llama_model_n_embd(self._model), self.vocabulary.size)
        expected = (header.embedding_length, header.vocabulary_size)
        if found != expected:
            raise EngineError(
                f"llama.cpp reads width and vocabulary as {found}, the file's header says {expected}",
                "The file is damaged or of a kind this program does not know; convert it again.",
            )

    def _read_back(self, sizes: NativeSizes) -> None:
        """Note the sizes llama.cpp really took; it adjusts them without a word."""
        api = self.api
        n_sequences = int(api.llama_n_seq_max(self.pointer))
        self.cache = NativeCache(api, self.pointer, n_sequences, sizes.kept_bytes)
        self.context_length = int(api.llama_n_ctx(self.pointer))
        self.batch_size = int(api.llama_n_batch(self.pointer))
        self.n_threads = self._threads_now = int(api.llama_n_threads(self.pointer))
        self.embedding_length = int(api.llama_model_n_embd(self._model))
        self.max_answers = min(max(1, n_sequences - 1), self.batch_size)
        self.description = self._described()
        self.weights_bytes = int(api.llama_model_size(self._model))
        self.n_weights = int(api.llama_model_n_params(self._model))
        self._rows = RowBatch(api, self.batch_size, n_sequences)
        self._tokens = TokenBatch(api, n_sequences)

    def _described(self) -> str:
        words = ctypes.create_string_buffer(128)
        self.api.llama_model_desc(self._model, words, len(words))
        return words.value.decode("utf-8", "replace")

    def _decode(self, batch: Any) -> None:
        if self._cores is not None and (n_threads := self._cores.threads()) != self._threads_now:
            self.api.llama_set_n_threads(self.pointer, n_threads, n_threads)
            self._threads_now = n_threads
        self._library.log.clear()
        status = self.api.llama_decode(self.pointer, batch)
        if status != 0:
            meaning = _DECODE_STATUS.get(status, "an unknown failure")
            raise failure(self._library, f"llama.cpp could not work on {batch.n_tokens} rows: {meaning} ({status})")


_DECODE_STATUS = {
    1: "no room in the KV cache",
    2: "stopped",
    -1: "rows it does not accept",
    -2: "no memory for the graph",
    -3: "the computation failed",
}
