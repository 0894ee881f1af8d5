"""A checkpoint's vocabulary: LLaMA's pieces, the tokens added to them, and which of these begin and end a text.

Every id is read from the files. Splits no text, and does not know what the added tokens are for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from gguf import TokenType
from msgspec import Meta

from gpt4roi_export.language.sentencepiece_model import Piece, read_sentencepiece_model
from gpt4roi_runtime.errors import BundleError

MODEL, ADDED, CONFIG, SPECIAL = (
    "tokenizer.model",
    "added_tokens.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
"""The files, all in the checkpoint's folder; only the first is always there."""
_MAX_BYTES = 8 << 20
_MAX_ADDED = 4096
_ADVICE = "Expected the tokenizer files of one checkpoint, as its makers published them."
_ADDED_SCORE = -1000.0  # below every piece's, so that two neighbours are never joined to it

_Content = TypeVar("_Content")
Text = Annotated[str, Meta(max_length=1024)]
Id = Annotated[int, Meta(ge=0, le=1 << 20)]


class _Named(msgspec.Struct, frozen=True):
    """A token with its stripping rules; only the text matters here."""

    content: Text


class _Config(msgspec.Struct, frozen=True):
    """What is read of ``tokenizer_config.json``."""

    bos_token: _Named | Text | None = None
    eos_token: _Named | Text | None = None
    add_bos_token: bool = True
    add_eos_token: bool = False
    added_tokens_decoder: dict[str, _Named] = {}


class _SpecialTokens(msgspec.Struct, frozen=True):
    """What is read of ``special_tokens_map.json``."""

    bos_token: _Named | Text | None = None
    eos_token: _Named | Text | None = None


@dataclass(frozen=True)
class Vocabulary:
    """Tokens and what they are for.

    Attributes:
        tokens: Ids are positions; as many as the model has rows.
        added: Text of every token that was added to the pieces, and its id.
        bos: Id of the beginning of a text.
        eos: Id of its end.
        unknown: Id of what stands for the unknown.
        add_bos: Whether the tokenizer puts ``bos`` before every text.
        add_space_prefix: Whether it puts a space before every text, and after every added token.
    """

    tokens: tuple[Piece, ...]
    added: Mapping[str, int]
    bos: int
    eos: int
    unknown: int
    add_bos: bool
    add_space_prefix: bool

    def id_of(self, text: str) -> int:
        """Id of an added or a control token.

        Raises:
            BundleError: There is none of that text.
        """
        if text in self.added:
            return self.added[text]
        for number in (self.bos, self.eos, self.unknown):
            if self.tokens[number].text == text:
                return number
        raise BundleError(f"the tokenizer has no token {text!r}", f"It has {', '.join(self.added) or 'none added'}.")

    def text_of(self, number: int) -> str:
        """Text of a token."""
        return self.tokens[number].text


def read_vocabulary(folder: Path, n_rows: int, *, pieces: Path | None = None) -> Vocabulary:
    """Read and check the tokenizer files of a checkpoint.

    Args:
        folder: The checkpoint, or wherever its tokenizer files lie.
        n_rows: Rows of its ``embed_tokens``; ids beyond the last token are named and marked as unused.
        pieces: ``tokenizer.model``, where it lies elsewhere: a delta may leave it to its base.

    Raises:
        BundleError: A file is missing or damaged, files contradict one another, or there are more tokens than rows.
    """
    model = read_sentencepiece_model(pieces or folder / MODEL)
    config = _read(folder / CONFIG, msgspec.json.Decoder(_Config), _Config())
    special = _read(folder / SPECIAL, msgspec.json.Decoder(_SpecialTokens), _SpecialTokens())
    if config.add_eos_token:
        raise BundleError(f"{folder / CONFIG} wants an end after every text, GPT4RoI's wants none", _ADVICE)
    added = _added_tokens(folder, model.pieces, config)
    tokens = _tokens(model.pieces, added, n_rows)
    ids = {token.text: number for number, token in enumerate(tokens)}
    if len(ids) != len(tokens):
        raise BundleError(f"{folder} has two tokens with the same text", _ADVICE)
    return Vocabulary(
        tokens=tokens,
        added=added,
        bos=_special_id(ids, "bos_token", (special.bos_token, config.bos_token, model.bos)),
        eos=_special_id(ids, "eos_token", (special.eos_token, config.eos_token, model.eos)),
        unknown=ids[model.unknown],
        add_bos=config.add_bos_token,
        add_space_prefix=model.adds_space,
    )


