"""What must be true of rows and tokens before native code sees them; knows no model.

Arguments are typed loosely and checked by hand, because a wrong dtype or width would be read past its end there.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.errors import EngineError, NumericError


def check_rows(rows: npt.NDArray[Any], width: int) -> None:
    """Refuse rows that are not float32 ``[1 or more, width]``, C-contiguous and finite.

    Raises:
        EngineError: With what they are.
        NumericError: With the first row that is not finite.
    """
    kind = getattr(rows, "dtype", type(rows).__name__)
    if kind != np.float32:
        raise EngineError(f"the prompt's rows are {kind}, expected float32", "Convert them before prefill.")
    if rows.ndim != 2 or rows.shape[1] != width or rows.shape[0] < 1:
        raise EngineError(
            f"the prompt's rows have shape {rows.shape}, expected (1 or more, {width})",
            "Graphs and GGUF of a bundle must have one width; run gpt4roi verify on it.",
        )
    if not rows.flags.c_contiguous:
        raise EngineError("the prompt's rows are not C-contiguous", "Use numpy.ascontiguousarray before prefill.")
    if not np.isfinite(rows).all():
        first = int(np.argmin(np.isfinite(rows).all(axis=1)))
        raise NumericError(
            f"row {first} of the prompt holds NaN or infinity", "The encoder's output is broken; verify the bundle."
        )


def check_prefix(rows: npt.NDArray[Any], n_prefix: int) -> None:
    """Refuse a prefix longer than its prompt.

    Raises:
        EngineError: With both counts.
    """
    if not 0 <= n_prefix <= len(rows):
        raise EngineError(f"a prefix of {n_prefix} rows in a prompt of {len(rows)}", "It is the prompt's beginning.")


def check_tokens(text: Sequence[int], vocabulary_size: int) -> None:
    """Refuse a text that cannot be scored.

    Raises:
        EngineError: It is empty, or a token of it is outside the vocabulary.
    """
    if len(text) == 0:
        raise EngineError("a text without tokens cannot be scored", "Leave it out.")
    for token in text:
        if not 0 <= token < vocabulary_size:
            raise EngineError(f"token {token} is outside the vocabulary of {vocabulary_size}", "Tokenize the text.")
