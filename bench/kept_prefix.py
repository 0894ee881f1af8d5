"""Measures what keeping an image's part of the prompt saves, on disk too, and answering many regions side by side.

    .venv/bin/python bench/kept_prefix.py                            # the embedded model
    .venv/bin/python bench/kept_prefix.py --bundle FOLDER --runs 3   # another one

Every run does all of it in turn, so that a machine that slows down slows both sides of a ratio. Quote medians from a
quiet machine.
"""

import argparse
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gpt4roi_runtime import Box, Done, EngineSettings, LlamaCppSettings, Pipeline, Sampling, default_bundle, load_image
from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.backends.processor import usable_cores
from gpt4roi_runtime.image_store import ImageStore
from gpt4roi_runtime.pipeline import EncodedImage

SAMPLES = Path(__file__).resolve().parent.parent / "runtime" / "gpt4roi_runtime" / "samples"
PHOTO = SAMPLES / "astronaut.jpg"
BOX = Box(360.0, 5.0, 460.0, 280.0)
QUESTION = "What is the thing in <region1>, what colors does it have, and where in the picture does it stand or lie?"
SHORT_QUESTION = "What is <region1>?"
GREEDY = Sampling()
N_BOXES, N_TOKENS = 16, 16


@dataclass(frozen=True)
class Timing:
    """Seconds of one run.

    Attributes:
        cold_s: From pixels to the first token of a question of some 30 words' tokens: encode, prefill of everything.
        opened_s: The same question on an image that is encoded and prepared.
        side_by_side_s: 16 boxes, 16 tokens each, in one pass on a prepared image.
        one_by_one_s: The same, one after another on that image.
        in_full_s: The same with the whole prompt computed for every box, as where nothing is kept.
        alone_per_s: Tokens a second of one answer.
        together_per_s: Tokens a second of 16 answers side by side, all together.
        prefill_s: The image's part of the prompt, computed.
        read_back_s: The same rows from a store on disk; the file is in the system's cache.
        made_s: Encode and that prefill.
        reopened_s: Both from the store.
    """

    cold_s: float
    opened_s: float
    side_by_side_s: float
    one_by_one_s: float
    in_full_s: float
    alone_per_s: float
    together_per_s: float
    prefill_s: float
    read_back_s: float
    made_s: float
    reopened_s: float


