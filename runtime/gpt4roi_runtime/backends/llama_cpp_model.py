"""One model and one context of llama.cpp: the only place where its functions are called, always in one thread.

Every call is checked before it is made, because llama.cpp answers many mistakes with abort(). Knows no other thread,
no question and no prompt template.
"""

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.arrays import EmbeddingRows, TailRows
from gpt4roi_runtime.backends.gguf_header import GgufHeader
from gpt4roi_runtime.backends.llama_cpp_batches import RowBatch, TokenBatch
from gpt4roi_runtime.backends.llama_cpp_branches import Branch, as_batches
from gpt4roi_runtime.backends.llama_cpp_cache import PROMPT, NativeCache
from gpt4roi_runtime.backends.llama_cpp_cores import FreeCores
from gpt4roi_runtime.backends.llama_cpp_guard import CallbackGuard
from gpt4roi_runtime.backends.llama_cpp_library import NativeLibrary
from gpt4roi_runtime.backends.llama_cpp_pieces import Piece, State, split
from gpt4roi_runtime.backends.llama_cpp_sampling import TokenSampler
from gpt4roi_runtime.backends.llama_cpp_scoring import Fed, Texts, as_calls
from gpt4roi_runtime.backends.llama_cpp_settings import CacheType
from gpt4roi_runtime.backends.llama_cpp_vocabulary import NativeVocabulary
from gpt4roi_runtime.confidence import Alternative, TokenScore
from gpt4roi_runtime.errors import Cancelled, ContextOverflowError, EngineError, NumericError, SettingsError
from gpt4roi_runtime.llm.decoder import Allowed, AnswerToken, CancelCheck, DecodedToken, Prefilled, Sampling, Scores
from gpt4roi_runtime.llm.logits import likeliest, log_probabilities

