"""A closed question, laid out for scoring, and the account of its scores; knows promises of engines and runs none.

What is scored of a choice are the tokens that the next turn of the dialogue would hold of it: behind the template's
lead, tokenised in one piece with the prompt's last words. Scoring begins at the first token that differs from the bare
prompt's for any of the choices, so that all begin at the same one.

The answer's end is not scored. A model that likes to go on, ``Yes, it is a cup.``, would decide between yes and no by
which of them it ends sooner. Without the end, ``a cup`` could never win against ``a``, which begins it; so a choice
counts as long as no longer one of the list follows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpt4roi_runtime.asking import Asker, Request
from gpt4roi_runtime.bundle.manifest import Prompt
from gpt4roi_runtime.choices import check_choices, check_lead
from gpt4roi_runtime.confidence import Choice, shares
from gpt4roi_runtime.errors import ContextOverflowError, QuestionError
from gpt4roi_runtime.events import Chosen
from gpt4roi_runtime.llm.decoder import Scores
from gpt4roi_runtime.prompt import Chunk, TextChunk, Turn, lay_out_answer, space_behind_lead

_LEAST_REST = 2.0**-53  # what rounding may leave of a probability that is all taken


@dataclass(frozen=True)
class ClosedRequest:
    """A question and the list of its answers, checked and laid out.

    Attributes:
        request: The prompt, up to the place where scoring begins.
        lead: Words before every answer.
        choices: The answers, in the given order.
        texts: Token ids of every answer from that place on, all different.
    """

    request: Request
    lead: str
    choices: tuple[str, ...]
    texts: tuple[tuple[int, ...], ...]


class Chooser:
    """Lays out the choices of one bundle.

    Args:
        asker: Of the bundle.
        template: From its manifest.
        context_length: Rows that prompt and answer may take together.
    """

    def __init__(self, asker: Asker, template: Prompt, context_length: int) -> None:
        self._asker = asker
        self._template = template
        self._context_length = context_length

    def closed(self, request: Request, choices: Sequence[str], lead: str = "") -> ClosedRequest:
        """Check and lay out the answers to a question.

        Args:
            request: The question.
            choices: The answers.
            lead: Further words that stand before every choice, behind the template's lead.

        Raises:
            QuestionError: There are none or too many choices, or one cannot be an answer.
            ContextOverflowError: The prompt and the longest of them do not fit the context.
        """
        reserved = (*self._template.reserved, *self._template.stop)
        checked, words = check_choices(choices, reserved), check_lead(lead, reserved)
        bare = self._last_tokens(request, words)
        whole = [self._last_tokens(request, _joined(words, choice)) for choice in checked]
        start = min(_n_common(bare, tokens) for tokens in whole)
        texts = tuple(tokens[start:] for tokens in whole)
        _check_texts(checked, texts)
        prompt = self._prompt(request, words, bare[:start])
        n_rows = prompt.n_rows + max(map(len, texts))
        if n_rows > self._context_length:
            raise ContextOverflowError(
                f"image, regions, dialogue, question and the longest choice take {n_rows} tokens; the context holds "
                f"{self._context_length}",
                "Use shorter choices or a shorter question, or begin a new dialogue.",
            )
        return ClosedRequest(prompt, words, checked, texts)

    def chosen(self, closed: ClosedRequest, scores: Scores, seconds: dict[str, float]) -> Chosen:
        """The account of scored choices."""
        request, template = closed.request, self._template
        sums = [math.fsum(one) for one in scores.log_probabilities]
        choices = tuple(
            Choice(text, total, len(tokens), share)
            for text, total, tokens, share in zip(
                closed.choices, sums, closed.texts, shares(exclusive(closed.texts, sums)), strict=True
            )
        )
        chosen = Chosen(
            choices=choices,
            history=(),
            n_prompt_rows=request.n_rows,
            n_kept_rows=scores.filled.n_kept,
            prompt_text=self._asker.prompt_text(request),
            seconds=seconds,
        )
        shown = template.answer_lead + space_behind_lead(template) if template.lead_writer == "runtime" else ""
        answer = shown + _joined(closed.lead, chosen.best.text)
        return replace(chosen, history=(*request.history, Turn(request.question, answer)))

    def _last_tokens(self, request: Request, answer: str) -> tuple[int, ...]:
        """Tokens from the prompt's last words on, with an answer behind them."""
        chunks = lay_out_answer(self._template, request.chunks, space_behind_lead(self._template) + answer)
        return tuple(token for ids in self._asker.tokenised(chunks, _n_head(request.chunks)) for token in ids)

    def _prompt(self, request: Request, lead: str, last: tuple[int, ...]) -> Request:
        """The request with other tokens for its last words, all leads among these."""
        n_head = _n_head(request.chunks)
        answer = space_behind_lead(self._template) + lead
        words = lay_out_answer(self._template, request.chunks, answer)[n_head:]  # one text, or none
        other = replace(
            request, chunks=request.chunks[:n_head] + words, token_ids=request.token_ids[:n_head] + (last,) * len(words)
        )
        n_rows = sum(self._asker.counts(other))
        return replace(other, n_rows=n_rows, n_prefix=min(request.n_prefix, n_rows))


def exclusive(texts: Sequence[tuple[int, ...]], log_likelihoods: Sequence[float]) -> list[float]:
    """Logarithms of the probabilities that an answer begins with a text and with no longer one of the list.

    Args:
        texts: Tokens of each, all different.
        log_likelihoods: That an answer begins with each.
    """
    places = {text: place for place, text in enumerate(texts)}
    taken = [0.0] * len(texts)
    for text, log_likelihood in zip(texts, log_likelihoods, strict=True):
        beginnings = (text[:n] for n in range(len(text) - 1, 0, -1))
        longest = next((places[beginning] for beginning in beginnings if beginning in places), None)
        if longest is not None:
            taken[longest] += math.exp(log_likelihood - log_likelihoods[longest])
    return [
        log_likelihood + math.log(max(1 - part, _LEAST_REST))
        for log_likelihood, part in zip(log_likelihoods, taken, strict=True)
    ]


def _check_texts(choices: Sequence[str], texts: Sequence[tuple[int, ...]]) -> None:
    known: dict[tuple[int, ...], str] = {}
    for choice, text in zip(choices, texts, strict=True):
        if not text:
            raise QuestionError(f"the choice {choice!r} is nothing in the model's vocabulary", "Leave it out.")
        other = known.setdefault(text, choice)
        if other != choice:
            raise QuestionError(
                f"the choices {other!r} and {choice!r} are the same in the model's vocabulary", "Leave one of them out."
            )


def _joined(lead: str, choice: str) -> str:
    return f"{lead} {choice}" if lead else choice


def _n_head(chunks: Sequence[Chunk]) -> int:
    """Chunks that an answer leaves as they are: all but a last text."""
    return len(chunks) - isinstance(chunks[-1], TextChunk)


def _n_common(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
