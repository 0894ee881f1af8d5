"""Wrong answers as contact sheets: the picture with its boxes, the question, the answer and the truth.

Does not know how answers are scored.
"""

import random
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gpt4roi_export.evaluation.report import Record
from gpt4roi_runtime.errors import OutputError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.overlay import draw_regions
from gpt4roi_runtime.storage import written_aside

_COLUMNS, _ROWS = 3, 3
_PICTURE_PX = (400, 300)
_TEXT_PX, _LINE_PX, _FONT_PX, _MARGIN_PX = 110, 17, 13, 10
_WRAP_AFTER = 58  # characters of a line


def write_gallery(records: Sequence[Record], out: Path, n: int = 27, seed: int = 0) -> tuple[Path, ...]:
    """Write PNG sheets of wrong answers, tasks taking turns.

    Args:
        records: From a report; right answers are passed over.
        out: Folder; it is made.
        n: How many wrong answers.
        seed: Which ones.

    Returns:
        The sheets; none if nothing was wrong.

    Raises:
        ImageError: A picture is gone.
        OutputError: The folder cannot be written.
    """
    chosen = choose_wrong(records, n, seed)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {out}: {error}", "Choose another one.") from error
    per_sheet = _COLUMNS * _ROWS
    sheets = []
    for start in range(0, len(chosen), per_sheet):
        path = out / f"wrong-{start // per_sheet + 1}.png"
        sheet = _sheet(chosen[start : start + per_sheet])
        with written_aside(path) as file:
            sheet.save(file, format="PNG")
        sheets.append(path)
    return tuple(sheets)


def choose_wrong(records: Sequence[Record], n: int, seed: int) -> list[Record]:
    """Some wrong answers, one of every suite and task before the second of any."""
    by_task: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if not record.right and record.boxes:
            by_task.setdefault((record.suite, record.task), []).append(record)
    rng = random.Random(seed)  # noqa: S311 - no secret
    for of_task in by_task.values():
        rng.shuffle(of_task)
    rounds = zip_longest(*by_task.values())
    return [record for of_round in rounds for record in of_round if record is not None][:n]


def _sheet(records: Sequence[Record]) -> Image.Image:
    width, height = _PICTURE_PX[0] + 2 * _MARGIN_PX, _PICTURE_PX[1] + _TEXT_PX + 2 * _MARGIN_PX
    n_rows = -(-len(records) // _COLUMNS)
    sheet = Image.new("RGB", (width * min(_COLUMNS, len(records)), height * n_rows), "white")
    for number, record in enumerate(records):
        row, column = divmod(number, _COLUMNS)
        sheet.paste(_card(record), (column * width + _MARGIN_PX, row * height + _MARGIN_PX))
    return sheet


def _card(record: Record) -> Image.Image:
    """One wrong answer."""
    card = Image.new("RGB", (_PICTURE_PX[0], _PICTURE_PX[1] + _TEXT_PX), "white")
    boxes = {number: Box(*corners) for number, corners in record.boxes.items()}
    picture = Image.fromarray(draw_regions(load_image(Path(record.image)), boxes))
    picture.thumbnail(_PICTURE_PX)
    card.paste(picture, ((_PICTURE_PX[0] - picture.width) // 2, 0))
    pen, font = ImageDraw.Draw(card), ImageFont.load_default(size=_FONT_PX)
    lines = [
        (f"{record.suite}, {record.task}: {record.questions[-1]}", "black"),
        (f"said: {record.answers[-1]}", "#b00020"),
        (f"true: {record.truth}", "#1b6e2b"),
    ]
    top = _PICTURE_PX[1] + 4
    for text, color in lines:
        for line in _wrapped(text):
            pen.text((0, top), line, fill=color, font=font)
            top += _LINE_PX
    return card


def _wrapped(text: str) -> list[str]:
    """The text in at most two lines of words."""
    words, lines = text.split(), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) >= _WRAP_AFTER:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines if len(lines) <= 2 else [lines[0], f"{lines[1][: _WRAP_AFTER - 3]} ..."]
