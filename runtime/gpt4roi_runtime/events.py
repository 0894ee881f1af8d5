"""What an answer streams: text as it comes, then one account of the whole; knows no engine."""

from dataclasses import dataclass
from typing import Literal

from gpt4roi_runtime.confidence import Choice, TokenScore
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.prompt import Turn

StopReason = Literal["end", "stop_text", "max_tokens", "context_full"]
"""The model ended, a stop string came, or the limit of the caller or of the context was reached."""


@dataclass(frozen=True)
class TextDelta:
    """More text of the answer: whole characters, never taken back."""

    text: str


@dataclass(frozen=True)
class Done:
    """The answer is complete.

    Attributes:
        answer: Its whole text.
        stop_reason: Why it ended.
        history: The dialogue including this turn, for the next question.
        n_prompt_rows: Rows of the prompt: text tokens, image rows and region rows.
        n_answer_tokens: Tokens decoded.
        prompt_text: The prompt for a person's eye, slots written as placeholders.
        seconds: Wall-clock seconds by stage: ``regions``, ``rows``, ``prefill``, ``decode``, and
            ``first_text`` from the call of ``ask`` to the first text the model wrote; with a store, ``keep``.
        n_kept_rows: Rows of the prompt that were kept from an earlier one, or prepared; the others were computed.
        tokens: How likely every decoded token was, where that was asked for. Bytes, because a character may be split
            over tokens; their text holds also what is cut off the answer: lead, white space, stop string.
    """

    answer: str
    stop_reason: StopReason
    history: tuple[Turn, ...]
    n_prompt_rows: int
    n_answer_tokens: int
    prompt_text: str
    seconds: dict[str, float]
    n_kept_rows: int = 0
    tokens: tuple[TokenScore, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """How likely every answer of a closed list was. Nothing was written.

    Attributes:
        choices: In the order they were given.
        history: The dialogue including this turn, answered by ``best``, for the next question.
        n_prompt_rows: Rows before the answers.
        n_kept_rows: Rows of these that were kept from an earlier prompt, or prepared.
        prompt_text: The prompt for a person's eye, slots written as placeholders.
        seconds: Wall-clock seconds by stage: ``regions``, ``rows`` and ``score``; with a store, ``keep``.
    """

    choices: tuple[Choice, ...]
    history: tuple[Turn, ...]
    n_prompt_rows: int
    n_kept_rows: int
    prompt_text: str
    seconds: dict[str, float]

    @property
    def best(self) -> Choice:
        """The likeliest answer; of two as likely as each other, the one given first."""
        return max(self.choices, key=lambda choice: choice.probability)

    @property
    def ranking(self) -> tuple[Choice, ...]:
        """The choices, the likeliest first; of two as likely as each other, the one given first."""
        return tuple(sorted(self.choices, key=lambda choice: -choice.probability))


@dataclass(frozen=True)
class RegionAnswer:
    """The answer to a question that was asked about many boxes, for one of them.

    Attributes:
        index: Place of the box among those asked about, from 0.
        box: The box.
        done: Its answer. The rows before the region are shared, so they count as kept for all but the first. Of its
            ``seconds``, ``regions`` and ``rows`` are of all boxes that went through the region graph with it,
            ``prefill`` is of all that were answered first, and ``decode`` is from its own beginning to its end; who
            had to wait for a place has no ``prefill``, as its prompt is computed while others are answered.
    """

    index: int
    box: Box
    done: Done


Event = TextDelta | Done
