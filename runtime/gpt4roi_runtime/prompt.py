"""A dialogue about regions -> the chunks of a prompt; knows the template but no token and no embedding.

The layout is GPT4RoI's (gpt4roi/app.py): ``<region1>`` becomes ``region1 `` and the region's rows where it is first
used, and plain ``region1`` after that.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from gpt4roi_runtime.bundle.manifest import ImagePiece, Piece, Prompt, TextPiece, TokenPiece
from gpt4roi_runtime.errors import QuestionError, RegionError

ALWAYS_RESERVED = ("<bbox>", "<im_patch>", "<im_start>", "<im_end>", "<point>", "###")
"""GPT4RoI's own placeholders: refused for every bundle, so that a question good for one is good for all."""

_MENTION = re.compile(r"<region([1-9]\d{0,3})>", re.ASCII)
_ALMOST_MENTION = re.compile(r"<\s*region[^<>]{0,20}>", re.IGNORECASE)


@dataclass(frozen=True)
class TextChunk:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class TokenChunk:
    """One special token, by its text."""

    token: str


@dataclass(frozen=True)
class ImageSlot:
    """The place of the image's rows."""


@dataclass(frozen=True)
class RegionSlot:
    """The place of a region's rows."""

    number: int


Chunk = TextChunk | TokenChunk | ImageSlot | RegionSlot


@dataclass(frozen=True)
class Turn:
    """One question, as the user typed it, and its answer."""

    question: str
    answer: str


def check_dialogue(questions: Sequence[str], numbers: Collection[int], reserved: Sequence[str] = ()) -> None:
    """Refuse what cannot be laid out: all questions of a dialogue, the new one last, and the numbers that have a box.

    Raises:
        QuestionError: A question is empty, or holds words with a meaning for the model.
        RegionError: A mention has no box, or a box is never mentioned.
    """
    for question in questions:
        _check_question(question, reserved)
    _check_regions(questions, numbers)


def _check_question(question: str, reserved: Sequence[str]) -> None:
    """Refuse a question that is empty, or that holds words with a meaning for the model.

    Raises:
        QuestionError: With the offending words.
    """
    if not question.strip():
        raise QuestionError("the question is empty", 'Ask something, for example "What is <region1>?".')
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise QuestionError(
            f"the question holds {question[error.start : error.end]!r}, which is not a character", "Type it again."
        ) from error
    for word in (*ALWAYS_RESERVED, *reserved):
        if word in question:
            raise QuestionError(
                f"the question contains {word!r}, which has a meaning of its own for the model",
                "Leave it out; regions are written <region1>, <region2>, ...",
            )
    for almost in _ALMOST_MENTION.findall(question):
        if not _MENTION.fullmatch(almost):
            raise QuestionError(f"{almost!r} is not a region", "Write <region1>, <region2>, ... with numbers from 1.")


def mentions(text: str) -> tuple[int, ...]:
    """Numbers of the regions that ``text`` mentions as ``<regionN>``, each once, in order."""
    return tuple(dict.fromkeys(int(number) for number in _MENTION.findall(text)))


def _check_regions(questions: Sequence[str], numbers: Collection[int]) -> None:
    """Hold the mentions of a whole dialogue against the numbers that have a box.

    Raises:
        RegionError: A mention has no box, or a box is never mentioned.
    """
    mentioned = mentions("\n".join(questions))
    for number in mentioned:
        if number not in numbers:
            known = ", ".join(f"<region{known}>" for known in numbers) or "none"
            raise RegionError(
                f"the question mentions <region{number}>, which has no box (there are: {known})",
                "Add its box, or mention another region.",
            )
    for number in numbers:
        if number not in mentioned:
            raise RegionError(
                f"<region{number}> has a box but is never mentioned in the question",
                f"Write <region{number}> where the question means it, or leave its box out.",
            )


