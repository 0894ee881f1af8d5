"""The vocabulary of one model of llama.cpp: text to ids and ids to bytes; knows no context. In the engine's thread."""

import ctypes
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.backends.llama_cpp_library import NativeLibrary
from gpt4roi_runtime.errors import EngineError, QuestionError

_MAX_TEXT_BYTES = 1 << 20
_ADD_BOS = False  # the prompt's template says where it stands
_SHOW_SPECIAL = False  # a special token has no text in an answer


class NativeVocabulary:
    """Lives as long as its model.

    Attributes:
        pointer: llama.cpp's own.
        size: Number of tokens.
    """

    def __init__(self, library: NativeLibrary, pointer: Any) -> None:
        self._api = library.api
        self._log = library.log
        self._piece = ctypes.create_string_buffer(256)
        self.pointer = pointer
        self.size = int(self._api.llama_vocab_n_tokens(pointer))

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

    def ends_answer(self, token: int) -> bool:
        """Whether a token ends what the model writes."""
        return bool(self._api.llama_vocab_is_eog(self.pointer, token))

    def bytes_of(self, token: int) -> bytes:
        """What a token stands for in an answer; nothing for special tokens."""
        api = self._api
        n = api.llama_token_to_piece(self.pointer, token, self._piece, len(self._piece), 0, _SHOW_SPECIAL)
        if n < 0:
            self._piece = ctypes.create_string_buffer(-n)
            n = api.llama_token_to_piece(self.pointer, token, self._piece, len(self._piece), 0, _SHOW_SPECIAL)
        return self._piece.raw[: max(n, 0)]

    @cached_property
    def may_be_text(self) -> npt.NDArray[np.bool_]:
        """Of every token, whether it is ordinary text or ends an answer."""
        tokens = range(self.size)
        return np.array([not self._is_special(token) or self.ends_answer(token) for token in tokens], dtype=np.bool_)

    def _is_special(self, token: int) -> bool:
        api = self._api
        kinds: int = (
            api.LLAMA_TOKEN_ATTR_CONTROL
            | api.LLAMA_TOKEN_ATTR_USER_DEFINED
            | api.LLAMA_TOKEN_ATTR_UNKNOWN
            | api.LLAMA_TOKEN_ATTR_UNUSED
        )
        return bool(api.llama_vocab_get_attr(self.pointer, token) & kinds)

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
        n = self._api.llama_tokenize(self.pointer, data, len(data), tokens, room, _ADD_BOS, special)
        if n < 0:
            reason = self._log.complaints()
            raise EngineError(f"cannot split a text of {len(data)} bytes into tokens ({n}): {reason}")
        return tuple(tokens[:n])

    def _text_of(self, token: int) -> str:
        return bytes(self._api.llama_vocab_get_text(self.pointer, token) or b"").decode("utf-8", "replace")
