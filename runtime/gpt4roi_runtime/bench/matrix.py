"""Lists and ranges, as llama-bench reads them, multiplied into tests and settings; measures nothing.

A list is numbers and ranges with commas between: ``256``, ``1,2,4``, ``128-512+128``, ``1-16*2``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from gpt4roi_runtime.backends.llama_cpp_settings import CacheType, FlashAttention, LlamaCppSettings
from gpt4roi_runtime.errors import SettingsError

Word = TypeVar("Word", bound=str)

_RANGE = re.compile(r"(-?\d{1,9})(?:-(\d{1,9})(?:([+*])(\d{1,9}))?)?", re.ASCII)
_MAX_VALUES = 1000
_MAX_ROWS = 1 << 20
_HOW = "Use numbers and ranges with commas between, such as 1,2,4 or 128-512+128 or 1-16*2."


@dataclass(frozen=True)
class LanguageTest:
    """One test of the language model alone.

    Attributes:
        n_prompt: Rows of prompt, all in one prefill.
        n_gen: Tokens decoded behind them.
        n_depth: Rows that are in the KV cache before.
    """

    n_prompt: int
    n_gen: int
    n_depth: int

    @property
    def name(self) -> str:
        """As llama-bench calls it: ``pp256``, ``tg128``, ``pp256+tg128``, and the depth behind an @."""
        parts = [f"pp{self.n_prompt}"] if self.n_prompt else []
        parts += [f"tg{self.n_gen}"] if self.n_gen else []
        return "+".join(parts) + (f" @ d{self.n_depth}" if self.n_depth else "")


@dataclass(frozen=True)
class LoadChoices:
    """Values of what a model is loaded with; every combination is one load.

    Attributes:
        n_gpu_layers: ``-ngl``.
        n_batch: ``-b``.
        n_ubatch: ``-ub``.
        type_k: ``-ctk``.
        type_v: ``-ctv``.
        flash_attention: ``-fa``.
        n_threads: ``-t``.
    """

    n_gpu_layers: tuple[int, ...]
    n_batch: tuple[int, ...]
    n_ubatch: tuple[int, ...]
    type_k: tuple[CacheType, ...]
    type_v: tuple[CacheType, ...]
    flash_attention: tuple[FlashAttention, ...]
    n_threads: tuple[int, ...]

    def combinations(self) -> tuple[LlamaCppSettings, ...]:
        """Settings in llama-bench's order: the option named first here changes last.

        Raises:
            SettingsError: A value is out of its range, or two do not go together.
        """
        every = product(
            self.n_gpu_layers,
            self.n_batch,
            self.n_ubatch,
            self.type_k,
            self.type_v,
            self.flash_attention,
            self.n_threads,
        )
        return tuple(
            LlamaCppSettings(
                n_threads=threads,
                batch_size=batch,
                ubatch_size=ubatch,
                type_k=type_k,
                type_v=type_v,
                flash_attention=fused,
                n_gpu_layers=layers,
            )
            for layers, batch, ubatch, type_k, type_v, fused, threads in every
        )


def language_tests(
    n_prompt: Sequence[int], n_gen: Sequence[int], pairs: Sequence[tuple[int, int]], n_depth: Sequence[int]
) -> tuple[LanguageTest, ...]:
    """Every test at every depth; 0 leaves one out."""
    sizes = [*((n, 0) for n in n_prompt), *((0, n) for n in n_gen), *pairs]
    return tuple(LanguageTest(*size, depth) for depth in n_depth for size in sizes if any(size))


def numbers(option: str, texts: Sequence[str], *, lowest: int = 0, highest: int = _MAX_ROWS) -> tuple[int, ...]:
    """All values of an option that may be given several times, in the order given.

    Raises:
        SettingsError: No list of numbers, or a number out of its range.
    """
    values: list[int] = []
    for text in texts:
        for part in text.split(","):
            for value in _range(option, text, part.strip()):
                if not lowest <= value <= highest:
                    raise SettingsError(f"{option} {value} is out of range", f"Use {lowest} to {highest}.")
                values.append(value)
                if len(values) > _MAX_VALUES:
                    raise SettingsError(f"{option} {text} is more than {_MAX_VALUES} values", "Use a larger step.")
    return tuple(values)


def pair(option: str, text: str) -> tuple[int, int]:
    """Two numbers with a comma between.

    Raises:
        SettingsError: Something else.
    """
    values = numbers(option, [text])
    if len(values) != 2:
        raise SettingsError(f"{option} {text} is not two numbers", "Use PROMPT,TOKENS, such as 256,64.")
    return values[0], values[1]


def words(option: str, texts: Sequence[str], known: Sequence[Word]) -> tuple[Word, ...]:
    """All values of an option whose values are words.

    Raises:
        SettingsError: A word it does not know.
    """
    found = {str(word): word for word in known}
    values = [part.strip() for text in texts for part in text.split(",")]
    for value in values:
        if value not in found:
            raise SettingsError(f"{option} {value!r} is unknown", f"Use {', '.join(known)}.")
    return tuple(found[value] for value in values)


def _range(option: str, text: str, part: str) -> range | list[int]:
    match = _RANGE.fullmatch(part)
    if match is None:
        raise SettingsError(f"{option} {text!r} is not a list of numbers", _HOW)
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    step = 1 if match[4] is None else int(match[4])
    if last < first:
        raise SettingsError(f"{option} {part} ends before it begins", _HOW)
    if match[3] == "*":
        return _powers(option, part, first, last, step)
    if step < 1:
        raise SettingsError(f"{option} {part} does not rise", _HOW)
    return range(first, last + 1, step)


def _powers(option: str, part: str, first: int, last: int, step: int) -> list[int]:
    if first < 1 or step <= 1:
        raise SettingsError(f"{option} {part} does not rise", _HOW)
    values = [first]
    while values[-1] * step <= last:
        values.append(values[-1] * step)
    return values
