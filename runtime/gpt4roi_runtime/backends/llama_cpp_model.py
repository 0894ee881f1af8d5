"""One model and one context of llama.cpp: the only place where its functions are called, always in one thread.

Every call is checked before it is made, because llama.cpp answers many mistakes with abort(). Knows no other thread,
no question and no prompt template.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.arrays import EmbeddingRows
from gpt4roi_runtime.backends.gguf_header import GgufHeader
from gpt4roi_runtime.backends.llama_cpp_cores import FreeCores
from gpt4roi_runtime.backends.llama_cpp_library import NativeLibrary
from gpt4roi_runtime.errors import Cancelled, ContextOverflowError, EngineError, NumericError, QuestionError
from gpt4roi_runtime.llm.decoder import CancelCheck, DecodedToken, Sampling

OnProgress = Callable[[float], None]
"""Hears the part of a load that is done, 0 to 1."""

_MAX_TEXT_BYTES = 1 << 20
_ADD_BOS = False  # the prompt's template says where it stands
_SHOW_SPECIAL = False  # a special token has no text in an answer
_OVERWRITE = False  # an empty cache needs no zeros


@dataclass(frozen=True)
class NativeSizes:
    """What to ask of llama.cpp for one model.

    Attributes:
        context_length: Rows of the KV cache.
        batch_size: Most rows in one call.
        n_threads: Most threads of prefill and decode.
        yields: Use fewer threads while other processes are busy.
        flash_attention: Fuse the attention of a batch.
        repack: Rearrange weights for the CPU's matrix units.
    """

    context_length: int
    batch_size: int
    n_threads: int
    yields: bool
    flash_attention: bool
    repack: bool


class NativeModel:
    """Owner of every native pointer of one loaded model. Made, used and freed in one and the same thread.

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
        self._api = library.api
        self._model: Any = None
        self._context: Any = None
        self._sampler: Any = None
        self._answer = 0  # counts, so that an answer knows whether it is still the newest
        self._next_token: int | None = None
        self._cores = FreeCores(sizes.n_threads) if sizes.yields else None
        self._prefilled = False
        self._n_past = 0
        self._logits_address = 0
        self._logits = np.empty(0, dtype=np.float32)
        try:
            self._model = self._load_model(path, sizes, on_progress, cancel)
            self._vocabulary = self._api.llama_model_get_vocab(self._model)
            self._check_model(header)
            self._context = self._make_context(sizes)
            self._read_back()
        except BaseException:
            self.free()
            raise

    # --- loading and freeing

    def _load_model(self, path: Path, sizes: NativeSizes, on_progress: OnProgress, cancel: CancelCheck) -> Any:
        guard = _CallbackGuard(cancel)

        def progress(part: float, _user_data: object) -> bool:
            return guard.goes_on(lambda: on_progress(part))

        callback = self._api.llama_progress_callback(progress)
        params = self._api.llama_model_default_params()
        params.n_gpu_layers = 0
        params.load_mode = self._api.LLAMA_LOAD_MODE_NONE  # mapped, a repacked model takes twice the memory
        params.use_extra_bufts = sizes.repack
        params.progress_callback = callback
        self._library.log.clear()
        model = self._api.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            guard.raise_if_stopped()
            raise self._failure(f"cannot load {path}")
        return model

    def _check_model(self, header: GgufHeader) -> None:
        found = (self._api.llama_model_n_embd(self._model), self._api.llama_vocab_n_tokens(self._vocabulary))
        expected = (header.embedding_length, header.vocabulary_size)
        if found != expected:
            raise EngineError(
                f"llama.cpp reads width and vocabulary as {found}, the file's header says {expected}",
                "The file is damaged or of a kind this program does not know; convert it again.",
            )

    def _make_context(self, sizes: NativeSizes) -> Any:
        api = self._api
        params = api.llama_context_default_params()
        params.n_ctx = sizes.context_length
        params.n_batch = params.n_ubatch = min(sizes.batch_size, sizes.context_length)
        params.n_seq_max = 1
        params.n_outputs_max = 1  # logits of the last row only; the default reserves a vocabulary for every row
        params.n_threads = params.n_threads_batch = sizes.n_threads
        params.flash_attn_type = (
            api.LLAMA_FLASH_ATTN_TYPE_ENABLED if sizes.flash_attention else api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.no_perf = True
        self._library.log.clear()
        context = api.llama_init_from_model(self._model, params)
        if not context:
            raise self._failure(f"cannot make a context of {sizes.context_length} rows")
        return context

    def _read_back(self) -> None:
        """Note the sizes llama.cpp really took; it adjusts them without a word."""
        api = self._api
        self._memory = api.llama_get_memory(self._context)
        self.context_length = int(api.llama_n_ctx(self._context))
        self.batch_size = int(min(api.llama_n_batch(self._context), api.llama_n_ubatch(self._context)))
        self.n_threads = self._threads_now = int(api.llama_n_threads(self._context))
        self.embedding_length = int(api.llama_model_n_embd(self._model))
        self.vocabulary_size = int(api.llama_vocab_n_tokens(self._vocabulary))
        self._rows = _RowBatch(api, self.batch_size)
        self._token = _TokenBatch(api)
        self._piece = ctypes.create_string_buffer(256)

    def free(self) -> None:
        """Free everything, the newest first; twice is harmless."""
        sampler, self._sampler = self._sampler, None
        context, self._context = self._context, None
        model, self._model = self._model, None
        if sampler:
            self._api.llama_sampler_free(sampler)
        if context:
            self._api.llama_free(context)
        if model:
            self._api.llama_model_free(model)

    # --- the vocabulary

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Ids of plain text; see ``Decoder.tokenize``."""
        tokens = self._tokens_of(text, special=False)
        for token in tokens:
            if self._is_special(token):
                raise QuestionError(
                    f"the text contains {self._text_of(token)!r}, a token of the model's own",
                    "Leave it out, or write it differently.",
                )
        return tokens

    def special_token(self, piece: str) -> int:
        """Id of the special token whose text is exactly ``piece``."""
        tokens = self._tokens_of(piece, special=True)
        if len(tokens) == 1 and self._is_special(tokens[0]) and self._text_of(tokens[0]) == piece:
            return tokens[0]
        raise EngineError(
            f"the vocabulary has no special token {piece!r}", "The bundle's prompt does not belong to this GGUF."
        )

    def _is_special(self, token: int) -> bool:
        api = self._api
        kinds: int = (
            api.LLAMA_TOKEN_ATTR_CONTROL
            | api.LLAMA_TOKEN_ATTR_USER_DEFINED
            | api.LLAMA_TOKEN_ATTR_UNKNOWN
            | api.LLAMA_TOKEN_ATTR_UNUSED
        )
        return bool(api.llama_vocab_get_attr(self._vocabulary, token) & kinds)

    def _tokens_of(self, text: str, *, special: bool) -> tuple[int, ...]:
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            raise QuestionError(
                f"the text holds {text[error.start : error.end]!r}, which is not a character", "Type it again."
            ) from error
        if len(data) > _MAX_TEXT_BYTES:
            raise QuestionError(f"the text is {len(data)} bytes long", f"Use at most {_MAX_TEXT_BYTES}.")
        room = len(data) + 16  # a token is a byte at least; some vocabularies put a space in front
        tokens = (self._api.llama_token * room)()
        n = self._api.llama_tokenize(self._vocabulary, data, len(data), tokens, room, _ADD_BOS, special)
        if n < 0:
            raise self._failure(f"cannot split a text of {len(data)} bytes into tokens ({n})")
        return tuple(tokens[:n])

    def _text_of(self, token: int) -> str:
        return bytes(self._api.llama_vocab_get_text(self._vocabulary, token) or b"").decode("utf-8", "replace")

    def _bytes_of(self, token: int) -> bytes:
        """What a token stands for in an answer; nothing for special tokens."""
        api = self._api
        n = api.llama_token_to_piece(self._vocabulary, token, self._piece, len(self._piece), 0, _SHOW_SPECIAL)
        if n < 0:
            self._piece = ctypes.create_string_buffer(-n)
            n = api.llama_token_to_piece(self._vocabulary, token, self._piece, len(self._piece), 0, _SHOW_SPECIAL)
        return self._piece.raw[: max(n, 0)]

    # --- prefill

    def prefill(self, rows: EmbeddingRows, cancel: CancelCheck) -> None:
        """Empty the KV cache and fill it with checked ``rows``; see ``Decoder.prefill``."""
        n_rows = len(rows)
        if n_rows > self.context_length - 1:
            raise ContextOverflowError(
                f"the prompt takes {n_rows} rows of the context's {self.context_length}, and one more must stay free",
                "Ask a shorter question, mention fewer regions, begin a new dialogue or choose a larger context.",
            )
        self._forget()
        done = False
        try:
            with self._abortable(cancel):
                for start in range(0, n_rows, self.batch_size):
                    piece = rows[start : start + self.batch_size]
                    self._call_decode(self._rows.over(piece, start, wants_logits=start + len(piece) == n_rows))
            self._n_past = n_rows
            self._checked_logits()
            self._prefilled = done = True
        finally:
            if not done:
                self._forget()

    @contextmanager
    def _abortable(self, cancel: CancelCheck) -> Iterator[None]:
        """Inside, ``cancel`` is asked between any two operations of the graph.

        Not while decoding: there, a question between two tokens is soon enough, and five hundred callbacks a token
        cost 3 % of a small model's speed.
        """
        guard = _CallbackGuard(cancel)
        callback = self._api.ggml_abort_callback(lambda _data: not guard.goes_on())
        guard.goes_on()
        guard.raise_if_stopped()
        self._api.llama_set_abort_callback(self._context, callback, None)
        try:
            yield
        except EngineError:
            guard.raise_if_stopped()  # llama.cpp only reports that it was stopped
            raise
        finally:
            self._api.llama_set_abort_callback(self._context, self._api.ggml_abort_callback(), None)

    def _forget(self) -> None:
        """Empty the KV cache and end any answer."""
        self._answer += 1
        self._prefilled = False
        self._next_token = None
        self._n_past = 0
        self._api.llama_memory_clear(self._memory, _OVERWRITE)

    def _call_decode(self, batch: Any) -> None:
        if self._cores is not None and (n_threads := self._cores.threads()) != self._threads_now:
            self._api.llama_set_n_threads(self._context, n_threads, n_threads)
            self._threads_now = n_threads
        self._library.log.clear()
        status = self._api.llama_decode(self._context, batch)
        if status != 0:
            meaning = _DECODE_STATUS.get(status, "an unknown failure")
            raise self._failure(f"llama.cpp could not work on {batch.n_tokens} rows: {meaning} ({status})")

    # --- answering

    def begin_answer(self, sampling: Sampling) -> int:
        """Make the sampler of the one answer to the prefilled prompt; returns the number of the answer."""
        if not self._prefilled:
            raise EngineError(
                "there is no prompt to go on from", "Prefill first; every prefilled prompt gives one answer."
            )
        self._prefilled = False
        self._replace_sampler(sampling)
        self._next_token = None
        self._answer += 1
        return self._answer

    def step(self, answer: int, cancel: CancelCheck) -> DecodedToken | None:
        """Feed the token chosen last and choose the next; ``None`` at the end of the answer."""
        if answer != self._answer:
            raise EngineError("this answer was ended by a newer prompt", "Finish one answer before the next prompt.")
        if cancel():
            self._forget()
            raise Cancelled
        if self._next_token is not None:
            if self._n_past >= self.context_length:
                return None
            self.feed(self._next_token)
        self._checked_logits()
        token = int(self._api.llama_sampler_sample(self._sampler, self._context, -1))
        if self._api.llama_vocab_is_eog(self._vocabulary, token):
            return None
        self._next_token = token
        return DecodedToken(token=token, text_bytes=self._bytes_of(token))

    def logits(self) -> npt.NDArray[np.float32]:
        """A copy of the scores of every token to come next, float32 ``[vocabulary]``."""
        if self._n_past == 0:
            raise EngineError("there are no logits", "Prefill a prompt first.")
        copy: npt.NDArray[np.float32] = self._checked_logits().copy()
        return copy

    def feed(self, token: int) -> None:
        """Put one token of the vocabulary behind the rows in the KV cache, where there is still room."""
        try:
            self._call_decode(self._token.holding(token, self._n_past))
        except EngineError:
            self._forget()
            raise
        self._n_past += 1

    def _checked_logits(self) -> npt.NDArray[np.float32]:
        pointer = self._api.llama_get_logits_ith(self._context, -1)
        if not pointer:
            raise self._failure("llama.cpp gave no logits")
        address = ctypes.addressof(pointer.contents)
        if address != self._logits_address:
            self._logits_address = address
            self._logits = np.ctypeslib.as_array(pointer, shape=(self.vocabulary_size,))
        if not np.isfinite(self._logits).all():
            self._forget()
            raise NumericError(
                "the language model's logits are not finite", "The GGUF file is damaged, or this build of llama.cpp is."
            )
        return self._logits

    def _replace_sampler(self, sampling: Sampling) -> None:
        api = self._api
        old, self._sampler = self._sampler, None
        if old:
            api.llama_sampler_free(old)
        chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
        if not chain:
            raise self._failure("llama.cpp made no sampler")
        self._sampler = chain
        if sampling.temperature == 0.0:
            api.llama_sampler_chain_add(chain, api.llama_sampler_init_greedy())
            return
        if sampling.top_k > 0:
            api.llama_sampler_chain_add(chain, api.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1.0:
            api.llama_sampler_chain_add(chain, api.llama_sampler_init_top_p(sampling.top_p, 1))
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_temp(sampling.temperature))
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_dist(sampling.seed))

    def _failure(self, problem: str) -> EngineError:
        return EngineError(f"{problem}: {self._library.log.complaints()}")


_DECODE_STATUS = {
    1: "no room in the KV cache",
    2: "stopped",
    -1: "rows it does not accept",
    -2: "no memory for the graph",
    -3: "the computation failed",
}


class _CallbackGuard:
    """Python called from native code: an exception must not get lost there, so it is kept and raised afterwards."""

    def __init__(self, cancel: CancelCheck) -> None:
        self._cancel = cancel
        self._stopped = False
        self._error: BaseException | None = None

    def goes_on(self, also: Callable[[], None] | None = None) -> bool:
        """Whether native code may go on; never raises."""
        if self._stopped:
            return False
        try:
            if also is not None:
                also()
            self._stopped = self._cancel()
        except BaseException as error:  # noqa: BLE001 - raised again by raise_if_stopped, outside of native code
            self._error = error
            self._stopped = True
        return not self._stopped

    def raise_if_stopped(self) -> None:
        """Raise what stopped native code, if anything did."""
        if self._error is not None:
            raise self._error
        if self._stopped:
            raise Cancelled


class _RowBatch:
    """A native batch laid over rows of NumPy, for one sequence; its arrays are made once and used again."""

    def __init__(self, api: Any, batch_size: int) -> None:
        self._api = api
        self._positions = (api.llama_pos * batch_size)()
        self._wants_logits = (ctypes.c_int8 * batch_size)()
        self._n_sequences = (ctypes.c_int32 * batch_size)(*[1] * batch_size)
        self._sequence = (api.llama_seq_id * 1)(0)
        pointer = ctypes.POINTER(api.llama_seq_id)
        self._sequences = (pointer * batch_size)(*[ctypes.cast(self._sequence, pointer)] * batch_size)
        self._rows: EmbeddingRows | None = None

    def over(self, rows: EmbeddingRows, first_position: int, *, wants_logits: bool) -> Any:
        """The batch over C-contiguous ``rows``, which stay alive as long as the batch points at them."""
        n = len(rows)
        self._rows = rows
        self._positions[:n] = range(first_position, first_position + n)
        self._wants_logits[:n] = [0] * n
        self._wants_logits[n - 1] = wants_logits
        return self._api.llama_batch(
            n_tokens=n,
            token=None,
            embd=rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            pos=self._positions,
            n_seq_id=self._n_sequences,
            seq_id=self._sequences,
            logits=self._wants_logits,
        )


class _TokenBatch:
    """A native batch of one token, made once and used for every token."""

    def __init__(self, api: Any) -> None:
        self._token = (api.llama_token * 1)()
        self._position = (api.llama_pos * 1)()
        self._sequence = (api.llama_seq_id * 1)(0)
        self._batch = api.llama_batch(
            n_tokens=1,
            token=self._token,
            embd=None,
            pos=self._position,
            n_seq_id=(ctypes.c_int32 * 1)(1),
            seq_id=(ctypes.POINTER(api.llama_seq_id) * 1)(
                ctypes.cast(self._sequence, ctypes.POINTER(api.llama_seq_id))
            ),
            logits=(ctypes.c_int8 * 1)(1),
        )

    def holding(self, token: int, position: int) -> Any:
        """The batch with this token at this position; its logits are wanted."""
        self._token[0] = token
        self._position[0] = position
        return self._batch
