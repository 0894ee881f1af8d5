"""What an answer streams: text as it comes, then one account of the whole; knows no engine."""

from dataclasses import dataclass
from typing import Literal

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
        n_prompt_rows: Rows prefilled: text tokens, image rows and region rows.
        n_answer_tokens: Tokens decoded.
        prompt_text: The prompt for a person's eye, slots written as placeholders.
        seconds: Wall-clock seconds by stage: ``regions``, ``rows``, ``prefill``, ``decode``, and
            ``first_text`` from the call of ``ask`` to the first text the model wrote.
    """

    answer: str
    stop_reason: StopReason
    history: tuple[Turn, ...]
    n_prompt_rows: int
    n_answer_tokens: int
    prompt_text: str
    seconds: dict[str, float]


Event = TextDelta | Done
