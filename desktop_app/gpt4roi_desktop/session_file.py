"""A session as a file: JSON of version 1, read as strictly as a stranger's file deserves. Knows no window.

Nothing in it is a picture: it names the photo by path and hash, and whoever opens it reads the photo anew.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gpt4roi_desktop import session as nouns
from gpt4roi_runtime.bundle.manifest import MAX_REGIONS
from gpt4roi_runtime.errors import Gpt4RoiError, InputError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.storage import written_aside

FORMAT = "gpt4roi-session"
VERSION = 1
SUFFIX = ".gpt4roi.json"
MAX_FILE_BYTES = 16 << 20

_Id = Annotated[int, Meta(ge=1, le=1 << 53)]
_Side = Annotated[int, Meta(ge=1, le=1 << 20)]
_Words = Annotated[str, Meta(max_length=100_000)]
_Seconds = Annotated[float, Meta(ge=0, le=1e9)]
_Name = Annotated[str, Meta(max_length=1000)]
_Count = Annotated[int, Meta(ge=0, le=1 << 31)]


class _Noun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of the file: what it does not know, it refuses."""


class _Photo(_Noun, frozen=True):
    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    width_px: _Side
    height_px: _Side


class _Region(_Noun, frozen=True):
    id: _Id
    box: tuple[float, float, float, float]
    locked: bool = False
    hidden: bool = False


class _Chip(_Noun, frozen=True):
    region: _Id


_Question = Annotated[tuple[_Words | _Chip, ...], Meta(max_length=1000)]


class _Asked(_Noun, frozen=True):
    region: _Id
    number: Annotated[int, Meta(ge=1, le=9999)]
    box: tuple[float, float, float, float]


class _Timing(_Noun, frozen=True):
    n_answer_tokens: _Count
    n_prompt_rows: _Count
    first_text_s: _Seconds | None = None
    tokens_per_s: _Seconds | None = None


class _Setup(_Noun, frozen=True):
    bundle_id: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    bundle_name: _Name
    engines: _Name
    n_threads: Annotated[int, Meta(ge=0, le=4096)]
    temperature: Annotated[float, Meta(ge=0, le=10)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=1 << 24)] | None = None


class _Exchange(_Noun, frozen=True):
    id: _Id
    question: _Question
    asked: Annotated[tuple[_Asked, ...], Meta(max_length=MAX_REGIONS)] = ()
    answer: _Words = ""
    state: nouns.State = "queued"
    problem: _Words = ""
    advice: _Words = ""
    timing: _Timing | None = None
    setup: _Setup | None = None
    of: Annotated[int, Meta(ge=0, le=1 << 53)] = 0


class _Dialogue(_Noun, frozen=True):
    id: _Id
    exchanges: Annotated[tuple[_Exchange, ...], Meta(max_length=10_000)] = ()
    kind: nouns.Kind = "talk"


class _Session(_Noun, frozen=True):
    format: Literal["gpt4roi-session"]
    version: Literal[1]
    photo: _Photo
    next_id: _Id
    regions: Annotated[tuple[_Region, ...], Meta(max_length=MAX_REGIONS)] = ()
    draft: _Question = ()
    dialogues: Annotated[tuple[_Dialogue, ...], Meta(max_length=1000)] = ()


def as_bytes(session: nouns.Session) -> bytes:
    """A session as the content of its file."""
    stored = _Session(
        format="gpt4roi-session",
        version=1,
        photo=_Photo(
            str(session.photo.path).encode("utf-8", "replace").decode(),
            session.photo.sha256,
            session.photo.width_px,
            session.photo.height_px,
        ),
        next_id=session.next_id,
        regions=tuple(_Region(each.id, each.box.xyxy, each.locked, each.hidden) for each in session.regions),
        draft=_stored(session.draft),
        dialogues=tuple(
            _Dialogue(dialogue.id, tuple(_stored_exchange(each) for each in dialogue.exchanges), dialogue.kind)
            for dialogue in session.dialogues
        ),
    )
    return msgspec.json.format(msgspec.json.encode(stored), indent=2)


