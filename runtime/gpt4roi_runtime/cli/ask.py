"""`gpt4roi ask`: one question about boxes on a photo, answered as it is written."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import click

from gpt4roi_runtime.bundle.manifest import Decoding
from gpt4roi_runtime.choices import check_choices, parse_choices
from gpt4roi_runtime.cli.console import busy, plain, print_note, reports_errors
from gpt4roi_runtime.cli.options import ModelOptions, given_choices, model_options, numbered
from gpt4roi_runtime.confidence import Alternative, Choice, TokenScore
from gpt4roi_runtime.errors import SettingsError
from gpt4roi_runtime.events import Chosen, Done, Event, TextDelta
from gpt4roi_runtime.geometry import Box, normalise
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.llm.decoder import check_n_top
from gpt4roi_runtime.overlay import check_overlay_path, save_overlay
from gpt4roi_runtime.pipeline import EncodedImage, Pipeline
from gpt4roi_runtime.prompt import check_dialogue
from gpt4roi_runtime.timing import Stopwatch


@click.command("ask", epilog='Example: gpt4roi ask photo.jpg --region 40,60,220,310 "What is <region1>?"')
@click.argument("photo", type=click.Path(path_type=Path))
@click.argument("question")
@click.option(
    "--region", "boxes", multiple=True, metavar="X1,Y1,X2,Y2", help="A box in pixels; the first is <region1>."
)
@click.option(
    "--choices", metavar="A,B,...", help="Instead of writing, tell which of these answers is likeliest, and how likely."
)
@click.option("--lead", default="", metavar="WORDS", help="With --choices: its first words, such as 'region1 is'.")
@click.option("--only", metavar="A,B,...", help="Write one of these answers and no other.")
@click.option("--logprobs", "n_top", type=int, metavar="N", help="With --json: of every token, and of the N likeliest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of streaming text.")
@click.option("--save-overlay", type=click.Path(path_type=Path), help="Write the photo with its numbered boxes.")
@model_options
@reports_errors
def command(
    *,
    photo: Path,
    question: str,
    boxes: tuple[str, ...],
    choices: str | None,
    lead: str,
    only: str | None,
    n_top: int | None,
    as_json: bool,
    save_overlay: Path | None,
    **options: Any,
) -> None:
    """Ask QUESTION about boxes on PHOTO; the question mentions them as <region1>, <region2>, ..."""
    words, closed = given_choices(choices, lead)
    order = _Order(
        photo,
        question,
        numbered(boxes),
        choices=closed,
        lead=words,
        only=None if only is None else check_choices(parse_choices(only)),
        n_top=n_top,
        as_json=as_json,
        overlay=save_overlay,
    )
    _ask(order, ModelOptions(**options))


@dataclass(frozen=True)
class _Order:
    """What the user typed, but for the model."""

    photo: Path
    question: str
    regions: dict[int, Box]
    choices: tuple[str, ...] | None
    lead: str
    only: tuple[str, ...] | None
    n_top: int | None
    as_json: bool
    overlay: Path | None

    def check(self) -> None:
        """Refuse what cannot be done, before a model is loaded for nothing."""
        check_dialogue([self.question], self.regions)
        check_n_top(self.n_top)
        if self.n_top is not None and not self.as_json:
            raise SettingsError("--logprobs needs --json", "The text of an answer has no room for numbers.")
        if self.choices is not None and (self.only is not None or self.n_top is not None):
            raise SettingsError(
                "--choices goes with neither --only nor --logprobs",
                "It writes nothing and always tells probabilities; use --only to have one of the answers written.",
            )
        if self.overlay is not None:
            check_overlay_path(self.overlay)


def _ask(order: _Order, model: ModelOptions) -> None:
    order.check()
    watch = Stopwatch()
    with busy("reading the photo"), watch.measure("read_photo"):
        image = load_image(order.photo, max_pixels=model.max_pixels)
    normalise(order.regions, image.shape[1], image.shape[0])
    with open_pipeline(model) as pipeline:
        with busy("encoding the photo"):
            encoded = pipeline.encode(image)
        found = _choose(pipeline, encoded, order) if order.choices else _write(pipeline, encoded, order, model)
        if order.as_json:
            seconds = {**watch.seconds, "load": pipeline.load_s, **encoded.seconds, **found.seconds}
            click.echo(_as_json(order, encoded, found, seconds, pipeline, model))
    if order.overlay is not None:
        with busy("writing the overlay"):
            save_overlay(order.overlay, image, order.regions)


def _write(pipeline: Pipeline, image: EncodedImage, order: _Order, model: ModelOptions) -> Done:
    events = pipeline.ask(
        image,
        order.question,
        order.regions,
        sampling=model.sampling(pipeline.bundle.manifest.decoding),
        max_tokens=model.max_tokens,
        allowed=order.only,
        n_top=order.n_top,
    )
    return print_answer(events, quiet=order.as_json)


def _choose(pipeline: Pipeline, image: EncodedImage, order: _Order) -> Chosen:
    with busy("weighing the choices"):
        chosen = pipeline.choose(image, order.question, order.regions, order.choices or (), lead=order.lead)
    if not order.as_json:
        width = max(len(_as_word(choice)) for choice in chosen.choices)
        for choice in chosen.ranking:
            click.echo(f"{_as_word(choice):<{width}}  {choice.probability:.2f}")
    return chosen


def open_pipeline(model: ModelOptions) -> Pipeline:
    """Load the model, with a bar and its notes for a person."""
    with busy("loading the model"):
        pipeline = Pipeline.open(model.bundle, model.engines(), model.image_store(print_note))
    for note in pipeline.notes:
        print_note(note)
    return pipeline


def print_answer(events: Iterator[Event], *, quiet: bool) -> Done:
    """Write the text as it comes; the last event is returned."""
    with busy("thinking"):
        first = next(events)
    for event in chain([first], events):
        match event:
            case TextDelta():
                if not quiet:
                    click.echo(plain(event.text), nl=False)
            case Done():
                if not quiet:
                    click.echo()
                return event
    raise AssertionError("the pipeline ends every answer with Done")


def _as_word(choice: Choice) -> str:
    return plain(" ".join(choice.text.split()))


def _as_json(
    order: _Order,
    encoded: EncodedImage,
    found: Done | Chosen,
    seconds: dict[str, float],
    pipeline: Pipeline,
    model: ModelOptions,
) -> str:
    import msgspec

    info, manifest = pipeline.decoder.info, pipeline.bundle.manifest
    account = {
        **_findings(found),
        "photo": {
            "path": os.fsencode(order.photo).decode("utf-8", "replace"),
            "width_px": encoded.width_px,
            "height_px": encoded.height_px,
        },
        "regions": [{"number": number, "box_px": box.xyxy} for number, box in order.regions.items()],
        "prompt": found.prompt_text,
        "seconds": seconds,
        "tokens": {
            "prompt": found.n_prompt_rows,
            "kept": found.n_kept_rows,
            "answer": found.n_answer_tokens if isinstance(found, Done) else 0,
        },
        "bundle": {"id": pipeline.bundle.id, "name": manifest.name},
        "settings": {
            **(_settings(model, manifest.decoding) if isinstance(found, Done) else {}),
            "threads": info.n_threads,
            "context": info.context_length,
        },
        "engines": {"vision": pipeline.encoder.engine, "language": info.engine},
    }
    return msgspec.json.format(msgspec.json.encode(account), indent=2).decode()


def _findings(found: Done | Chosen) -> dict[str, object]:
    """What an answer, or a choice, has of its own."""
    match found:
        case Chosen():
            choices = [
                {
                    "text": choice.text,
                    "probability": choice.probability,
                    "log_likelihood": choice.log_likelihood,
                    "tokens": choice.n_tokens,
                }
                for choice in found.choices
            ]
            return {"answer": found.best.text, "choices": choices}
        case Done():
            account: dict[str, object] = {"answer": found.answer, "stop_reason": found.stop_reason}
            if found.tokens:
                account["logprobs"] = [
                    {**_word(token), "top": [_word(one) for one in token.top]} for token in found.tokens
                ]
            return account


def _word(one: Alternative | TokenScore) -> dict[str, object]:
    """A token for a reader of JSON, where a part of a character has no text: ``bytes`` has all of it."""
    return {
        "text": one.text_bytes.decode("utf-8", "replace"),
        "bytes": list(one.text_bytes),
        "logprob": one.log_probability,
    }


def _settings(model: ModelOptions, recommended: Decoding) -> dict[str, object]:
    sampling = model.sampling(recommended)
    return {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "max_tokens": recommended.max_tokens if model.max_tokens is None else model.max_tokens,
    }
