"""The story of one loaded model: a prompt, its answer or its answers, texts scored behind it.

Made, used and freed in one and the same thread. Knows no other thread, no question and no prompt template; pointers and
native calls are those of `llama_cpp_context`.
"""

from collections.abc import Container, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.arrays import EmbeddingRows, TailRows
from gpt4roi_runtime.backends.llama_cpp_branches import Running
from gpt4roi_runtime.backends.llama_cpp_cache import PROMPT
from gpt4roi_runtime.backends.llama_cpp_context import NativeContext
from gpt4roi_runtime.backends.llama_cpp_pieces import Piece, State
from gpt4roi_runtime.backends.llama_cpp_prompt import fill
from gpt4roi_runtime.backends.llama_cpp_sampling import TokenSampler
from gpt4roi_runtime.backends.llama_cpp_scoring import Fed, Texts, as_calls
from gpt4roi_runtime.backends.llama_cpp_side_by_side import Embed, SideBySide
from gpt4roi_runtime.confidence import Alternative, TokenScore
from gpt4roi_runtime.errors import Cancelled, ContextOverflowError, EngineError
from gpt4roi_runtime.llm.decoder import Allowed, AnswerToken, CancelCheck, DecodedToken, Prefilled, Sampling, Scores
from gpt4roi_runtime.llm.logits import likeliest, log_probabilities


