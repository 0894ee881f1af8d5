"""A session in the formats of annotation tools: captions as JSONL and COCO, and labelme's file. Knows no window.

These formats hold boxes with one text each, so every region goes with the last answer that is about it alone.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gpt4roi_desktop.session import Exchange, Session
from gpt4roi_desktop.talk import renamed
from gpt4roi_runtime import captions
from gpt4roi_runtime.captions import Caption

_LABELME_VERSION = "5.5.0"
_UNANSWERED = "unanswered"


def captions_of(session: Session, exchanges: Sequence[Exchange] | None = None) -> tuple[Caption, ...]:
    """One caption for every region; without an answer, an empty one.

    Args:
        session: What to write.
        exchanges: Whose answers count, a later one before an earlier; None takes all of the session.
    """
    last: dict[int, Exchange] = {}
    for exchange in session.exchanges() if exchanges is None else exchanges:
        if exchange.state == "done" and len(exchange.asked) == 1:
            last[exchange.asked[0].region_id] = exchange
    return tuple(
        _caption(session, number, region.box.xyxy, last.get(region.id))
        for number, region in enumerate(session.regions, 1)
    )


def as_jsonl(session: Session) -> str:
    """A line a region."""
    return captions.as_file(captions_of(session), "jsonl", photo_of(session), "")


def as_coco(session: Session) -> str:
    """COCO's format of captioned annotations."""
    return captions.as_file(captions_of(session), "coco", photo_of(session), "Boxes and answers of a GPT4RoI session")


def as_labelme(session: Session, folder: Path) -> str:
    """Labelme's file of rectangles, to lie in ``folder``; the answers are the shapes' descriptions."""
    account: dict[str, object] = {
        "version": _LABELME_VERSION,
        "flags": {},
        "shapes": [
            {
                "label": f"region{caption.number}",
                "points": [list(caption.box_px[:2]), list(caption.box_px[2:])],
                "group_id": None,
                "description": caption.answer,
                "shape_type": "rectangle",
                "flags": {},
            }
            for caption in captions_of(session)
        ],
        "imagePath": _from(folder, session.photo.path),
        "imageData": None,
        "imageHeight": session.photo.height_px,
        "imageWidth": session.photo.width_px,
    }
    return msgspec.json.format(msgspec.json.encode(account), indent=2).decode() + "\n"


def _caption(
    session: Session, number: int, box_px: tuple[float, float, float, float], exchange: Exchange | None
) -> Caption:
    if exchange is None:
        return Caption(number, box_px, "", _UNANSWERED, 0)
    n_tokens = 0 if exchange.timing is None else exchange.timing.n_answer_tokens
    return Caption(number, box_px, renamed(session, exchange), exchange.state, n_tokens)


def photo_of(session: Session) -> captions.Photo:
    """The session's photo as a file of captions names it."""
    photo = session.photo
    return captions.Photo(_written(str(photo.path)), photo.width_px, photo.height_px)


def _from(folder: Path, photo: Path) -> str:
    """The photo's path as labelme reads it: from the file's folder, with forward slashes."""
    try:
        path = os.path.relpath(photo.absolute(), folder.absolute())
    except ValueError:  # another drive
        path = str(photo)
    return _written(path.replace(os.sep, "/"))


def _written(path: str) -> str:
    """A path that JSON can hold: a name that is no text loses what cannot be written."""
    return path.encode("utf-8", "replace").decode()
