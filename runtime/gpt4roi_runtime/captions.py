"""Answers about many boxes as a file: five layouts, and a journal from which an interrupted run goes on.

Knows no model: what decides the answers comes in as one key.
"""

import csv
import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

import msgspec

from gpt4roi_runtime.errors import OutputError
from gpt4roi_runtime.geometry import Box

Layout = Literal["text", "json", "jsonl", "csv", "coco"]

_MAX_LINE_BYTES = 1 << 20
_NO_CATEGORY = "region"


class Caption(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer about one box.

    Attributes:
        number: Place of the box in the user's list, from 1.
        box_px: Its corners.
        answer: The whole text.
        stop_reason: Why it ended, as ``Done`` says it.
        n_tokens: Tokens of the answer.
        name: What a detector took the box for.
        score: How sure the detector was.
        probability: Of the answer, where it was chosen from a list.
        choices: Probability of every answer of the list.
    """

    number: int
    box_px: tuple[float, float, float, float]
    answer: str
    stop_reason: str
    n_tokens: int
    name: str | None = None
    score: float | None = None
    probability: float | None = None
    choices: dict[str, float] | None = None


class Photo(msgspec.Struct, frozen=True):
    """The photo that the boxes lie on."""

    path: str
    width_px: int
    height_px: int


def as_line(caption: Caption, layout: Literal["text", "jsonl"]) -> str:
    """One answer as a line, without its end."""
    if layout == "jsonl":
        return msgspec.json.encode(caption).decode()
    answer = " ".join(caption.answer.split())
    how_sure = "" if caption.probability is None else f"  {caption.probability:.2f}"
    return f"{caption.number:>4}  {Box(*caption.box_px)}  {answer}{how_sure}"


def as_file(
    captions: Sequence[Caption], layout: Layout, photo: Photo, question: str, more: dict[str, object] | None = None
) -> str:
    """All answers as the content of a file.

    Args:
        captions: In the order of their numbers.
        layout: ``coco`` is COCO's format of captioned annotations, with boxes as left, top, width, height.
        photo: What they are about.
        question: What was asked about every box.
        more: Further facts for ``json``.
    """
    match layout:
        case "text" | "jsonl":
            return "".join(f"{as_line(caption, layout)}\n" for caption in captions)
        case "csv":
            return _as_csv(captions)
        case "json":
            account = {"photo": photo, "question": question, "regions": list(captions), **(more or {})}
            return _pretty(account)
        case "coco":
            return _pretty(_as_coco(captions, photo, question))


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def _as_csv(captions: Sequence[Caption]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    asked = ["answer", "stop_reason", "n_tokens", "name", "score", "probability"]
    writer.writerow(["number", "x1", "y1", "x2", "y2", *asked])
    for one in captions:
        writer.writerow([one.number, *one.box_px, *(getattr(one, field) for field in asked)])
    return text.getvalue()


def _as_coco(captions: Sequence[Caption], photo: Photo, question: str) -> dict[str, object]:
    names = list(dict.fromkeys(one.name or _NO_CATEGORY for one in captions))
    return {
        "info": {"description": question},
        "images": [{"id": 1, "file_name": photo.path, "width": photo.width_px, "height": photo.height_px}],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
        "annotations": [
            {
                "id": one.number,
                "image_id": 1,
                "category_id": names.index(one.name or _NO_CATEGORY) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
                "caption": one.answer,
            }
            for one in captions
            for x1, y1, x2, y2 in [one.box_px]
        ],
    }


class _Head(msgspec.Struct, frozen=True):
    """First line of a journal."""

    gpt4roi_captions: str


class Journal(AbstractContextManager["Journal"]):
    """Finished answers, written beside the file to come as each ends; use it as a context manager.

    Args:
        target: The file to come.
        key: Of all that decides the answers.

    Attributes:
        path: Where the journal lies.
        captions: What an earlier run of the same key finished.

    Raises:
        OutputError: The journal cannot be written, or is another run's.
    """

    def __init__(self, target: Path, key: str) -> None:
        self.path = target.with_name(f"{target.name}.unfinished.jsonl")
        self.captions: tuple[Caption, ...] = ()
        try:
            whole_bytes = self._read(key)
            self._file: BinaryIO = self.path.open("ab")
            self._file.truncate(whole_bytes)
            if whole_bytes == 0:
                self._write(_Head(key))
        except OSError as error:
            raise self._cannot_write(error) from error

    def add(self, caption: Caption) -> None:
        """Note a finished answer; it stays, whatever happens to this process.

        Raises:
            OutputError: It could not be written.
        """
        try:
            self._write(caption)
        except OSError as error:
            raise self._cannot_write(error) from error

    def finish(self) -> None:
        """The file is there: remove the journal."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _write(self, entry: msgspec.Struct) -> None:
        self._file.write(msgspec.json.encode(entry) + b"\n")
        self._file.flush()

    def _read(self, key: str) -> int:
        """Note what is there; returns the bytes of its whole lines. A line cut by a crash does not count."""
        if not self.path.exists():
            return 0
        whole_bytes, found = 0, []
        with self.path.open("rb") as file:
            while (line := file.readline(_MAX_LINE_BYTES)).endswith(b"\n"):
                try:
                    if whole_bytes == 0:
                        self._check_head(msgspec.json.decode(line, type=_Head), key)
                    else:
                        found.append(msgspec.json.decode(line, type=Caption))
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise OutputError(f"{self.path} is damaged: {error}", "Remove it, and begin anew.") from error
                whole_bytes += len(line)
        self.captions = tuple(found)
        return whole_bytes

    def _check_head(self, head: _Head, key: str) -> None:
        if head.gpt4roi_captions != key:
            raise OutputError(
                f"{self.path} belongs to another photo, question, model or settings",
                "Repeat that command to finish it, remove the file, or choose another --out.",
            )

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path}: {error.strerror or error}", "Choose another --out.")