class NativeModel:
    """One prompt in the KV cache of one model, and what is answered behind it.

    Args:
        context: The model and its cache; freed with this.
    """

    def __init__(self, context: NativeContext) -> None:
        self.context = context
        self.vocabulary = context.vocabulary
        self.cache = context.cache
        self._sampler: TokenSampler | None = None
        self._n_top: int | None = None
        self._answer = 0  # counts, so that an answer knows whether it is still the newest
        self._next_token: int | None = None
        self._prefilled = self._branched = self._has_logits = False
        self._n_past = 0
        self._group: SideBySide | None = None

    def free(self) -> None:
        """Free everything, the newest first; twice is harmless."""
        sampler, self._sampler = self._sampler, None
        group, self._group = self._group, None
        if sampler is not None:
            sampler.free()
        if group is not None:
            group.free_samplers()
        self.context.free()

    # --- prefill

    def prepare(self, prefix: EmbeddingRows, cancel: CancelCheck) -> Prefilled:
        """Make the KV cache hold a checked prefix; see ``Decoder.prepare``."""
        self.context.check_room(len(prefix))
        self._end_answers()
        return fill(self.context, prefix, len(prefix), cancel, wants_logits=False)

    def prefill(self, rows: EmbeddingRows, cancel: CancelCheck, n_prefix: int = 0) -> Prefilled:
        """Make the KV cache hold checked ``rows``; see ``Decoder.prefill``."""
        self.context.check_room(len(rows))
        self._end_answers()
        filled = fill(self.context, rows, n_prefix, cancel, wants_logits=True)
        self.context.logits(-1)
        self._n_past = len(rows)
        self._prefilled = self._has_logits = True
        return filled

    def prefill_each(
        self, shared: EmbeddingRows, tails: Sequence[TailRows], cancel: CancelCheck, n_prefix: int = 0
    ) -> Prefilled:
        """Fork checked ``shared`` rows and put one of the checked tails behind each; see ``Decoder.prefill_each``."""
        most = self.context.max_answers
        if not 1 <= len(tails) <= min(most, len(self.cache.lengths()) - 1):
            raise EngineError(f"{len(tails)} prompts at once, this context takes {most}", "Ask about them in groups.")
        self.context.check_room(len(shared) + sum(map(len, tails)))
        self._end_answers()
        filled = fill(self.context, shared, n_prefix, cancel, wants_logits=False)
        try:
            self._group = SideBySide(self.context, len(shared), tails)
            self._group.prefill(cancel)
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
        self.context.check_room(prefix[-1].end)
        self._end_answers()
        return self.cache.read(prefix, state)

    def _end_answers(self) -> None:
        """End whatever is being answered; of the KV cache, only the prompt's rows stay."""
        self._answer += 1
        self._prefilled = self._branched = self._has_logits = False
        self._next_token = None
        self._n_past = 0
        group, self._group = self._group, None
        if group is not None:
            group.end()

    def _forget(self) -> None:
        """Empty the KV cache and end any answer."""
        self._end_answers()
        self.cache.forget()

    # --- one answer

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
        self._sampler = TokenSampler(self.context.api, self.vocabulary, sampling, allowed)
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
            if self._n_past >= self.context.context_length:
                return None
            self.feed(self._next_token)
        logits = self._checked_logits()
        token = self._sampler.sample(self.context.pointer, -1, logits)
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
        copy: npt.NDArray[np.float32] = self._checked_logits().copy()
        return copy

    def feed(self, token: int) -> None:
        """Put one token of the vocabulary behind the rows in the KV cache, where there is still room."""
        try:
            self.context.compute_tokens([token], [self._n_past], [PROMPT])
        except EngineError:
            self._forget()
            raise
        self._n_past += 1

    def _checked_logits(self) -> npt.NDArray[np.float32]:
        try:
            return self.context.logits(-1)
        except EngineError:
            self._end_answers()
            raise

    # --- several answers side by side

    def begin_answers(self, sampling: Sampling, max_tokens: int, embed: Embed) -> int:
        """Make a sampler for every prompt of ``prefill_each``; returns the number of these answers."""
        if not self._branched or self._group is None:
            raise EngineError("there are no prompts to go on from", "Prefill them first; each gives one answer.")
        self._branched = False
        self._group.begin(sampling, max_tokens, embed)
        self._answer += 1
        return self._answer

    def step_each(
        self, answer: int, over: Container[int], tails: Sequence[TailRows], cancel: CancelCheck
    ) -> tuple[tuple[AnswerToken, ...], Running] | None:
        """Feed the tokens chosen last, all in one call, and choose the next; ``None`` when every answer has ended.

        Args:
            answer: Number of these answers.
            over: Those of them that nobody reads on.
            tails: Checked rows of prompts that wait for a place from now on.
            cancel: Asked before the step, and often where a prompt is computed.
        """
        if answer != self._answer or self._group is None:
            raise EngineError("these answers were ended by a newer prompt", "Finish them before the next prompt.")
        if cancel():
            self._end_answers()
            raise Cancelled
        try:
            tokens = self._group.step(over, tails, cancel)
        except (Cancelled, ContextOverflowError):
            self._end_answers()
            raise
        except BaseException:
            self._forget()
            raise
        return None if tokens is None else (tokens, self._group.running)

    def end_answers(self, answer: int) -> None:
        """Remove what is left of answers that nobody waits for; harmless when they are over."""
        if answer == self._answer:
            self._end_answers()

    # --- texts scored, none written

    def score(self, rows: EmbeddingRows, texts: Texts, cancel: CancelCheck, n_prefix: int = 0) -> Scores:
        """Log-probabilities of all tokens of checked texts behind checked ``rows``; see ``Decoder.score``."""
        n_longest = max(map(len, texts)) - 1
        self.context.check_room(len(rows) + n_longest)
        filled = self.prefill(rows, cancel, n_prefix)
        firsts = log_probabilities(self._checked_logits(), [text[0] for text in texts])
        found = [[first] for first in firsts]
        self._end_answers()
        # Without sequences to spare, there is one row a call, and texts take turns behind the prompt itself.
        sequences = range(1, len(self.cache.lengths())) or [PROMPT]
        n_free = self.context.context_length - len(rows)
        try:
            with self.context.abortable(cancel):
                for call in as_calls(texts, sequences, min(self.context.max_answers, len(sequences)), n_free):
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
        self.context.compute_tokens(tokens, *places)
        for index, row in enumerate(call):
            following = texts[row.text][row.place + 1]
            found[row.text] += log_probabilities(self.context.logits(index), [following])
        self._drop_texts(row.sequence for row in call if row.place == len(texts[row.text]) - 2)

    def _drop_texts(self, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            if sequence == PROMPT:
                self.cache.drop_unfinished()
            else:
                self.cache.remove(sequence)
