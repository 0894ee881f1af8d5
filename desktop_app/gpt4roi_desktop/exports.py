"""A session for other programs and for people, by the ending of the file's name. Knows no window.

JSON, CSV, Markdown and the photo with its boxes are written here; ``interchange`` has the formats of annotation tools.
"""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import msgspec

from gpt4roi_desktop.interchange import as_coco, as_jsonl, as_labelme
from gpt4roi_desktop.session import Exchange, Session
from gpt4roi_desktop.talk import as_text, renamed
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.errors import OutputError
from gpt4roi_runtime.overlay import save_overlay
from gpt4roi_runtime.storage import written_aside

ENDINGS = (".json", ".jsonl", ".coco.json", ".labelme.json", ".csv", ".md", ".png", ".jpg", ".jpeg", ".webp")
"""What can be written; a longer ending goes before a shorter one."""

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def export(path: Path, session: Session, photo: RgbImage, chosen: str = "") -> None:
    """Write what the ending of ``path`` asks for; the file appears whole or not at all.

    Args:
        path: Ends in one of ``ENDINGS``.
        session: What to write.
        photo: Its pixels, uint8 ``[h w 3]``, for a picture.
        chosen: The ending that was meant, where a name may stand for several: ``a.json`` may be labelme's.

    Raises:
        OutputError: Another ending, or it cannot be written.
    """
    ending = ending_of(path)
    if chosen.endswith(ending):
        ending = chosen
    if ending in _PICTURES:
        save_overlay(path, photo, {number: region.box for number, region in enumerate(session.regions, 1)})
        return
    content = as_labelme(session, path.parent) if ending == ".labelme.json" else _WRITERS[ending](session)
    with written_aside(path) as file:
        file.write(content.encode("utf-8", "replace"))


def ending_of(path: Path) -> str:
    """The one of ``ENDINGS`` that a name has.

    Raises:
        OutputError: None of them.
    """
    name = path.name.lower()
    found = max((each for each in ENDINGS if name.endswith(each)), key=len, default=None)
    if found is None:
        raise OutputError(f"{path.name} has an ending of no known kind", f"Use one of {', '.join(ENDINGS)}.")
    return found


def with_ending(path: Path, ending: str) -> Path:
    """A name as typed, with the chosen kind's ending where it has none of ours."""
    return path if path.name.lower().endswith(ENDINGS) else path.with_name(path.name + ending)


def as_json(session: Session) -> str:
    """Photo, regions by number, and every question with its answer and timings."""
    account = {
        "photo": {
            "path": str(session.photo.path).encode("utf-8", "replace").decode(),
            "sha256": session.photo.sha256,
            "width_px": session.photo.width_px,
            "height_px": session.photo.height_px,
        },
        "regions": [{"number": number, "box_px": each.box.xyxy} for number, each in enumerate(session.regions, 1)],
        "dialogues": [
            [_exchange(session, exchange) for exchange in dialogue.exchanges] for dialogue in session.dialogues
        ],
    }
    return msgspec.json.format(msgspec.json.encode(account), indent=2).decode() + "\n"


def as_csv(session: Session) -> str:
    """A row a question: dialogue, question, boxes as asked, answer, state."""
    file = io.StringIO(newline="")
    table = csv.writer(file)
    table.writerow(["dialogue", "question", "regions", "answer", "state"])
    for place, dialogue in enumerate(session.dialogues, 1):
        for exchange in dialogue.exchanges:
            boxes = "; ".join(f"{asked.number}: {asked.box}" for asked in exchange.asked)
            table.writerow([place, _as_asked(exchange), boxes, exchange.answer, exchange.state])
    return file.getvalue()


def as_markdown(session: Session) -> str:
    """A report for a person."""
    photo = session.photo
    lines = [f"# {_plain(photo.path.name)}", "", f"{photo.width_px} x {photo.height_px} pixels", ""]
    if session.regions:
        lines += ["| region | left | top | right | bottom |", "|---|---|---|---|---|"]
        lines += [
            f"| {number} | " + " | ".join(f"{side:g}" for side in region.box.xyxy) + " |"
            for number, region in enumerate(session.regions, 1)
        ]
        lines.append("")
    for dialogue in session.dialogues:
        for exchange in dialogue.exchanges:
            lines += [f"**{_plain(_as_asked(exchange))}**", "", _plain(exchange.answer) or f"*({exchange.state})*", ""]
    return "\n".join(lines)


_WRITERS: dict[str, Callable[[Session], str]] = {
    ".json": as_json,
    ".jsonl": as_jsonl,
    ".coco.json": as_coco,
    ".csv": as_csv,
    ".md": as_markdown,
}


def _exchange(session: Session, exchange: Exchange) -> dict[str, object]:
    timing = exchange.timing
    return {
        "question": as_text(session, exchange.question),
        "answer": renamed(session, exchange),
        "state": exchange.state,
        "asked": [{"number": asked.number, "box_px": asked.box.xyxy} for asked in exchange.asked],
        "seconds_to_first_text": timing and timing.first_text_s,
        "tokens_per_second": timing and timing.tokens_per_s,
        "answer_tokens": timing and timing.n_answer_tokens,
    }


def _as_asked(exchange: Exchange) -> str:
    """The question with the numbers it had when it was asked: a report says what happened."""
    numbers = {asked.region_id: asked.number for asked in exchange.asked}
    return "".join(
        token if isinstance(token, str) else f"[{numbers.get(token.region_id, '?')}]" for token in exchange.question
    )


def _plain(text: str) -> str:
    """Text that Markdown does not read as anything else."""
    escaped = "".join(f"\\{letter}" if letter in "\\`*_<>#|[]" else letter for letter in text)
    return escaped.replace("\n", " ")
