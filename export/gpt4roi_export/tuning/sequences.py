"""A dialogue as the rows that the language model sees, and which of them it shall learn to say.

The rows are those of the runtime, token for token: the layout is the runtime's, and so is the tokenizer. Does not know
what stands in a region's rows, nor torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gpt4roi_export.scene import Exchange, Scene
from gpt4roi_runtime.bundle.manifest import Prompt, TokenPiece
from gpt4roi_runtime.errors import InputError, RegionError, SettingsError
from gpt4roi_runtime.llm.decoder import Decoder
from gpt4roi_runtime.prompt import (
    Chunk,
    ImageSlot,
    RegionSlot,
    TextChunk,
    TokenChunk,
    Turn,
    check_dialogue,
    lay_out,
    mentions,
)

SLOT = -1
"""Stands in ``ids`` where a row comes from the picture."""
WHOLE_PICTURE = 0
"""Number of the picture itself among the regions."""


@dataclass(frozen=True)
class TalkRows:
    """All turns of a dialogue as rows.

    Attributes:
        ids: ``[t]`` tokens, or ``SLOT``.
        turn: ``[t]`` index of the turn whose answer (or its end) the row is, -1 for all that is not to be said.
        slots: First row and number of every region that has rows, in reading order; 0 is the whole picture.
        tasks: Of every turn.
    """

    ids: NDArray[np.int32]
    turn: NDArray[np.int16]
    slots: tuple[tuple[int, int], ...]
    tasks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


class SequenceMaker:
    """Makes sequences for one model and one template.

    Args:
        template: How the runtime will ask.
        language: The runtime's own engine; only its tokenizer is used.
        n_slot_rows: Rows of the picture and of a region.
    """

    def __init__(self, template: Prompt, language: Decoder, n_slot_rows: int) -> None:
        end = template.after_answer[0] if template.after_answer else None
        if not isinstance(end, TokenPiece) or template.answer_lead:
            raise SettingsError(
                "the template's answers do not end with a token, or begin with a lead", "Tune with a chat layout."
            )
        self._template = template
        self._n_slot_rows = n_slot_rows
        self._longest = language.info.context_length
        self._text_ids: Callable[[str], tuple[int, ...]] = lru_cache(maxsize=1 << 16)(language.tokenize)
        self._special_id: Callable[[str], int] = lru_cache(maxsize=64)(language.special_token)
        self._end = self._special_id(end.token)

    def rows_of(self, scene: Scene, dialogue: Sequence[Exchange]) -> TalkRows:
        """Lay out one dialogue.

        Raises:
            InputError: The runtime would refuse the dialogue, or would read its own answers differently.
        """
        turns = [Turn(exchange.question, exchange.answer.strip()) for exchange in dialogue]
        self._check(scene, turns)
        # With the answers in the history, as the next question will find them.
        ids, slots = self._prompt(turns, "")
        turn_of = np.full(len(ids), -1, dtype=np.int16)
        after = 0
        for index, turn in enumerate(turns):
            before, _ = self._prompt(turns[:index], turn.question)
            if before != ids[: len(before)]:
                raise InputError(f"the answer {turn.answer!r} is not read as it is said: its first token merges")
            after = ids.index(self._end, len(before)) + 1
            turn_of[len(before) : after] = index
        if after > self._longest:
            raise InputError(f"the dialogue takes {after} rows; the context holds {self._longest}")
        tasks = tuple(exchange.task for exchange in dialogue)
        return TalkRows(np.array(ids[:after], dtype=np.int32), turn_of[:after], slots, tasks)

    def _check(self, scene: Scene, turns: Sequence[Turn]) -> None:
        questions = [turn.question for turn in turns]
        numbers = mentions("\n".join(questions))
        for number in numbers:
            if number > len(scene.regions):
                raise RegionError(f"<region{number}> is mentioned, and the scene has {len(scene.regions)} regions")
        check_dialogue(questions, numbers, (*self._template.reserved, *self._template.stop))

    def _prompt(self, history: Sequence[Turn], question: str) -> tuple[list[int], tuple[tuple[int, int], ...]]:
        ids: list[int] = []
        slots: list[tuple[int, int]] = []
        for chunk in lay_out(self._template, history, question):
            if (number := _slot_number(chunk)) is not None:
                slots.append((len(ids), number))
            ids += self._chunk_ids(chunk)
        return ids, tuple(slots)

    def _chunk_ids(self, chunk: Chunk) -> Sequence[int]:
        match chunk:
            case TextChunk():
                return self._text_ids(chunk.text)
            case TokenChunk():
                return (self._special_id(chunk.token),)
            case ImageSlot() | RegionSlot():
                return (SLOT,) * self._n_slot_rows


def _slot_number(chunk: Chunk) -> int | None:
    match chunk:
        case ImageSlot():
            return WHOLE_PICTURE
        case RegionSlot():
            return chunk.number
        case TextChunk() | TokenChunk():
            return None
