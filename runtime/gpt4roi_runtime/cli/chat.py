"""`gpt4roi chat`: several turns about one photo; regions and answers of earlier turns stay known."""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.cli.ask import print_answer
from gpt4roi_runtime.cli.console import busy, print_error, print_note, reports_errors
from gpt4roi_runtime.cli.options import ModelOptions, model_options, numbered
from gpt4roi_runtime.errors import Cancelled, Gpt4RoiError, InputError, WorkerDiedError
from gpt4roi_runtime.geometry import Box, normalise, parse_box
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.overlay import region_colour, save_overlay
from gpt4roi_runtime.prompt import Turn, mentions
from gpt4roi_runtime.worker.client import WorkerImage, WorkerPipeline

_HELP = """\
  any text              ask; mention regions as <region1>, <region2>, ...
  /region X1,Y1,X2,Y2   add a box; it gets the next number
  /regions              list the boxes
  /overlay FILE         write the photo with its numbered boxes
  /reset                forget the dialogue, keep the boxes
  /help                 this list
  /quit                 leave (so does the end of input)
While an answer is written, Ctrl-C stops it and the chat goes on."""


@click.command("chat")
@click.argument("photo", type=click.Path(path_type=Path))
@click.option(
    "--region", "boxes", multiple=True, metavar="X1,Y1,X2,Y2", help="A box in pixels; the first is <region1>."
)
@model_options
@reports_errors
def command(photo: Path, boxes: tuple[str, ...], **options: Any) -> None:
    """Talk about PHOTO; type /help for what can be typed."""
    model = ModelOptions(**options)
    with busy("reading the photo"):
        image = load_image(photo, max_pixels=model.max_pixels)
    regions = numbered(boxes)
    normalise(regions, image.shape[1], image.shape[0])
    with _open_worker(model) as pipeline:
        with busy("encoding the photo"):
            encoded = pipeline.encode(image)
        chat = Chat(pipeline, image, encoded, model, regions)
        click.echo(f"{photo.name}: {encoded.width_px} x {encoded.height_px} pixels. /help shows what can be typed.")
        chat.list_regions()
        while (line := _read_line()) not in (None, "/quit"):
            if line:
                chat.hear(line)


def _open_worker(model: ModelOptions) -> WorkerPipeline:
    """Load the model in a process of its own: should it crash, photo, boxes and dialogue are still here."""
    with busy("loading the model"):
        pipeline = WorkerPipeline.open(model.bundle, model.engines(), model.image_store(print_note))
    for note in pipeline.notes:
        print_note(note)
    return pipeline


class Chat:
    """The state of one conversation: boxes by number, and the turns so far."""

    def __init__(
        self,
        pipeline: WorkerPipeline,
        photo: RgbImage,
        image: WorkerImage,
        model: ModelOptions,
        regions: dict[int, Box],
    ) -> None:
        self.pipeline = pipeline
        self.photo = photo
        self.image = image
        self.model = model
        self.regions = regions
        self.history: tuple[Turn, ...] = ()
        self._ahead = self._begin_ahead()

    def _begin_ahead(self) -> threading.Thread:
        ahead = threading.Thread(target=self._prepare, name="gpt4roi-prepare", daemon=True)
        ahead.start()
        return ahead

    def _prepare(self) -> None:
        """While the user thinks of a question, compute what all questions begin with; a failure comes back there."""
        with suppress(Gpt4RoiError):
            self.pipeline.prepare(self.image)

    def hear(self, line: str) -> None:
        """Do one line; what is wrong with it is said, and the chat goes on."""
        try:
            self.take(line)
        except (Cancelled, KeyboardInterrupt):
            click.echo("\n(stopped; this turn is forgotten)")
        except WorkerDiedError as error:
            click.echo()
            print_error(error)
            self._ahead = self._begin_ahead()  # which starts the model again
        except Gpt4RoiError as error:
            print_error(error)

    def take(self, line: str) -> None:
        """Understand one line.

        Raises:
            InputError: It is an unknown command, or a question that cannot be asked.
        """
        word, _, rest = line.partition(" ")
        match word:
            case "/help":
                click.echo(_HELP)
            case "/regions":
                self.list_regions()
            case "/reset":
                self.history = ()
            case "/region":
                self.add_region(rest)
            case "/overlay":
                save_overlay(Path(rest.strip()), self.photo, self.regions)
            case _ if word.startswith("/"):
                raise InputError(f"{word} is not a command", "Type /help for the list.")
            case _:
                self.ask(line)

    def add_region(self, text: str) -> None:
        """Give a box the next number."""
        box, number = parse_box(text), len(self.regions) + 1
        normalise({number: box}, self.image.width_px, self.image.height_px)
        self.regions[number] = box
        click.echo(f"{_coloured(number)} is {box}")

    def list_regions(self) -> None:
        """Print every box."""
        for number, box in self.regions.items():
            click.echo(f"{_coloured(number)} is {box}")

    def ask(self, question: str) -> None:
        """Answer one question, and remember the turn."""
        mentioned = mentions("\n".join([*(turn.question for turn in self.history), question]))
        regions = {number: self.regions[number] for number in mentioned if number in self.regions}
        self._ahead.join()
        events = self.pipeline.ask(
            self.image,
            question,
            regions,
            history=self.history,
            sampling=self.model.sampling(self.pipeline.bundle.manifest.decoding),
            max_tokens=self.model.max_tokens,
        )
        self.history = print_answer(events, quiet=False).history


def _coloured(number: int) -> str:
    colour = region_colour(number)
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return click.style(f"<region{number}>", fg=(red, green, blue), bold=True)


def _read_line() -> str | None:
    """One line without its ends, or None at the end of input; arrow keys work where Python has readline."""
    with suppress(ImportError):
        import readline  # noqa: F401 - importing it is all it takes
    try:
        return input("> ").strip()
    except EOFError:
        click.echo()
        return None
    except KeyboardInterrupt:  # often a stop that came a moment too late: the dialogue must not be lost to it
        click.echo("\n(/quit leaves)")
        return ""
