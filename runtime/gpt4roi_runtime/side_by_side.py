"""One question about many boxes, side by side: what they share is computed once, and a place that is free is taken."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from time import perf_counter

from gpt4roi_runtime.arrays import EmbeddingRows, RegionEmbeddings
from gpt4roi_runtime.asking import Asker, EncodedImage, Request, Writing
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.events import RegionAnswer
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.keeping import ImageKeeper
from gpt4roi_runtime.llm.decoder import CancelCheck, Decoder
from gpt4roi_runtime.timing import Stopwatch


@dataclass(frozen=True)
class _Begun:
    """One of many answers.

    Attributes:
        writing: What there is of it.
        seconds: Of what came before its first token.
        started_s: When its first token was asked for.
    """

    writing: Writing
    seconds: dict[str, float]
    started_s: float

    def seconds_now(self) -> dict[str, float]:
        """All of it, when it has ended."""
        return {**self.seconds, "decode": perf_counter() - self.started_s}


class SideBySide:
    """Answers many boxes of one bundle at a time; whoever waits takes the place of whoever has ended.

    Args:
        bundle: Of the model.
        decoder: Its language engine.
        asker: Lays out its prompts.
        keeper: Of the images' prefixes.
        embed_regions: Every region's rows, ``[1 k d]``, by its number; one run of the graph for all.
    """

    def __init__(
        self,
        bundle: Bundle,
        decoder: Decoder,
        asker: Asker,
        keeper: ImageKeeper,
        embed_regions: Callable[[EncodedImage, Mapping[int, Box]], dict[int, RegionEmbeddings]],
    ) -> None:
        self._bundle = bundle
        self._decoder = decoder
        self._asker = asker
        self._keeper = keeper
        self._embed = embed_regions

    def answers(self, one: Request, boxes: Sequence[Box], cancel: CancelCheck) -> Iterator[RegionAnswer]:
        """Regions, shared rows and tails, prefill, and as many answers at once as fit; each as soon as it is complete.

        Args:
            one: The question, about region 1.
            boxes: What region 1 is, in pixels, checked; one or more.
            cancel: Asked often, from the engine's thread; True stops the work.

        Raises:
            EngineError: An engine failed.
            Cancelled: ``cancel`` said so.
        """
        requests = [replace(one, regions={1: box}) for box in boxes]
        size = self._group_size(one)
        tails = self._tails(requests, size)
        first = list(islice(tails, size))
        shared = self._asker.rows(one, {}, 0, one.first_region)
        watch = Stopwatch()
        with watch.measure("prefill"):
            self._keeper.bring_back_prefix(shared[: one.n_prefix])
            filled = self._decoder.prefill_each(shared, [tail for tail, _ in first], cancel, one.n_prefix)
        begun: list[_Begun] = []

        def begin(seconds: dict[str, float]) -> None:
            begun.append(_Begun(Writing(requests[len(begun)], self._bundle), seconds, perf_counter()))

        def waiting() -> Iterator[EmbeddingRows]:
            for tail, seconds in tails:
                begin(seconds)
                yield tail

        for _, seconds in first:
            begin({**seconds, **watch.seconds})
        steps = self._decoder.decode_each(
            one.sampling, one.max_tokens, cancel, lambda index: begun[index].writing.stopped, waiting()
        )
        with closing(steps):
            for step in steps:
                writing = begun[step.answer].writing
                if step.token is not None:
                    writing.feed(step.token)
                if step.token is None or writing.stopped:
                    writing.finish()
                    request, n_kept = requests[step.answer], len(shared) if step.answer else filled.n_kept
                    done = self._asker.done(writing, n_kept, begun[step.answer].seconds_now())
                    yield RegionAnswer(step.answer, request.regions[1], done)
        self._keeper.keep_prefix(shared[: one.n_prefix], watch)

    def _tails(self, requests: Sequence[Request], size: int) -> Iterator[tuple[EmbeddingRows, dict[str, float]]]:
        """What follows the shared rows for every box, ``size`` boxes in a run of the region graph; and its seconds."""
        for first in range(0, len(requests), size):
            some, watch = requests[first : first + size], Stopwatch()
            with watch.measure("regions"):
                boxes = {index: request.regions[1] for index, request in enumerate(some)}
                regions = self._embed(some[0].image, boxes)
            with watch.measure("rows"):
                tails = [self._asker.rows(some[0], {1: regions[index]}, some[0].first_region) for index in boxes]
            yield from ((tail, watch.seconds) for tail in tails)

    def _group_size(self, request: Request) -> int:
        """Boxes whose answers certainly fit the context side by side; one fits as well as ``ask`` would."""
        n_shared = sum(self._asker.counts(request)[: request.first_region])
        each = request.n_rows - n_shared + request.max_tokens
        room = (self._decoder.info.context_length - n_shared) // each
        return max(1, min(room, self._decoder.info.max_answers, self._bundle.manifest.vision.max_regions))
