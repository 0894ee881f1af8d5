"""`gpt4roi propose`: boxes on a photo that may be worth a question, found by the bundle's own detector."""

import math
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.backends.load import EngineSettings, detector_of
from gpt4roi_runtime.bundle.folder import default_bundle
from gpt4roi_runtime.bundle.manifest import MAX_REGIONS
from gpt4roi_runtime.cli.console import bundle_option, busy, plain, reports_errors
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image import DEFAULT_MAX_PIXELS, load_image
from gpt4roi_runtime.overlay import check_overlay_path, save_overlay
from gpt4roi_runtime.proposing import Proposer
from gpt4roi_runtime.timing import Stopwatch
from gpt4roi_runtime.vision.proposals import DEFAULT_MAX_BOXES, Proposal, check_settings


@dataclass(frozen=True)
class _Search:
    """What the user typed."""

    photo: Path
    bundle: Path
    threshold: float | None
    max_boxes: int
    threads: int | None
    max_pixels: int

    def command(self, name: str, *more: str) -> str:
        """A command on the same photo and bundle, as one would type it."""
        bundle = [] if self.bundle == default_bundle() else ["--bundle", str(self.bundle)]
        return shlex.join(["gpt4roi", name, str(self.photo), *bundle, *more])


@click.command("propose", epilog="Example: gpt4roi propose photo.jpg --threshold 0.3 --save-overlay boxes.png")
@click.argument("photo", type=click.Path(path_type=Path))
@click.option("--threshold", type=float, help="Least score, 0 to 1; default: the bundle's choice.")
@click.option(
    "--max-boxes", type=int, default=DEFAULT_MAX_BOXES, show_default=True, help=f"Most boxes, 1 to {MAX_REGIONS}."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--save-overlay", type=click.Path(path_type=Path), help="Write the photo with its numbered boxes.")
@bundle_option
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads; default: all cores.")
@click.option(
    "--max-pixels", type=click.IntRange(min=1), default=DEFAULT_MAX_PIXELS, show_default=True, help="Largest photo."
)
@reports_errors
def command(*, as_json: bool, save_overlay: Path | None, **options: Any) -> None:
    """Find things on PHOTO by itself, and print their boxes, so that they need not be drawn by hand."""
    _propose(_Search(**options), as_json=as_json, overlay=save_overlay)


def _propose(search: _Search, *, as_json: bool, overlay: Path | None) -> None:
    check_settings(search.threshold, search.max_boxes)  # before anything is loaded for nothing
    if overlay is not None:
        check_overlay_path(overlay)
    watch = Stopwatch()
    with busy("reading the photo"), watch.measure("read_photo"):
        image = load_image(search.photo, max_pixels=search.max_pixels)
    settings = EngineSettings(vision_threads=search.threads or 0)
    with busy("looking for things"), Proposer.open(search.bundle, settings) as proposer:
        watch.add("load", proposer.load_s)
        with watch.measure("propose"):
            found = proposer.propose(image, threshold=search.threshold, max_boxes=search.max_boxes)
    found = tuple(replace(proposal, box=whole_pixels(proposal.box)) for proposal in found)
    if as_json:
        click.echo(_as_json(search, image, found, watch.seconds, proposer))
    else:
        least = detector_of(proposer.bundle).threshold if search.threshold is None else search.threshold
        for line in _table(found) if found else [f"nothing found with a score of {least:g} or more"]:
            click.echo(line)
        click.echo(_next_command(search, found))
    if overlay is not None:
        with busy("writing the overlay"):
            save_overlay(overlay, image, _numbered(found))


def whole_pixels(box: Box) -> Box:
    """The smallest box of whole pixels round it: as easily typed, still on the photo, and never empty."""
    return Box(math.floor(box.x1), math.floor(box.y1), math.ceil(box.x2), math.ceil(box.y2))


def _numbered(found: Sequence[Proposal]) -> dict[int, Box]:
    return {number: proposal.box for number, proposal in enumerate(found, start=1)}


def _table(found: Sequence[Proposal]) -> Iterator[str]:
    rows = [("region", "name", "score", "box")]
    for number, proposal in enumerate(found, start=1):
        rows.append((str(number), plain(proposal.name), f"{proposal.score:.2f}", str(proposal.box)))
    width = max(len(name) for _, name, _, _ in rows)
    for region, name, score, box in rows:
        yield f"{region:>6}  {name:<{width}}  {score:>5}  {box}"


def _next_command(search: _Search, found: Sequence[Proposal]) -> str:
    """What a person would try now: a question about the best box, or a lower threshold."""
    if found:
        return "Try: " + search.command("ask", "--region", str(found[0].box), "What is <region1>?")
    return "Try a lower --threshold, or draw a box: " + search.command(
        "ask", "--region", "X1,Y1,X2,Y2", "What is <region1>?"
    )


def _as_json(
    search: _Search, image: RgbImage, found: Sequence[Proposal], seconds: dict[str, float], proposer: Proposer
) -> str:
    import msgspec

    manifest = proposer.bundle.manifest
    recommended = detector_of(proposer.bundle).threshold
    account = {
        "image": {
            "path": os.fsencode(search.photo).decode("utf-8", "replace"),
            "width_px": image.shape[1],
            "height_px": image.shape[0],
        },
        "regions": [
            {"number": number, "box": proposal.box.xyxy, "name": proposal.name, "score": round(proposal.score, 4)}
            for number, proposal in enumerate(found, start=1)
        ],
        "seconds": seconds,
        "bundle": {"id": proposer.bundle.id, "name": manifest.name},
        "settings": {
            "threshold": recommended if search.threshold is None else search.threshold,
            "max_boxes": search.max_boxes,
        },
        "engines": {"detector": proposer.detector.engine},
    }
    return msgspec.json.format(msgspec.json.encode(account), indent=2).decode()