def _read(path: Path, decoder: "msgspec.json.Decoder[_Content]", absent: _Content) -> _Content:
    """A JSON file, or ``absent`` where there is none."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return absent
    except OSError as failed:
        raise BundleError(f"cannot read {path}: {failed.strerror or failed}", _ADVICE) from failed
    if len(content) > _MAX_BYTES:
        raise BundleError(f"{path} is longer than {_MAX_BYTES} bytes", _ADVICE)
    try:
        return decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise BundleError(f"{path} is not what a tokenizer has: {wrong}", _ADVICE) from wrong


def _added_tokens(folder: Path, pieces: Sequence[Piece], config: _Config) -> Mapping[str, int]:
    """Text of every token beyond the pieces -> its id, in the order of ids; from both places that may say it."""
    listed = _read(folder / ADDED, msgspec.json.Decoder(dict[str, Id]), {})
    decoded = {token.content: _number(folder, text) for text, token in config.added_tokens_decoder.items()}
    if len(decoded) != len(config.added_tokens_decoder):
        raise BundleError(f"{folder / CONFIG} adds a token twice", _ADVICE)
    for text, number in (*listed.items(), *decoded.items()):
        if listed.get(text, number) != number:
            raise BundleError(f"{ADDED} gives {text!r} the id {listed[text]}, {CONFIG} the id {number}", _ADVICE)
        if number < len(pieces) and pieces[number].text != text:
            raise BundleError(f"{folder} adds {text!r} as {number}, which is {pieces[number].text!r}", _ADVICE)
    beyond = {text: number for text, number in {**listed, **decoded}.items() if number >= len(pieces)}
    if len(set(beyond.values())) != len(beyond):
        raise BundleError(f"{folder} adds two tokens with one id", _ADVICE)
    if len(beyond) > _MAX_ADDED or not all(beyond) or any("\0" in text for text in beyond):
        raise BundleError(f"{folder} adds {len(beyond)} tokens, expected at most {_MAX_ADDED}, none empty", _ADVICE)
    return dict(sorted(beyond.items(), key=lambda entry: entry[1]))


def _number(folder: Path, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise BundleError(f"{folder / CONFIG} adds a token as {text[:40]!r}, expected a number", _ADVICE)
    return int(text)


def _tokens(pieces: Sequence[Piece], added: Mapping[str, int], n_rows: int) -> tuple[Piece, ...]:
    """A token for every row; rows that nothing stands for get a name of their own, and are never read from a text."""
    n_needed = max((*added.values(), len(pieces) - 1)) + 1
    if n_needed > n_rows:
        raise BundleError(
            f"the tokenizer has {n_needed} tokens, the model {n_rows} rows",
            "Expected the tokenizer files that belong to the weights; a delta has its own.",
        )
    names = {number: Piece(text, _ADDED_SCORE, TokenType.CONTROL) for text, number in added.items()}
    beyond = range(len(pieces), n_rows)
    unused = {number: Piece(f"<unused {number}>", _ADDED_SCORE, TokenType.UNUSED) for number in beyond}
    return (*pieces, *(names.get(number, unused[number]) for number in beyond))


def _special_id(ids: Mapping[str, int], what: str, candidates: Sequence[_Named | str | None]) -> int:
    """Id of the first candidate that says anything; some early files say nothing with an empty text."""
    texts = [token.content if isinstance(token, _Named) else token for token in candidates]
    text = next((text for text in texts if text), "")
    if text not in ids:
        raise BundleError(f"the tokenizer's {what} is {text!r}, which is none of its tokens", _ADVICE)
    return ids[text]