class Bench:
    """An opened bundle and a photo with its boxes."""

    def __init__(self, pipeline: Pipeline, store: ImageStore) -> None:
        self.pipeline = pipeline
        self.storing = Pipeline(  # the same engines
            pipeline.bundle, pipeline.encoder, pipeline.decoder, settings=pipeline.settings, store=store
        )
        self.photo = load_image(PHOTO)
        self.mirrored: RgbImage = np.ascontiguousarray(self.photo[:, ::-1])
        self.other = pipeline.encode(self.mirrored)
        self.boxes = [Box(8.0 + 24 * i, 8.0 + 12 * i, 108.0 + 24 * i, 128.0 + 12 * i) for i in range(N_BOXES)]

    def run(self, in_full: int) -> Timing:
        """Everything once.

        Args:
            in_full: How many of the 16 boxes are asked about with whole prompts; the others are taken to cost the same.
        """
        self.pipeline.prepare(self.other)  # whatever the run before left is out of the way
        image, cold_s = self._first_token(lambda: self.pipeline.encode(self.photo))
        self.pipeline.prepare(image)
        _, opened_s = self._first_token(lambda: image)
        self._ask(image, self.boxes[0])  # the words behind the image, once, as for the first of many questions
        one_by_one = [self._ask(image, box) for box in self.boxes]
        side_by_side_s, together_per_s = self._side_by_side(image)
        made_s, prefill_s = self._opened(self.pipeline, stored=False)
        self.storing.prepare(self.storing.encode(self.photo))  # puts both into the store, unless they are there
        reopened_s, read_back_s = self._opened(self.storing, stored=True)
        return Timing(
            cold_s=cold_s,
            opened_s=opened_s,
            side_by_side_s=side_by_side_s,
            one_by_one_s=sum(seconds for seconds, _ in one_by_one),
            in_full_s=sum(self._in_full(image, box) for box in self.boxes[:in_full]) * N_BOXES / in_full,
            alone_per_s=statistics.median(per_s for _, per_s in one_by_one),
            together_per_s=together_per_s,
            prefill_s=prefill_s,
            read_back_s=read_back_s,
            made_s=made_s,
            reopened_s=reopened_s,
        )

    def _opened(self, pipeline: Pipeline, *, stored: bool) -> tuple[float, float]:
        """Seconds until the photo is ready for questions, after another one, and of these, those of its rows."""
        self.pipeline.prepare(self.other)
        started_s = perf_counter()
        image = pipeline.encode(self.photo)
        encoded_s = perf_counter()
        filled = pipeline.prepare(image)
        ended_s = perf_counter()
        assert (filled.n_computed == 0) is stored  # noqa: S101 - else the rows came from elsewhere
        return ended_s - started_s, ended_s - encoded_s

    def _first_token(self, encoded: Callable[[], EncodedImage]) -> tuple[EncodedImage, float]:
        started_s = perf_counter()
        image = encoded()
        self._done(image, QUESTION, BOX, max_tokens=1)
        return image, perf_counter() - started_s

    def _ask(self, image: EncodedImage, box: Box) -> tuple[float, float]:
        """Seconds of one answer, and its tokens a second."""
        started_s = perf_counter()
        done = self._done(image, SHORT_QUESTION, box, max_tokens=N_TOKENS)
        return perf_counter() - started_s, done.n_answer_tokens / done.seconds["decode"]

    def _in_full(self, image: EncodedImage, box: Box) -> float:
        self.pipeline.prepare(self.other)  # keeps nothing of the image before
        return self._ask(image, box)[0]

    def _side_by_side(self, image: EncodedImage) -> tuple[float, float]:
        started_s = perf_counter()
        answers = list(self.pipeline.ask_each(image, SHORT_QUESTION, self.boxes, max_tokens=N_TOKENS, sampling=GREEDY))
        seconds = perf_counter() - started_s
        n_tokens = sum(answer.done.n_answer_tokens for answer in answers)
        return seconds, n_tokens / max(answer.done.seconds["decode"] for answer in answers)

    def _done(self, image: EncodedImage, question: str, box: Box, *, max_tokens: int) -> Done:
        *_, done = self.pipeline.ask(image, question, {1: box}, sampling=GREEDY, max_tokens=max_tokens)
        assert isinstance(done, Done)  # noqa: S101 - for the type checker
        return done


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--context", type=int)
    parser.add_argument("--in-full", type=int, default=N_BOXES, help="boxes asked with whole prompts, of 16")
    options = parser.parse_args()
    language = LlamaCppSettings(n_threads=options.threads, context_length=options.context, kept_bytes=0)
    console = Console()
    settings = EngineSettings(options.threads, language)
    with TemporaryDirectory() as folder, Pipeline.open(options.bundle, settings) as pipeline:
        bench = Bench(pipeline, ImageStore(Path(folder), on_note=console.print))
        runs = [bench.run(options.in_full) for _ in track(range(options.runs), "runs", console=console)]
    console.print(_table(runs, f"{options.bundle.name}, {platform.machine()}, {options.threads} threads"))


def _table(runs: Sequence[Timing], title: str) -> Table:
    table = Table("what", "seconds, or tokens a second", "against", "seconds, or tokens a second", "ratio", title=title)

    def row(what: str, ours: Sequence[float], other: str, theirs: Sequence[float], *, rate: bool = False) -> None:
        ratios = [a / b if rate else b / a for a, b in zip(ours, theirs, strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        table.add_row(what, f"{statistics.median(ours):.3g}", other, f"{statistics.median(theirs):.3g}", spread)

    opened, cold = [run.opened_s for run in runs], [run.cold_s for run in runs]
    together = [run.side_by_side_s for run in runs]
    row("first token on an opened image", opened, "encode and whole prompt", cold)
    row(f"{N_BOXES} boxes side by side", together, "one by one, image kept", [run.one_by_one_s for run in runs])
    row(f"{N_BOXES} boxes side by side", together, "one by one, nothing kept", [run.in_full_s for run in runs])
    rates = [run.together_per_s for run in runs], [run.alone_per_s for run in runs]
    row(f"decode of {N_BOXES} answers", rates[0], "of one", rates[1], rate=True)
    row("image's rows from disk", [run.read_back_s for run in runs], "computed", [run.prefill_s for run in runs])
    row("image reopened from disk", [run.reopened_s for run in runs], "encode and rows", [run.made_s for run in runs])
    return table


if __name__ == "__main__":
    main()