OnProgress = Callable[[float], None]
"""Hears the part of a load that is done, 0 to 1."""


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
        max_answers: Most answers written side by side.
        kept_bytes: Most bytes of other images' prefixes.
        ubatch_size: Most rows computed at once; 0 takes ``batch_size``.
        type_k: Type of the cache's keys.
        type_v: Type of its values.
        n_gpu_layers: Layers for a GPU; -1 takes all.
    """

    context_length: int
    batch_size: int
    n_threads: int
    yields: bool
    flash_attention: bool
    repack: bool
    max_answers: int = 1
    kept_bytes: int = 0
    ubatch_size: int = 0
    type_k: CacheType = "f16"
    type_v: CacheType = "f16"
    n_gpu_layers: int = 0


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
        self._sampler: TokenSampler | None = None
        self._n_top: int | None = None
        self._answer = 0  # counts, so that an answer knows whether it is still the newest
        self._next_token: int | None = None
        self._cores = FreeCores(sizes.n_threads) if sizes.yields else None
        self._prefilled = self._branched = self._has_logits = False
        self._n_past = 0
        self._branches: list[Branch] = []
        self._logits_at: dict[int, npt.NDArray[np.float32]] = {}
        try:
            self._model = self._load_model(path, sizes, on_progress, cancel)
            self.vocabulary = NativeVocabulary(library, self._api.llama_model_get_vocab(self._model))
            self._check_model(header)
            self._context = self._make_context(sizes)
            self._read_back(sizes)
        except BaseException:
            self.free()
            raise

    # --- loading and freeing

    def _load_model(self, path: Path, sizes: NativeSizes, on_progress: OnProgress, cancel: CancelCheck) -> Any:
        guard = CallbackGuard(cancel)

        def progress(part: float, _user_data: object) -> bool:
            return guard.goes_on(lambda: on_progress(part))

        if sizes.n_gpu_layers and not self._api.llama_supports_gpu_offload():
            raise SettingsError(
                f"{sizes.n_gpu_layers} layers for a GPU, but this llama.cpp was built without one",
                "Use 0 layers (-ngl 0), or build it for the GPU: CMAKE_ARGS=-DGGML_CUDA=on make llama.",
            )
        callback = self._api.llama_progress_callback(progress)
        params = self._api.llama_model_default_params()
        params.n_gpu_layers = sizes.n_gpu_layers
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
        found = (self._api.llama_model_n_embd(self._model), self.vocabulary.size)
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
        params.n_batch = min(sizes.batch_size, sizes.context_length)
        params.n_ubatch = min(sizes.ubatch_size or sizes.batch_size, params.n_batch)
        params.type_k = getattr(api, f"GGML_TYPE_{sizes.type_k.upper()}")
        params.type_v = getattr(api, f"GGML_TYPE_{sizes.type_v.upper()}")
        params.n_seq_max = n_sequences = 1 + (sizes.max_answers if sizes.max_answers > 1 else 0)
        params.kv_unified = True  # sequences share rows, so that a prompt can be forked
        # Logits of a row for every sequence; the default reserves a vocabulary for every row, and less is an abort.
        params.n_outputs_max = n_sequences
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

    def _read_back(self, sizes: NativeSizes) -> None:
        """Note the sizes llama.cpp really took; it adjusts them without a word."""
        api = self._api
        n_sequences = int(api.llama_n_seq_max(self._context))
        self.cache = NativeCache(api, self._context, n_sequences, sizes.kept_bytes)
        self.context_length = int(api.llama_n_ctx(self._context))
        self.batch_size = int(api.llama_n_batch(self._context))
        self.n_threads = self._threads_now = int(api.llama_n_threads(self._context))
        self.embedding_length = int(api.llama_model_n_embd(self._model))
        self.vocabulary_size = self.vocabulary.size
        self.max_answers = min(max(1, n_sequences - 1), self.batch_size)
        self.description = self._described()
        self.weights_bytes = int(api.llama_model_size(self._model))
        self.n_weights = int(api.llama_model_n_params(self._model))
        self._rows = RowBatch(api, self.batch_size, n_sequences)
        self._tokens = TokenBatch(api, n_sequences)

    def _described(self) -> str:
        words = ctypes.create_string_buffer(128)
        self._api.llama_model_desc(self._model, words, len(words))
        return words.value.decode("utf-8", "replace")

    def free(self) -> None:
        """Free everything, the newest first; twice is harmless."""
        sampler, self._sampler = self._sampler, None
        branches, self._branches = self._branches, []
        context, self._context = self._context, None
        model, self._model = self._model, None
        for one in (sampler, *(branch.sampler for branch in branches)):
            if one is not None:
                one.free()
        if context:
            self._api.llama_free(context)
        if model:
            self._api.llama_model_free(model)

    # --- prefill

    def prepare(self, prefix: EmbeddingRows, cancel: CancelCheck) -> Prefilled:
        """Make the KV cache hold a checked prefix; see ``Decoder.prepare``."""
        self._check_room(len(prefix))
        self._end_answers()
        return self._fill(prefix, len(prefix), cancel, wants_logits=False)

    def prefill(self, rows: EmbeddingRows, cancel: CancelCheck, n_prefix: int = 0) -> Prefilled:
        """Make the KV cache hold checked ``rows``; see ``Decoder.prefill``."""
        self._check_room(len(rows))
        self._end_answers()
        filled = self._fill(rows, n_prefix, cancel, wants_logits=True)
        self._checked_logits(-1)
        self._prefilled = self._has_logits = True
        return filled

    def prefill_each(
        self, shared: EmbeddingRows, tails: Sequence[TailRows], cancel: CancelCheck, n_prefix: int = 0
    ) -> Prefilled:
        """Fork checked ``shared`` rows and put one of the checked tails behind each; see ``Decoder.prefill_each``."""
        if not 1 <= len(tails) <= min(self.max_answers, len(self.cache.lengths()) - 1):
            raise EngineError(
                f"{len(tails)} prompts at once, this context takes {self.max_answers}", "Ask about them in groups."
            )
        self._check_room(len(shared) + sum(map(len, tails)))
        self._end_answers()
        filled = self._fill(shared, n_prefix, cancel, wants_logits=False)
        try:
            self._branches = [Branch(number, len(shared) + len(tail)) for number, tail in enumerate(tails)]
            for branch in self._branches:
                self.cache.fork(branch.sequence)
            with self._abortable(cancel):
                for rows, positions, sequences, n_wanted in as_batches(tails, len(shared), self.batch_size):
                    self._call_decode(self._rows.over(rows, positions, sequences, n_wanted=n_wanted))
            for index, branch in enumerate(self._branches, start=len(rows) - len(tails)):
                branch.logits_at = index
                self._checked_logits(index)
        except Cancelled:
            self._end_answers()
            raise
        except BaseException:
            self._forget()
            raise
        self._branched = True
        return Prefilled(filled.n_kept, filled.n_computed + sum(map(len, tails)))

    def write_prefix(self, prefix: Sequence[Piece]) -> State | None:
        """A prefix as bytes; see ``WritesPrefixes.write_prefix``."""
        self._end_answers()
        return self.cache.write(prefix)

    def read_prefix(self, prefix: Sequence[Piece], state: State) -> bool:
        """Put a prefix into the KV cache; see ``WritesPrefixes.read_prefix``."""
        self._check_room(prefix[-1].end)
        self._end_answers()
        return self.cache.read(prefix, state)

    def _check_room(self, n_rows: int) -> None:
        if n_rows > self.context_length - 1:
            raise ContextOverflowError(
                f"the prompt takes {n_rows} rows of the context's {self.context_length}, and one more must stay free",
                "Ask a shorter question, mention fewer regions, begin a new dialogue or choose a larger context.",
            )

    def _fill(self, rows: EmbeddingRows, n_prefix: int, cancel: CancelCheck, *, wants_logits: bool) -> Prefilled:
        """Compute what of ``rows`` is not in the cache; for logits, the last piece is always computed."""
        plan = split(rows, n_prefix, self.batch_size)
        n_prefix_pieces = sum(piece.end <= n_prefix for piece in plan)
        n_there = self.cache.begin(plan, n_prefix_pieces, len(plan) - wants_logits)
        try:
            with self._abortable(cancel):
                for piece in plan[n_there:]:
                    n_wanted = int(wants_logits and piece is plan[-1])
                    positions = range(piece.start, piece.end)
                    batch = self._rows.over(
                        rows[piece.start : piece.end], positions, [PROMPT] * len(positions), n_wanted=n_wanted
                    )
                    self._call_decode(batch)
                    self.cache.add(piece)
        except Cancelled:
            self.cache.drop_unfinished()
            raise
        except BaseException:
            self._forget()
            raise
        self._n_past = len(rows)
        n_kept = plan[n_there - 1].end if n_there else 0
        return Prefilled(n_kept, len(rows) - n_kept)

    @contextmanager
    def _abortable(self, cancel: CancelCheck) -> Iterator[None]:
        """Inside, ``cancel`` is asked between any two operations of the graph.

        Not while decoding: there, a question between two tokens is soon enough, and five hundred callbacks a token
        cost 3 % of a small model's speed.
        """
        guard = CallbackGuard(cancel)
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

    def _end_answers(self) -> None:
        """End whatever is being answered; of the KV cache, only the prompt's rows stay."""
        self._answer += 1
        self._prefilled = self._branched = self._has_logits = False
        self._next_token = None
        self._n_past = 0
        for branch in tuple(self._branches):
            self._end_branch(branch)

    def _end_branch(self, branch: Branch) -> None:
        """Remove a sequence and its sampler."""
        self._branches.remove(branch)
        self.cache.remove(branch.sequence)
        sampler, branch.sampler = branch.sampler, None
        if sampler is not None:
            sampler.free()

    def _forget(self) -> None:
        """Empty the KV cache and end any answer."""
        self._end_answers()
        self.cache.forget()

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

    def begin_answer(self, sampling: Sampling, allowed: Allowed | None = None, n_top: int | None = None) -> int:
        """Make the sampler of the one answer to the prefilled prompt; returns the number of the answer."""
        if not self._prefilled:
            raise EngineError(
                "there is no prompt to go on from", "Prefill first; every prefilled prompt gives one answer."
            )
        self._prefilled = False
        old, self._sampler = self._sampler, None
        if old is not None:
            old.free()
        self._sampler = TokenSampler(self._api, self.vocabulary, sampling, allowed)
        self._n_top = n_top
        self._next_token = None
        self._answer += 1
        return self._answer

    def step(self, answer: int, cancel: CancelCheck) -> DecodedToken | None:
        """Feed the token chosen last and choose the next; ``None`` at the end of the answer."""
        if answer != self._answer or self._sampler is None:
            raise EngineError("this answer was ended by a newer prompt", "Finish one answer before the next prompt.")
        if cancel():
            self._end_answers()
            raise Cancelled
        if self._next_token is not None:
            if self._n_past >= self.context_length:
                return None
            self.feed(self._next_token)
        logits = self._checked_logits(-1)
        token = self._sampler.sample(self._context, -1, logits)
        if self.vocabulary.ends_answer(token):
            return None
        self._next_token = token
        text_bytes = self.vocabulary.bytes_of(token)
        return DecodedToken(
            token, text_bytes, None if self._n_top is None else self._how_likely(token, self._n_top, logits)
        )

    def _how_likely(self, token: int, n_top: int, logits: npt.NDArray[np.float32]) -> TokenScore:
        """How likely a token is, and which are likelier."""
        tokens = [token, *likeliest(logits, n_top)]
        words = map(self.vocabulary.bytes_of, tokens)
        own, *top = map(Alternative, words, log_probabilities(logits, tokens))
        return TokenScore(own.text_bytes, own.log_probability, tuple(top))

    def logits(self) -> npt.NDArray[np.float32]:
        """A copy of the scores of every token to come next, float32 ``[vocabulary]``."""
        if not self._has_logits:
            raise EngineError("there are no logits", "Prefill a prompt first.")
        copy: npt.NDArray[np.float32] = self._checked_logits(-1).copy()
        return copy

    def feed(self, token: int) -> None:
        """Put one token of the vocabulary behind the rows in the KV cache, where there is still room."""
        try:
            self._call_decode(self._tokens.holding([token], [self._n_past], [PROMPT]))
        except EngineError:
            self._forget()
            raise
        self._n_past += 1

    def _checked_logits(self, row: int) -> npt.NDArray[np.float32]:
        """The scores behind one row of the last call; -1 is the last that wanted any."""
        pointer = self._api.llama_get_logits_ith(self._context, row)
        if not pointer:
            raise self._failure("llama.cpp gave no logits")
        address = ctypes.addressof(pointer.contents)
        logits = self._logits_at.get(address)
        if logits is None:  # a view costs more than looking at it, and there are few places
            logits = np.ctypeslib.as_array(pointer, shape=(self.vocabulary_size,))
            self._logits_at[address] = logits
        if not np.isfinite(logits).all():
            self._forget()
            raise NumericError(
                "the language model's logits are not finite", "The GGUF file is damaged, or this build of llama.cpp is."
            )
        return logits

    # --- several answers side by side

    def begin_answers(self, sampling: Sampling, max_tokens: int) -> int:
        """Make a sampler for every prompt of ``prefill_each``; returns the number of these answers."""
        if not self._branched:
            raise EngineError("there are no prompts to go on from", "Prefill them first; each gives one answer.")
        self._branched = False
        for branch in self._branches:
            branch.sampler = TokenSampler(self._api, self.vocabulary, sampling)
            branch.n_left = max_tokens
        self._answer += 1
        return self._answer

    def step_each(
        self, answer: int, is_over: Callable[[int], bool], cancel: CancelCheck
    ) -> tuple[AnswerToken, ...] | None:
        """Feed the tokens chosen last, all in one call, and choose the next; ``None`` when every answer has ended."""
        if answer != self._answer:
            raise EngineError("these answers were ended by a newer prompt", "Finish them before the next prompt.")
        if cancel():
            self._end_answers()
            raise Cancelled
        try:
            for branch in tuple(self._branches):
                if is_over(branch.number):
                    self._end_branch(branch)
            if not self._branches:
                return None
            if not self._feed_each():
                return tuple(self._last_words(branch) for branch in tuple(self._branches))
            return tuple(step for branch in tuple(self._branches) for step in self._choose(branch))
        except BaseException:
            self._end_answers()
            raise

    def end_answers(self, answer: int) -> None:
        """Remove what is left of answers that nobody waits for; harmless when they are over."""
        if answer == self._answer:
            self._end_answers()

    def _feed_each(self) -> bool:
        """Put every chosen token behind its prompt; False where there is no room for all."""
        fed = [branch for branch in self._branches if branch.next_token is not None]
        if not fed:
            return True
        n_used = self._n_past + sum(branch.position - self._n_past for branch in self._branches)
        if n_used + len(fed) > self.context_length:
            return False
        tokens = [branch.next_token for branch in fed if branch.next_token is not None]
        places = ([branch.position for branch in fed], [branch.sequence for branch in fed])
        try:
            self._call_decode(self._tokens.holding(tokens, *places))
        except EngineError:
            self._forget()
            raise
        for index, branch in enumerate(fed):
            branch.position += 1
            branch.logits_at = index
        return True

    def _choose(self, branch: Branch) -> Iterator[AnswerToken]:
        """The next token of a branch, and its end where that is the end."""
        logits = self._checked_logits(branch.logits_at)
        token = branch.sampler.sample(self._context, branch.logits_at, logits)
        if self.vocabulary.ends_answer(token):
            yield self._last_words(branch)
            return
        branch.next_token = token
        branch.n_left -= 1
        yield AnswerToken(branch.number, DecodedToken(token, self.vocabulary.bytes_of(token)))
        if branch.n_left == 0:
            yield self._last_words(branch)

    def _last_words(self, branch: Branch) -> AnswerToken:
        self._end_branch(branch)
        return AnswerToken(branch.number, None)

    # --- texts scored, none written

    def score(self, rows: EmbeddingRows, texts: Texts, cancel: CancelCheck, n_prefix: int = 0) -> Scores:
        """Log-probabilities of all tokens of checked texts behind checked ``rows``; see ``Decoder.score``."""
        n_longest = max(map(len, texts)) - 1
        self._check_room(len(rows) + n_longest)
        filled = self.prefill(rows, cancel, n_prefix)
        firsts = log_probabilities(self._checked_logits(-1), [text[0] for text in texts])
        found = [[first] for first in firsts]
        self._end_answers()
        # Without sequences to spare, there is one row a call, and texts take turns behind the prompt itself.
        sequences = range(1, len(self.cache.lengths())) or [PROMPT]
        n_free = self.context_length - len(rows)
        try:
            with self._abortable(cancel):
                for call in as_calls(texts, sequences, min(self.max_answers, len(sequences)), n_free):
                    self._score_call(call, texts, len(rows), found)
        except Cancelled:
            self._drop_texts(sequences)
            raise
        except BaseException:
            self._forget()
            raise
        return Scores(filled, tuple(map(tuple, found)))

    def _score_call(self, call: Sequence[Fed], texts: Texts, n_past: int, found: Sequence[list[float]]) -> None:
        for row in call:
            if row.place == 0 and row.sequence != PROMPT:
                self.cache.fork(row.sequence)
        tokens = [texts[row.text][row.place] for row in call]
        places = ([n_past + row.place for row in call], [row.sequence for row in call])
        self._call_decode(self._tokens.holding(tokens, *places))
        for index, row in enumerate(call):
            following = texts[row.text][row.place + 1]
            found[row.text] += log_probabilities(self._checked_logits(index), [following])
        self._drop_texts(row.sequence for row in call if row.place == len(texts[row.text]) - 2)

    def _drop_texts(self, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            if sequence == PROMPT:
                self.cache.drop_unfinished()
            else:
                self.cache.remove(sequence)

    def _failure(self, problem: str) -> EngineError:
        return EngineError(f"{problem}: {self._library.log.complaints()}")


_DECODE_STATUS = {
    1: "no room in the KV cache",
    2: "stopped",
    -1: "rows it does not accept",
    -2: "no memory for the graph",
    -3: "the computation failed",
}
