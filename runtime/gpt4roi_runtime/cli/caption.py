"""`gpt4roi caption`: one question about many boxes of a photo, answered side by side."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import msgspec

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.box_file import NamedBox, read_boxes
from gpt4roi_runtime.captions import Caption, Journal, Layout, Photo, as_file, as_line
from gpt4roi_runtime.cli.ask import open_pipeline
from gpt4roi_runtime.cli.console import busy, counted, plain, print_note, reports_errors
from gpt4roi_runtime.cli.options import ModelOptions, given_choices, model_options
from gpt4roi_runtime.cli.propose import whole_pixels
from gpt4roi_runtime.errors import RegionError
from gpt4roi_runtime.events import RegionAnswer
from gpt4roi_runtime.geometry import normalise, parse_box
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.pipeline import EncodedImage, Pipeline
from gpt4roi_runtime.prompt import check_dialogue
from gpt4roi_runtime.storage import written_aside
from gpt4roi_runtime.timing import Stopwatch

_LAYOUT_OF_SUFFIX: dict[str, Layout] = {".json": "json", ".jsonl": "jsonl", ".csv": "csv"}
DEFAULT_QUESTION = "What is <region1>?"


@dataclass(frozen=True)
class _Order:
    """What the user typed, but for the model."""

    photo: Path
    question: str
    boxes: tuple[str, ...]
    box_file: Path | None
    propose: bool
    layout: Layout | None
    out: Path | None
    choices: tuple[str, ...] | None = None
    lead: str = ""

    @property
    def written_as(self) -> Layout:
        """The layout asked for, or the one the file's name speaks of."""
        if self.layout is not None:
            return self.layout
        return "text" if self.out is None else _LAYOUT_OF_SUFFIX.get(self.out.suffix.lower(), "text")


@click.command("caption", epilog="Example: gpt4roi caption photo.jpg --propose --jsonl")
@click.argument("photo", type=click.Path(path_type=Path))
@click.option(
    "--region", "boxes", multiple=True, metavar="X1,Y1,X2,Y2", help="A box in pixels; may be given many times."
)
@click.option("--regions", "box_file", type=click.Path(path_type=Path), help="A JSON file of boxes.")
@click.option("--propose", is_flag=True, help="Let the bundle's detector find the boxes.")
@click.option("--question", default=DEFAULT_QUESTION, show_default=True, help="Asked about every box as <region1>.")
@click.option("--choices", metavar="A,B,...", help="Instead of writing, tell which of these answers is likeliest.")
@click.option("--lead", default="", metavar="WORDS", help="With --choices: its first words, such as 'region1 is'.")
@click.option("--json", "layout", flag_value="json", help="Write one JSON object.")
@click.option("--jsonl", "layout", flag_value="jsonl", help="Write a JSON object a line, each as soon as it is done.")
@click.option("--csv", "layout", flag_value="csv", help="Write a table.")
@click.option("--coco", "layout", flag_value="coco", help="Write COCO's format, with a caption for each annotation.")
@click.option("--out", type=click.Path(path_type=Path), help="Write to a file; the same command again goes on.")
@model_options
@reports_errors
def command(
    *,
    photo: Path,
    boxes: tuple[str, ...],
    box_file: Path | None,
    propose: bool,
    question: str,
    choices: str | None,
    lead: str,
    layout: Layout | None,
    out: Path | None,
    **options: Any,
) -> None:
    """Ask one question about every one of many boxes on PHOTO; they are answered side by side."""
    words, closed = given_choices(choices, lead)
    order = _Order(photo, question, boxes, box_file, propose, layout, out, closed, words)
    _caption(order, ModelOptions(**options))


def _caption(order: _Order, model: ModelOptions) -> None:
    check_dialogue([order.question], [1])  # before a model is loaded for nothing
    boxes = _given_boxes(order)
    watch = Stopwatch()
    with busy("reading the photo"), watch.measure("read_photo"):
        image = load_image(order.photo, max_pixels=model.max_pixels)
    _check_boxes(boxes, image)
    with open_pipeline(model) as pipeline:
        watch.add("load", pipeline.load_s)
        if order.propose:
            with busy("looking for things"), watch.measure("propose"):
                boxes = tuple(NamedBox(whole_pixels(one.box), one.name, one.score) for one in pipeline.propose(image))
            if not boxes:
                print_note("the detector found nothing; give boxes with --region or --regions")
        with busy("encoding the photo"):
            encoded = pipeline.encode(image)
        run = _Run(order, model, pipeline, encoded, boxes)
        with nullcontext() if order.out is None else Journal(order.out, run.key()) as journal:
            run.answer(journal, watch)