def save(path: Path, session: nouns.Session) -> None:
    """Write a session; the file appears whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    content = as_bytes(session)
    with written_aside(path) as file:
        file.write(content)


def load(path: Path) -> nouns.Session:
    """Read a session; its photo is not looked at.

    Raises:
        InputError: Unreadable, too large, not a session, of another version, or at odds with itself.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path} is not a file", "Choose a session's file.")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", "Check the path and its rights.") from error
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"{path} is larger than {MAX_FILE_BYTES} bytes", "Choose a session's file.")
    return from_bytes(content, str(path))


def from_bytes(content: bytes, name: str = "the session") -> nouns.Session:
    """The session in a file's content; questions that were being answered wait again as stopped ones.

    Raises:
        InputError: See ``load``.
    """
    try:
        stored = msgspec.json.decode(content, type=_Session)
        session = _session(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{name} is not a session that this version reads: {error}", _OTHER) from error
    except Gpt4RoiError as error:
        raise InputError(f"{name} is damaged: {error.problem}", _OTHER) from error
    return session


_OTHER = "Choose another file; this one stays as it is."


def _session(stored: _Session) -> nouns.Session:
    dialogues = tuple(
        nouns.Dialogue(dialogue.id, tuple(_exchange(each) for each in dialogue.exchanges), dialogue.kind)
        for dialogue in stored.dialogues
    ) or (nouns.Dialogue(stored.next_id),)
    regions = tuple(_region(each, stored.photo) for each in stored.regions)
    ids = [region.id for region in regions]
    ids += [dialogue.id for dialogue in dialogues]
    ids += [exchange.id for dialogue in dialogues for exchange in dialogue.exchanges]
    if len(set(ids)) != len(ids):
        raise InputError("two things have the same id")
    if dialogues[-1].kind != "talk":
        raise InputError("no question could join its last dialogue")
    known = {region.id for region in regions}
    return nouns.Session(
        photo=nouns.Photo(Path(stored.photo.path), stored.photo.sha256, stored.photo.width_px, stored.photo.height_px),
        regions=regions,
        draft=tuple(token for token in _question(stored.draft) if isinstance(token, str) or token.region_id in known),
        dialogues=dialogues,
        next_id=max(stored.next_id, *(each + 1 for each in ids)),
    )


def _region(stored: _Region, photo: _Photo) -> nouns.Region:
    box = Box(*stored.box)
    if box.clipped_to(photo.width_px, photo.height_px) != box:
        raise InputError(f"box {box} is not on the photo of {photo.width_px} x {photo.height_px} pixels")
    return nouns.Region(stored.id, box, stored.locked, stored.hidden)


def _exchange(stored: _Exchange) -> nouns.Exchange:
    timing = stored.timing
    return nouns.Exchange(
        id=stored.id,
        question=_question(stored.question),
        asked=tuple(nouns.Asked(each.region, each.number, Box(*each.box)) for each in stored.asked),
        answer=stored.answer,
        state="stopped" if stored.state in ("queued", "streaming") else stored.state,
        problem=stored.problem,
        advice=stored.advice,
        timing=None
        if timing is None
        else nouns.Timing(timing.first_text_s, timing.tokens_per_s, timing.n_answer_tokens, timing.n_prompt_rows),
        setup=None if stored.setup is None else nouns.Setup(**msgspec.structs.asdict(stored.setup)),
        of=stored.of,
    )


def _stored_exchange(exchange: nouns.Exchange) -> _Exchange:
    timing = exchange.timing
    return _Exchange(
        id=exchange.id,
        question=_stored(exchange.question),
        asked=tuple(_Asked(each.region_id, each.number, each.box.xyxy) for each in exchange.asked),
        answer=exchange.answer,
        state=exchange.state,
        problem=exchange.problem,
        advice=exchange.advice,
        timing=None
        if timing is None
        else _Timing(timing.n_answer_tokens, timing.n_prompt_rows, timing.first_text_s, timing.tokens_per_s),
        setup=None if exchange.setup is None else _Setup(**dataclasses.asdict(exchange.setup)),
        of=exchange.of,
    )


def _question(stored: _Question) -> nouns.Question:
    return tuple(token if isinstance(token, str) else nouns.Chip(token.region) for token in stored)


def _stored(question: nouns.Question) -> tuple[str | _Chip, ...]:
    return tuple(token if isinstance(token, str) else _Chip(token.region_id) for token in question)
