"""Answers side by side as they are written: a place whose answer has ended is taken by the next prompt that waits.

Calls are made through `llama_cpp_context` alone; knows no pipe to a caller and no thread.
"""

from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import nullcontext

from gpt4roi_runtime.arrays import EmbeddingRows, TailRows
from gpt4roi_runtime.backends.llama_cpp_branches import Branch, Run, Running, as_batches
from gpt4roi_runtime.backends.llama_cpp_context import NativeContext
from gpt4roi_runtime.backends.llama_cpp_sampling import TokenSampler
from gpt4roi_runtime.backends.llama_cpp_settings import MAX_ANSWERS
from gpt4roi_runtime.llm.decoder import AnswerToken, CancelCheck, DecodedToken, Sampling

_SOON_OVER_ROWS = 4 * MAX_ANSWERS
"""A call of so many is over soon enough for a cancel to wait."""

Embed = Callable[[Sequence[int]], EmbeddingRows]
"""The model's own embeddings of tokens, float32 ``[t d]``."""


class SideBySide:
    """One group of answers behind the rows that lie in the KV cache.

    Whoever made it calls ``end`` when anything of it fails.

    Args:
        context: Of the model; the shared rows lie in its cache.
        n_shared: How many they are.
        tails: What follows them in the first prompts, which decide how many places there are.
    """

    def __init__(self, context: NativeContext, n_shared: int, tails: Sequence[TailRows]) -> None:
        self._context = context
        self._n_shared = n_shared
        self._sampling = Sampling()
        self._max_tokens = 0
        self._embed: Embed | None = None
        self._free = list(range(len(tails), 0, -1))  # the lowest is taken first
        self._n_begun = 0
        self._waiting: deque[TailRows] = deque()
        self.branches: list[Branch] = []
        for tail in tails:
            self._fork(tail)

    @property
    def running(self) -> Running:
        """Which answers are being written, and how many more could be."""
        numbers = tuple(branch.number for branch in self.branches)
        return Running(numbers, len(self._free) - len(self._waiting))

    def prefill(self, cancel: CancelCheck) -> None:
        """Compute the first tails.

        Raises:
            EngineError: llama.cpp could not.
            NumericError: The logits are not finite.
            Cancelled: ``cancel`` said so, between two operations of a call.
        """
        self._compute([], self.branches, cancel)

    def begin(self, sampling: Sampling, max_tokens: int, embed: Embed) -> None:
        """Give every answer a sampler, those too that are still to come."""
        self._sampling, self._max_tokens, self._embed = sampling, max_tokens, embed
        for branch in self.branches:
            self._give_sampler(branch)

    def step(
        self, over: Container[int], tails: Sequence[TailRows], cancel: CancelCheck
    ) -> tuple[AnswerToken, ...] | None:
        """Choose a token for every answer; ``None`` when all have ended and nobody waits.

        Args:
            over: Answers that nobody reads on.
            tails: Prompts that wait from now on, behind the others.
            cancel: Asked often where a long prompt is computed.

        Raises:
            ContextOverflowError: A prompt that would not fit alone.
            EngineError: llama.cpp could not.
            NumericError: Logits that are not finite.
            Cancelled: ``cancel`` said so, between two operations of a call.
        """
        self._waiting += tails
        for branch in tuple(self.branches):
            if branch.number in over:
                self._remove(branch)
        begun = self._admit()
        if not self.branches:
            return None
        going_on = [branch for branch in self.branches if branch.next_token is not None]
        if self._n_used() + len(going_on) > self._context.context_length:
            return tuple(self._last_words(branch) for branch in tuple(self.branches))
        if begun:
            self._compute(going_on, begun, cancel)
        elif going_on:
            self._feed(going_on)
        return tuple(step for branch in tuple(self.branches) for step in self._choose(branch))

    def end(self) -> None:
        """Remove what is left, sequences and samplers; nobody waits any more."""
        self._waiting.clear()
        for branch in tuple(self.branches):
            self._remove(branch)

    def free_samplers(self) -> None:
        """When the context goes away, which takes the sequences with it."""
        for branch in self.branches:
            self._free_sampler(branch)

    def _admit(self) -> list[Branch]:
        """Let those who wait take free places, as long as every answer is sure to have room for all its tokens."""
        begun: list[Branch] = []
        if any(branch.next_token is None for branch in self.branches):
            return begun  # the last call's logits are still wanted
        while self._waiting and self._free and self._has_room(len(self._waiting[0])):
            branch = self._fork(self._waiting.popleft())
            self._give_sampler(branch)
            begun.append(branch)
        return begun

    def _has_room(self, n_tail: int) -> bool:
        """Whether one more prompt takes no row that another may need; alone it gets what there is."""
        if not self.branches:
            self._context.check_room(self._n_shared + n_tail)
            return True
        n_promised = sum(branch.n_left for branch in self.branches)
        return self._n_used() + n_promised + n_tail + self._max_tokens <= self._context.context_length

    def _n_used(self) -> int:
        """Rows of the KV cache that are taken, or as good as taken by tails."""
        tails = sum(len(branch.tail) for branch in self.branches if branch.tail is not None)
        return self._n_shared + tails + sum(branch.position - self._n_shared for branch in self.branches)

    def _fork(self, tail: TailRows) -> Branch:
        branch = Branch(self._n_begun, self._free.pop(), self._n_shared, tail)
        self._n_begun += 1
        self.branches.append(branch)
        self._context.cache.fork(branch.sequence)
        return branch

    def _give_sampler(self, branch: Branch) -> None:
        branch.sampler = TokenSampler(self._context.api, self._context.vocabulary, self._sampling)
        branch.n_left = self._max_tokens

    def _compute(self, going_on: Sequence[Branch], begun: Sequence[Branch], cancel: CancelCheck) -> None:
        """The tails of some and the chosen tokens of others in the same calls: a call costs more than its rows."""
        branches = [*going_on, *begun]
        runs = [*self._as_runs(going_on)]
        runs += [Run(branch.tail, branch.position, branch.sequence) for branch in begun if branch.tail is not None]
        n_rows, is_long = 0, sum(len(run.rows) for run in runs) > _SOON_OVER_ROWS
        with self._context.abortable(cancel) if is_long else nullcontext():
            for call, positions, sequences, n_wanted in as_batches(runs, self._context.batch_size):
                self._context.compute_rows(call, positions, sequences, n_wanted=n_wanted)
                n_rows = len(call)
        for index, (branch, run) in enumerate(zip(branches, runs, strict=True), start=n_rows - len(runs)):
            branch.position += len(run.rows)
            branch.tail = None
            branch.logits_at = index
            self._context.logits(index)

    def _as_runs(self, going_on: Sequence[Branch]) -> Iterator[Run]:
        """Chosen tokens as rows, since a call takes either."""
        if self._embed is None or not going_on:
            return
        rows = self._embed([branch.next_token for branch in going_on if branch.next_token is not None])
        for index, branch in enumerate(going_on):
            yield Run(rows[[index]], branch.position, branch.sequence)

    def _feed(self, going_on: Sequence[Branch]) -> None:
        tokens = [branch.next_token for branch in going_on if branch.next_token is not None]
        places = ([branch.position for branch in going_on], [branch.sequence for branch in going_on])
        self._context.compute_tokens(tokens, *places)
        for index, branch in enumerate(going_on):
            branch.position += 1
            branch.logits_at = index

    def _choose(self, branch: Branch) -> Iterator[AnswerToken]:
        """The next token of a branch, and its end where that is the end."""
        vocabulary = self._context.vocabulary
        logits = self._context.logits(branch.logits_at)
        token = branch.sampler.sample(self._context.pointer, branch.logits_at, logits)
        if vocabulary.ends_answer(token):
            yield self._last_words(branch)
            return
        branch.next_token = token
        branch.n_left -= 1
        yield AnswerToken(branch.number, DecodedToken(token, vocabulary.bytes_of(token)))
        if branch.n_left == 0:
            yield self._last_words(branch)

    def _last_words(self, branch: Branch) -> AnswerToken:
        self._remove(branch)
        return AnswerToken(branch.number, None)

    def _remove(self, branch: Branch) -> None:
        """Its sequence and its sampler; the place is free."""
        self.branches.remove(branch)
        self._context.cache.remove(branch.sequence)
        self._free.append(branch.sequence)
        self._free.sort(reverse=True)
        self._free_sampler(branch)

    def _free_sampler(self, branch: Branch) -> None:
        sampler, branch.sampler = branch.sampler, None
        if sampler is not None:
            sampler.free()
