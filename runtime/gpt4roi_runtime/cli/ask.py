"""`gpt4roi ask`: one question about boxes on a photo, answered as it is written."""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click

from gpt4roi_runtime.cli.console import busy, plain, print_note, reports_errors
from gpt4roi_runtime.cli.options import ModelOptions, model_options, numbered
from gpt4roi_runtime.events import Done, Event, TextDelta
from gpt4roi_runtime.geometry import Box, normalise
from gpt4roi_runtime.image import load_image
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of streaming text.")
@click.option("--save-overlay", type=click.Path(path_type=Path), help="Write the photo with its numbered boxes.")
@model_options
@reports_errors
def command(
    photo: Path, question: str, boxes: tuple[str, ...], *, as_json: bool, save_overlay: Path | None, **options: Any
) -> None:
    """Ask QUESTION about boxes on PHOTO; the question mentions them as <region1>, <region2>, ..."""
    _ask(photo, question, numbered(boxes), ModelOptions(**options), as_json=as_json, overlay=save_overlay)


def _ask(
    photo: Path, question: str, regions: dict[int, Box], model: ModelOptions, *, as_json: bool, overlay: Path | None
) -> None:
    check_dialogue([question], regions)  # before a model is loaded for nothing
    if overlay is not None:
        check_overlay_path(overlay)
    watch = Stopwatch()
    with busy("reading the photo"), watch.measure("read_photo"):
        image = load_image(photo, max_pixels=model.max_pixels)
    normalise(regions, image.shape[1], image.shape[0])
    with open_pipeline(model) as pipeline:
        with busy("encoding the photo"):
            encoded = pipeline.encode(image)
        events = pipeline.ask(
            encoded,
            question,
            regions,
            sampling=model.sampling(pipeline.bundle.manifest.decoding),
            max_tokens=model.max_tokens,
        )
        done = print_answer(events, quiet=as_json)
        if as_json:
            seconds = {**watch.seconds, "load": pipeline.load_s, **encoded.seconds, **done.seconds}
            click.echo(_as_json(photo, encoded, regions, done, seconds, pipeline, model))
    if overlay is not None:
        with busy("writing the overlay"):
            save_overlay(overlay, image, regions)


def open_pipeline(model: ModelOptions) -> Pipeline:
    """Load the model, with a bar and its notes for a person."""
    with busy("loading the model"):
        pipeline = Pipeline.open(model.bundle, model.engines())
    for note in pipeline.decoder.info.notes:
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


def _as_json(
    photo: Path,
    encoded: EncodedImage,
    regions: dict[int, Box],
    done: Done,
    seconds: dict[str, float],
    pipeline: Pipeline,
    model: ModelOptions,
) -> str:
    import msgspec

    info, manifest = pipeline.decoder.info, pipeline.bundle.manifest
    sampling = model.sampling(manifest.decoding)
    account = {
        "answer": done.answer,
        "stop_reason": done.stop_reason,
        "photo": {
            "path": os.fsencode(photo).decode("utf-8", "replace"),
            "width_px": encoded.width_px,
            "height_px": encoded.height_px,
        },
        "regions": [{"number": number, "box_px": box.xyxy} for number, box in regions.items()],
        "prompt": done.prompt_text,
        "seconds": seconds,
        "tokens": {"prompt": done.n_prompt_rows, "kept": done.n_kept_rows, "answer": done.n_answer_tokens},
        "bundle": {"id": pipeline.bundle.id, "name": manifest.name},
        "settings": {
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "max_tokens": manifest.decoding.max_tokens if model.max_tokens is None else model.max_tokens,
            "threads": info.n_threads,
            "context": info.context_length,
        },
        "engines": {"vision": pipeline.encoder.engine, "language": info.engine},
    }
    return msgspec.json.format(msgspec.json.encode(account), indent=2).decode()