class _Run:
    """The boxes of one photo on their way to answers."""

    def __init__(
        self, order: _Order, model: ModelOptions, pipeline: Pipeline, image: EncodedImage, boxes: Sequence[NamedBox]
    ) -> None:
        self.order = order
        self.pipeline = pipeline
        self.image = image
        self.boxes = boxes
        decoding = pipeline.bundle.manifest.decoding
        self.sampling = model.sampling(decoding)
        self.max_tokens = decoding.max_tokens if model.max_tokens is None else model.max_tokens
        self.done: dict[int, Caption] = {}

    def key(self) -> str:
        """Of all that decides an answer, but for the box."""
        order = self.order
        decides = (
            self.image.key,
            order.question,
            sorted(asdict(self.sampling).items()),
            self.max_tokens,
            order.choices,
            order.lead,
        )
        return sha256(repr(decides).encode()).hexdigest()

    def answer(self, journal: Journal | None, watch: Stopwatch) -> None:
        """Answer every box that is not answered yet, and write what is done, also when interrupted."""
        self._skip_answered(journal)
        pending = [number for number in range(1, len(self.boxes) + 1) if number not in self.done]
        if journal is not None and self.done:
            print_note(f"{len(self.done)} of {len(self.boxes)} boxes were answered before")
        try:
            with watch.measure("answers"), counted("answering", len(pending)) as tick:
                self._ask(pending, journal, tick)
        except BaseException:
            if journal is None:
                self._print_rest(watch)
            elif self.done:
                print_note(f"{len(self.done)} of {len(self.boxes)} answers are kept; the same command goes on")
            else:
                journal.finish()
            raise
        if journal is None:
            self._print_rest(watch)
            return
        assert self.order.out is not None  # noqa: S101 - for the type checker: a journal has a file to come
        with written_aside(self.order.out) as file:
            file.write(self._content(watch).encode())
        journal.finish()

    def _ask(self, pending: Sequence[int], journal: Journal | None, tick: Callable[[], None]) -> None:
        for caption in self._written(pending) if self.order.choices is None else self._chosen(pending):
            self.done[caption.number] = caption
            if journal is not None:
                journal.add(caption)
            elif (layout := self.order.written_as) in ("text", "jsonl"):
                click.echo(plain(as_line(caption, layout)))
            tick()

    def _written(self, pending: Sequence[int]) -> Iterator[Caption]:
        boxes = [self.boxes[number - 1].box for number in pending]
        for found in self.pipeline.ask_each(
            self.image, self.order.question, boxes, sampling=self.sampling, max_tokens=self.max_tokens
        ):
            yield self._caption_of(pending[found.index], found)

    def _chosen(self, pending: Sequence[int]) -> Iterator[Caption]:
        order = self.order
        for number in pending:
            given = self.boxes[number - 1]
            chosen = self.pipeline.choose(
                self.image, order.question, {1: given.box}, order.choices or (), lead=order.lead
            )
            yield Caption(
                number=number,
                box_px=given.box.xyxy,
                answer=chosen.best.text,
                stop_reason="chosen",
                n_tokens=0,
                name=given.name,
                score=None if given.score is None else round(given.score, 4),
                probability=chosen.best.probability,
                choices={choice.text: choice.probability for choice in chosen.choices},
            )

    def _caption_of(self, number: int, found: RegionAnswer) -> Caption:
        given = self.boxes[number - 1]
        return Caption(
            number=number,
            box_px=found.box.xyxy,
            answer=found.done.answer,
            stop_reason=found.done.stop_reason,
            n_tokens=found.done.n_answer_tokens,
            name=given.name,
            score=None if given.score is None else round(given.score, 4),
        )

    def _skip_answered(self, journal: Journal | None) -> None:
        known = {} if journal is None else {caption.box_px: caption for caption in journal.captions}
        for number, given in enumerate(self.boxes, start=1):
            if (caption := known.get(given.box.xyxy)) is not None:
                self.done[number] = msgspec.structs.replace(caption, number=number, name=given.name, score=given.score)

    def _print_rest(self, watch: Stopwatch) -> None:
        """What was not printed as it came."""
        if self.order.written_as not in ("text", "jsonl"):
            click.echo(self._content(watch), nl=False)

    def _content(self, watch: Stopwatch) -> str:
        order, info = self.order, self.pipeline.decoder.info
        path = os.fsencode(order.photo).decode("utf-8", "replace")
        more: dict[str, object] = {
            "seconds": {**watch.seconds, **self.image.seconds},
            "bundle": {"id": self.pipeline.bundle.id, "name": self.pipeline.bundle.manifest.name},
            "settings": {
                **asdict(self.sampling),
                "max_tokens": self.max_tokens,
                "threads": info.n_threads,
                "context": info.context_length,
            },
            "engines": {"vision": self.pipeline.encoder.engine, "language": info.engine},
        }
        if order.choices is not None:
            more |= {"choices": order.choices, "lead": order.lead}
        captions = [self.done[number] for number in sorted(self.done)]
        photo = Photo(path, self.image.width_px, self.image.height_px)
        return as_file(captions, order.written_as, photo, order.question, more)


def _given_boxes(order: _Order) -> tuple[NamedBox, ...]:
    """Boxes the user gave.

    Raises:
        RegionError: They were given in no way or in several, or are not boxes.
    """
    if (bool(order.boxes), order.box_file is not None, order.propose).count(True) != 1:
        raise RegionError("boxes are given in one way, and in one only", "Use --region, --regions FILE or --propose.")
    if order.box_file is None:
        return tuple(NamedBox(parse_box(text)) for text in order.boxes)
    boxes = read_boxes(order.box_file)
    if not boxes:
        raise RegionError(f"{order.box_file} holds no box", "Write a list of [left, top, right, bottom] in pixels.")
    return boxes


def _check_boxes(boxes: Sequence[NamedBox], image: RgbImage) -> None:
    normalise({number: given.box for number, given in enumerate(boxes, start=1)}, image.shape[1], image.shape[0])
