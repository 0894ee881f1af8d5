"""The story: open a bundle, encode an image once, ask many questions about its regions, read events.

Decides order and nothing else: pixels, graphs, prompts and tokens are other rooms' work. Does not print.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from time import perf_counter
from types import TracebackType

from gpt4roi_runtime.arrays import RegionEmbeddings, RgbImage
from gpt4roi_runtime.asking import Asker, Request, Writing, image_key
from gpt4roi_runtime.asking import EncodedImage as EncodedImage
from gpt4roi_runtime.backends.load import EngineSettings, load_engines
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.choosing import Chooser, ClosedRequest
from gpt4roi_runtime.events import Chosen, Event, RegionAnswer, TextDelta
from gpt4roi_runtime.geometry import Box, normalise
from gpt4roi_runtime.image_store import ImageStore
from gpt4roi_runtime.keeping import ImageKeeper
from gpt4roi_runtime.llm.decoder import CancelCheck, Decoder, Prefilled, Sampling, check_n_top
from gpt4roi_runtime.prompt import Turn
from gpt4roi_runtime.proposing import Proposer
from gpt4roi_runtime.side_by_side import SideBySide
from gpt4roi_runtime.timing import Stopwatch
from gpt4roi_runtime.vision.encoder import Encoder, ImageFeatures
from gpt4roi_runtime.vision.preprocess import preprocess
from gpt4roi_runtime.vision.proposals import DEFAULT_MAX_BOXES, Proposal, check_settings


class Pipeline(AbstractContextManager["Pipeline"]):
    """A bundle with its engines loaded: use it as a context manager, or call ``close``. One question at a time.

    Attributes:
        bundle: What was opened.
        encoder: The vision engine.
        decoder: The language engine.
        load_s: Wall-clock seconds of checking and loading.
        settings: What the engines were loaded with.
        store: Where images are kept on disk; None keeps them in memory alone.
        notes: What its user should know of the engines, a line each.
    """

    def __init__(
        self,
        bundle: Bundle,
        encoder: Encoder,
        decoder: Decoder,
        load_s: float = 0.0,
        settings: EngineSettings | None = None,
        store: ImageStore | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.bundle = bundle
        self.encoder = encoder
        self.decoder = decoder
        self.load_s = load_s
        self.settings = settings or EngineSettings()
        self.store = store
        self.notes = (*notes, *decoder.info.notes)
        self._asker = Asker(bundle, decoder)
        self._chooser = Chooser(self._asker, bundle.manifest.prompt, decoder.info.context_length)
        self._keeper = ImageKeeper(store, bundle, encoder, decoder, self.settings.vision_threads)
        self._side_by_side = SideBySide(bundle, decoder, self._asker, self._keeper, self._region_embeddings)
        self._proposer: Proposer | None = None

    @classmethod
    def open(cls, folder: Path, settings: EngineSettings | None = None, store: ImageStore | None = None) -> "Pipeline":
        """Check the bundle at ``folder``, hashes included, and load its engines.

        Args:
            folder: Of the bundle.
            settings: Of the engines; defaults suit this machine.
            store: Keeps on disk what was computed of every image, so that another day it need not be; what is answered
                is the same with it and without. By default nothing is kept: it tells what the photos show.

        Raises:
            BundleError: The folder is not a bundle, or not what its manifest says.
            EngineError: An engine is missing or fails.
        """
        started_s = perf_counter()
        bundle = open_bundle(folder)
        settings = settings or EngineSettings()
        notes: list[str] = []
        encoder, decoder = load_engines(bundle, settings, notes.append)
        return cls(bundle, encoder, decoder, perf_counter() - started_s, settings, store, tuple(notes))

    def propose(
        self, image: RgbImage, *, threshold: float | None = None, max_boxes: int = DEFAULT_MAX_BOXES
    ) -> tuple[Proposal, ...]:
        """Find boxes worth a question, with the bundle's own detector; the first call loads it.

        Args:
            image: UInt8 ``[h w 3]``.
            threshold: Least score, 0..1; None takes what the bundle recommends.
            max_boxes: Most proposals, 1 to 100.

        Returns:
            Proposals, the best score first; none where nothing reaches the threshold.

        Raises:
            SettingsError: ``threshold`` or ``max_boxes`` is out of its range.
            BundleError: The bundle has no detector, or one that is not what the manifest says.
            EngineError: The engine is missing or fails.
        """
        check_settings(threshold, max_boxes)
        if self._proposer is None:
            self._proposer = Proposer.of_bundle(self.bundle, self.settings)
        return self._proposer.propose(image, threshold=threshold, max_boxes=max_boxes)

    def encode(self, image: RgbImage) -> EncodedImage:
        """Run the encode graph on a photo, uint8 ``[h w 3]``: once an image, or not at all if the store has it.

        Raises:
            EngineError: The engine failed.
            NumericError: NaN or infinity came out of it.
        """
        watch = Stopwatch()
        with watch.measure("preprocess"):
            key = image_key(image, self.bundle)
        features = self._stored_features(key, watch)
        if features is None:
            with watch.measure("preprocess"):
                pixels = preprocess(image, self.bundle.manifest.vision.preprocessing)
            with watch.measure("encode"):
                features = self.encoder.encode(pixels)
            if self.store is not None:
                with watch.measure("keep"):
                    self._keeper.keep_features(key, features)
        height_px, width_px = image.shape[:2]
        return EncodedImage(width_px, height_px, features, self.bundle.id, watch.seconds, key)

    def prepare(self, image: EncodedImage, *, cancel: CancelCheck = lambda: False) -> Prefilled:
        """Compute ahead of any question what all questions about an image begin with, so that they need not.

        Answers are the same with it and without. What is being answered ends. Images prepared or asked about before are
        kept within the bytes that the settings allow.

        Args:
            image: From ``encode`` of this bundle.
            cancel: Asked often, from the engine's thread; True stops the work.

        Returns:
            How many rows were there already, and how many were computed.

        Raises:
            BundleError: The image is another bundle's.
            ContextOverflowError: It does not fit the context.
            EngineError: An engine failed.
            Cancelled: ``cancel`` said so.
        """
        self._asker.check_image(image)
        prefix = self._asker.prefix_rows(image)
        self._keeper.bring_back_prefix(prefix)
        filled = self.decoder.prepare(prefix, cancel)
        self._keeper.keep_prefix(prefix, Stopwatch())
        return filled

    def ask(
        self,
        image: EncodedImage,
        question: str,
        regions: Mapping[int, Box],
        *,
        history: Sequence[Turn] = (),
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        allowed: Sequence[str] | None = None,
        n_top: int | None = None,
        cancel: CancelCheck = lambda: False,
    ) -> Iterator[Event]:
        """Stream the answer to a question about regions of an image.

        All that the user gave is checked by the call itself, before the first event is asked for.

        Args:
            image: From ``encode`` of this bundle.
            question: Mentions regions as ``<region1>``, ``<region2>``, ...
            regions: The box of every number that ``question`` or ``history`` mentions, and of no other.
            history: ``Done.history`` of the turn before, for a follow-up.
            sampling: None takes what the bundle recommends.
            max_tokens: Most tokens of the answer; None takes what the bundle recommends.
            allowed: Where given, the model writes one of these texts and nothing else, whatever ``max_tokens``; see
                ``choose`` for the likeliest of them as a whole.
            n_top: Where given, ``Done.tokens`` tells how likely every token was, and so many of the likeliest in its
                place, 0 to 20.
            cancel: Asked often, from the engine's thread; True stops the work.

        Returns:
            An iterator over TextDelta events and, last, one Done. Closing it early stops the engine.

        Raises:
            InputError: Question, boxes or settings cannot be used, or exceed the context.
            EngineError: An engine failed.
            Cancelled: ``cancel`` said so.
        """
        asked_s = perf_counter()
        check_n_top(n_top)
        request = self._asker.request(
            image, question, regions, history=history, sampling=sampling, max_tokens=max_tokens, allowed=allowed
        )
        return self._answer(request, asked_s, n_top, cancel)

    def choose(
        self,
        image: EncodedImage,
        question: str,
        regions: Mapping[int, Box],
        choices: Sequence[str],
        *,
        lead: str = "",
        history: Sequence[Turn] = (),
        cancel: CancelCheck = lambda: False,
    ) -> Chosen:
        """Find the likeliest of several answers, without writing any.

        The prompt is computed once, and every choice is put behind it. A choice's probability is that the model's
        answer begins with it, and with no longer choice, given that it begins with one of them. Sampling plays no part.
        Case counts, and so does how the model is used to answer: ``Yes`` and ``No`` may tell more than ``yes`` and
        ``no``, and a ``lead`` more than bare words.

        Args:
            image: From ``encode`` of this bundle.
            question: Mentions regions as ``<region1>``, ``<region2>``, ...
            regions: The box of every number that ``question`` or ``history`` mentions, and of no other.
            choices: 1 to 256 different answers; white space at their ends does not count.
            lead: Words that the answer begins with before any choice, such as ``region1 is`` for a model that answers
                in sentences.
            history: ``Done.history`` or ``Chosen.history`` of the turn before, for a follow-up.
            cancel: Asked often, from the engine's thread; True stops the work.

        Raises:
            InputError: Question, boxes or choices cannot be used, or exceed the context.
            EngineError: An engine failed.
            Cancelled: ``cancel`` said so.
        """
        request = self._asker.request(image, question, regions, history=history)
        return self._score(self._chooser.closed(request, choices, lead), cancel)

    def ask_each(
        self,
        image: EncodedImage,
        question: str,
        boxes: Sequence[Box],
        *,
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        cancel: CancelCheck = lambda: False,
    ) -> Iterator[RegionAnswer]:
        """Ask one question about many boxes, each as ``<region1>`` of a prompt of its own, many at a time.

        Image and words before the region are computed once; the rest is answered side by side, up to 16 boxes at once,
        and a box that waits takes the place of one that is answered. Its prompt is computed together with the others'
        tokens, so its ``Done.seconds`` has no ``prefill``: that is a part of its ``decode``.
        Greedy answers are those of ``ask``, but for near-ties: kernels round by the number of rows in a call.

        All that the user gave is checked by the call itself, before the first answer is asked for.

        Args:
            image: From ``encode`` of this bundle.
            question: Mentions ``<region1>`` and no other.
            boxes: Boxes in pixels; any number, the same one twice too.
            sampling: None takes what the bundle recommends; the same seed for every box.
            max_tokens: Most tokens of an answer; None takes what the bundle recommends.
            cancel: Asked often, from the engine's thread; True stops the work.

        Returns:
            An iterator over answers, each as soon as it is complete, so not always in the order of the boxes. Closing
            it early stops the engine.

        Raises:
            InputError: Question, boxes or settings cannot be used, or exceed the context.
            EngineError: An engine failed.
            Cancelled: ``cancel`` said so.
        """
        if not boxes:
            return iter(())
        normalise(dict(enumerate(boxes, start=1)), image.width_px, image.height_px)
        one = self._asker.request(image, question, {1: boxes[0]}, sampling=sampling, max_tokens=max_tokens)
        return self._side_by_side.answers(one, boxes, cancel)

    def close(self) -> None:
        """Free all engines; closing twice is harmless."""
        self.encoder.close()
        self.decoder.close()
        if self._proposer is not None:
            self._proposer.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _score(self, closed: ClosedRequest, cancel: CancelCheck) -> Chosen:
        """Regions, rows, scores: the order of a choice."""
        watch, request = Stopwatch(), closed.request
        with watch.measure("regions"):
            regions = self._region_embeddings(request.image, request.regions)
        with watch.measure("rows"):
            rows = self._asker.rows(request, regions)
        with watch.measure("score"):
            self._keeper.bring_back_prefix(rows[: request.n_prefix])
            scores = self.decoder.score(rows, closed.texts, cancel, request.n_prefix)
        self._keeper.keep_prefix(rows[: request.n_prefix], watch)
        return self._chooser.chosen(closed, scores, watch.seconds)

    def _answer(self, request: Request, asked_s: float, n_top: int | None, cancel: CancelCheck) -> Iterator[Event]:
        """Regions, rows, prefill, decode: the order of an answer."""
        watch = Stopwatch()
        with watch.measure("regions"):
            regions = self._region_embeddings(request.image, request.regions)
        with watch.measure("rows"):
            rows = self._asker.rows(request, regions)
        with watch.measure("prefill"):
            self._keeper.bring_back_prefix(rows[: request.n_prefix])
            filled = self.decoder.prefill(rows, cancel, request.n_prefix)
        writing = Writing(request, self.bundle)
        yield from map(TextDelta, tuple(writing.parts))
        decode_started_s = perf_counter()
        steps = self.decoder.decode(request.sampling, request.max_tokens, cancel, allowed=request.allowed, n_top=n_top)
        with closing(steps) as tokens:
            for token in tokens:
                if delta := writing.feed(token):
                    if "first_text" not in watch.seconds:
                        watch.add("first_text", perf_counter() - asked_s)
                    yield TextDelta(delta)
                if writing.stopped:
                    break
        if delta := writing.finish():
            yield TextDelta(delta)
        watch.add("decode", perf_counter() - decode_started_s)
        self._keeper.keep_prefix(rows[: request.n_prefix], watch)
        yield self._asker.done(writing, filled.n_kept, watch.seconds)

    def _stored_features(self, key: str, watch: Stopwatch) -> ImageFeatures | None:
        """What the store has of an image; time is only booked where it has."""
        started_s = perf_counter()
        features = self._keeper.features(key)
        if features is not None:
            watch.add("reopen", perf_counter() - started_s)
        return features

    def _region_embeddings(self, image: EncodedImage, regions: Mapping[int, Box]) -> dict[int, RegionEmbeddings]:
        """Every region's rows, ``[1 k d]``, by its number; one run of the graph for all."""
        if not regions:
            return {}
        boxes = normalise(regions, image.width_px, image.height_px)
        embeddings = self.encoder.embed_regions(image.features.pyramid, boxes)
        return {number: embeddings[[row]] for row, number in enumerate(regions)}