def lay_out(template: Prompt, history: Sequence[Turn], question: str) -> tuple[Chunk, ...]:
    """The whole prompt, from the opening to the place where the answer begins.

    Neighbouring pieces of text come out as one chunk, because a tokenizer must see them together.

    Args:
        template: From the bundle's manifest.
        history: Earlier turns of the dialogue.
        question: The new question, checked.
    """
    known: set[int] = set()
    lead = template.answer_lead if template.lead_writer == "model" else ""  # the other kind is part of the answer
    chunks = list(_pieces(template.opening))
    for turn in history:
        chunks += _question(turn.question, known)
        chunks += _pieces(template.after_question)
        chunks.append(TextChunk(lead + turn.answer))
        chunks += _pieces(template.after_answer)
    chunks += _question(question, known)
    chunks += _pieces(template.after_question)
    if template.lead_writer == "runtime":
        chunks.append(TextChunk(template.answer_lead))
    return tuple(_joined(chunks))


def lay_out_opening(template: Prompt) -> tuple[Chunk, ...]:
    """The beginning that all prompts of a template share, up to the place of the first question."""
    return tuple(_joined(list(_pieces(template.opening))))


def lay_out_answer(template: Prompt, chunks: Sequence[Chunk], answer: str) -> tuple[Chunk, ...]:
    """A prompt with an answer behind it, lead included, as the next turn of the dialogue would repeat it.

    Args:
        template: From the bundle's manifest.
        chunks: From ``lay_out``.
        answer: Without white space at its ends.
    """
    lead = template.answer_lead if template.lead_writer == "model" else ""
    return tuple(_joined([*chunks, TextChunk(lead + answer)]))


def space_behind_lead(template: Prompt) -> str:
    """What an answer has to begin with behind a lead that the runtime wrote: a space, or nothing."""
    lead = template.answer_lead if template.lead_writer == "runtime" else ""
    return " " if lead and not lead[-1].isspace() else ""


def as_tokenised(template: Prompt, chunks: Sequence[Chunk]) -> tuple[Chunk, ...]:
    """The same chunks with their texts as the tokenizer must see them; some may be empty.

    GPT4RoI's tokenizer cuts white space off, line breaks too, on both sides of every word that it knows as one token:
    it reads ``is region1 <bbox> doing`` as ``is region1``, ``<bbox>``, ``doing``. The model knows it no other way.

    Args:
        template: From the bundle's manifest.
        chunks: From ``lay_out``.
    """
    if template.space_at_slots == "kept":
        return tuple(chunks)
    last = len(chunks) - 1
    return tuple(
        _without_space(chunk, before=index > 0, behind=index < last) if isinstance(chunk, TextChunk) else chunk
        for index, chunk in enumerate(chunks)
    )


def _without_space(chunk: TextChunk, *, before: bool, behind: bool) -> TextChunk:
    """A text without its outer white space; texts never touch one another, so a neighbour is always something else."""
    text = chunk.text.lstrip() if before else chunk.text
    return TextChunk(text.rstrip() if behind else text)


def as_text(chunks: Sequence[Chunk], n_image_rows: int) -> str:
    """The prompt for a person's eye, in the words of GPT4RoI's vocabulary."""
    return "".join(_as_word(chunk, n_image_rows) for chunk in chunks)


def _as_word(chunk: Chunk, n_image_rows: int) -> str:
    match chunk:
        case TextChunk():
            return chunk.text
        case TokenChunk():
            return chunk.token
        case ImageSlot():
            return f"<im_patch>*{n_image_rows}"
        case RegionSlot():
            return "<bbox>"


def _question(question: str, known: set[int]) -> Iterator[Chunk]:
    """The words of a question, with a slot behind every first mention; adds these to ``known``."""
    position = 0
    for mention in _MENTION.finditer(question):
        number = int(mention[1])
        yield TextChunk(f"{question[position : mention.start()]}region{number}")
        if number not in known:
            known.add(number)
            yield TextChunk(" ")
            yield RegionSlot(number)
        position = mention.end()
    yield TextChunk(question[position:])


def _pieces(pieces: Sequence[Piece]) -> Iterator[Chunk]:
    for piece in pieces:
        match piece:
            case TextPiece():
                yield TextChunk(piece.text)
            case TokenPiece():
                yield TokenChunk(piece.token)
            case ImagePiece():
                yield ImageSlot()


def _joined(chunks: Sequence[Chunk]) -> Iterator[Chunk]:
    """Runs of text as one chunk each, without empty ones."""
    text = ""
    for chunk in chunks:
        if isinstance(chunk, TextChunk):
            text += chunk.text
            continue
        if text:
            yield TextChunk(text)
            text = ""
        yield chunk
    if text:
        yield TextChunk(text)
