"""The story: open a bundle, encode an image once, ask many questions about its regions, read events.

Decides order and nothing else: pixels, graphs, prompts and tokens are other rooms' work. Does not print.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType

import numpy as np

from gpt4roi_runtime.arrays import EmbeddingRows, RegionEmbeddings, RgbImage
from gpt4roi_runtime.backends.load import EngineSettings, detector_of, load_detector, load_engines
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.errors import BundleError, ContextOverflowError, RegionError, SettingsError
from gpt4roi_runtime.events import Done, Event, StopReason, TextDelta
from gpt4roi_runtime.geometry import Box, normalise
from gpt4roi_runtime.llm.decoder import CancelCheck, Decoder, Sampling
from gpt4roi_runtime.llm.text import AnswerText
from gpt4roi_runtime.prompt import (
    Chunk,
    ImageSlot,
    RegionSlot,
    TextChunk,
    TokenChunk,
    Turn,
    as_text,
    as_tokenised,
    check_dialogue,
    lay_out,
)
from gpt4roi_runtime.timing import Stopwatch
from gpt4roi_runtime.vision.detector import Detector
from gpt4roi_runtime.vision.encoder import Encoder, ImageFeatures
from gpt4roi_runtime.vision.preprocess import preprocess
from gpt4roi_runtime.vision.proposals import DEFAULT_MAX_BOXES, Proposal, check_settings, propose


@dataclass(frozen=True)
class EncodedImage:
    """An image ready for questions.

    Attributes:
        width_px: Width of the photo that boxes refer to.
        height_px: Its height.
        features: Image embeddings and pyramid.
        bundle_id: Of the bundle that made them.
        seconds: Wall-clock seconds of ``preprocess`` and ``encode``.
    """

    width_px: int
    height_px: int
    features: ImageFeatures
    bundle_id: str
    seconds: dict[str, float]


@dataclass(frozen=True)
class _Request:
    """A question, checked and laid out: all that is known before an engine is asked.

    ``token_ids[i]`` belongs to ``chunks[i]``, and is empty for a slot.
    """

    asked_s: float
    image: EncodedImage
    regions: dict[int, Box]
    history: tuple[Turn, ...]
    question: str
    sampling: Sampling
    max_tokens: int
    chunks: tuple[Chunk, ...]
    token_ids: tuple[tuple[int, ...], ...]
    n_rows: int


class Proposer(AbstractContextManager["Proposer"]):
    """A bundle's detector alone, loaded without the rest of the model: use it as a context manager, or ``close`` it.

    Attributes:
        bundle: What was opened.
        detector: The detecting engine.
        load_s: Wall-clock seconds of checking and loading.
    """

    def __init__(self, bundle: Bundle, detector: Detector, load_s: float = 0.0) -> None:
        self.bundle = bundle
        self.detector = detector
        self.load_s = load_s

    @classmethod
    def open(cls, folder: Path, settings: EngineSettings | None = None) -> "Proposer":
        """Check the detector of the bundle at ``folder``, hash included, and load it.

        Raises:
            BundleError: The folder is not a bundle, has no detector, or is not what its manifest says.
            EngineError: The engine is missing or fails.
        """
        return cls.of_bundle(open_bundle(folder), settings or EngineSettings())

    @classmethod
    def of_bundle(cls, bundle: Bundle, settings: EngineSettings) -> "Proposer":
        """The same for a bundle whose manifest was read."""
        started_s = perf_counter()
        return cls(bundle, load_detector(bundle, settings), perf_counter() - started_s)

    def propose(
        self, image: RgbImage, *, threshold: float | None = None, max_boxes: int = DEFAULT_MAX_BOXES
    ) -> tuple[Proposal, ...]:
        """Find boxes worth a question; see ``Pipeline.propose``."""
        how = detector_of(self.bundle)
        return propose(image, self.detector, how, threshold=threshold, max_boxes=max_boxes)

    def close(self) -> None:
        """Free the engine; closing twice is harmless."""
        self.detector.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Pipeline(AbstractContextManager["Pipeline"]):
    """A bundle with its engines loaded: use it as a context manager, or call ``close``. One question at a time.

    Attributes:
        bundle: What was opened.
        encoder: The vision engine.
        decoder: The language engine.
        load_s: Wall-clock seconds of checking and loading.
        settings: What the engines were loaded with.
    """

    def __init__(
        self,
        bundle: Bundle,
        encoder: Encoder,
        decoder: Decoder,
        load_s: float = 0.0,
        settings: EngineSettings | None = None,
    ) -> None:
        self.bundle = bundle
        self.encoder = encoder
        self.decoder = decoder
        self.load_s = load_s
        self.settings = settings or EngineSettings()
        self._proposer: Proposer | None = None

    @classmethod
    def open(cls, folder: Path, settings: EngineSettings | None = None) -> "Pipeline":
        """Check the bundle at ``folder``, hashes included, and load its engines.

        Raises:
            BundleError: The folder is not a bundle, or not what its manifest says.
            EngineError: An engine is missing or fails.
        """
        started_s = perf_counter()
        bundle = open_bundle(folder)
        settings = settings or EngineSettings()
        encoder, decoder = load_engines(bundle, settings)
        return cls(bundle, encoder, decoder, perf_counter() - started_s, settings)

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
        """Run the encode graph on a photo, uint8 ``[h w 3]``: once an image.

        Raises:
            EngineError: The engine failed.
            NumericError: NaN or infinity came out of it.
        """
        watch = Stopwatch()
        with watch.measure("preprocess"):
            pixels = preprocess(image, self.bundle.manifest.vision.preprocessing)
        with watch.measure("encode"):
            features = self.encoder.encode(pixels)
        height_px, width_px = image.shape[:2]
        return EncodedImage(width_px, height_px, features, self.bundle.id, watch.seconds)

    def ask(
        self,
        image: EncodedImage,
        question: str,
        regions: Mapping[int, Box],
        *,
        history: Sequence[Turn] = (),
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
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
            cancel: Asked often, from the engine's thread; True stops the work.

        Returns:
            An iterator over TextDelta events and, last, one Done. Closing it early stops the engine.

        Raises:
            InputError: Question, boxes or settings cannot be used, or exceed the context.
            EngineError: An engine failed.
            Cancelled: ``cancel`` said so.
        """
        asked_s = perf_counter()
        decoding = self.bundle.manifest.decoding
        limit = decoding.max_tokens if max_tokens is None else max_tokens
        self._check(image, question, regions, history, limit)
        template = self.bundle.manifest.prompt
        chunks = lay_out(template, history, question)
        token_ids = tuple(self._token_ids(chunk) for chunk in as_tokenised(template, chunks))
        n_rows = sum(len(ids) + self._n_slot_rows(chunk) for chunk, ids in zip(chunks, token_ids, strict=True))
        self._check_context(n_rows)
        return self._answer(
            _Request(
                asked_s=asked_s,
                image=image,
                regions=dict(regions),
                history=tuple(history),
                question=question,
                sampling=sampling or Sampling(temperature=decoding.temperature),
                max_tokens=limit,
                chunks=chunks,
                token_ids=token_ids,
                n_rows=n_rows,
            ),
            cancel,
        )

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

    def _answer(self, request: _Request, cancel: CancelCheck) -> Iterator[Event]:
        """Regions, rows, prefill, decode: the order of an answer."""
        watch = Stopwatch()
        with watch.measure("regions"):
            regions = self._region_embeddings(request)
        with watch.measure("rows"):
            rows = self._rows(request, regions)
        with watch.measure("prefill"):
            self.decoder.prefill(rows, cancel)
        prompt = self.bundle.manifest.prompt
        parts: list[str] = [prompt.answer_lead] if prompt.lead_writer == "runtime" and prompt.answer_lead else []
        lead = prompt.answer_lead if prompt.lead_writer == "model" else ""
        text = AnswerText(stop=prompt.stop, lead=lead, begun=bool(parts))
        yield from map(TextDelta, parts)
        n_tokens = 0
        decode_started_s = perf_counter()
        with closing(self.decoder.decode(request.sampling, request.max_tokens, cancel)) as tokens:
            for token in tokens:
                n_tokens += 1
                if delta := text.feed(token.text_bytes):
                    if "first_text" not in watch.seconds:
                        watch.add("first_text", perf_counter() - request.asked_s)
                    parts.append(delta)
                    yield TextDelta(delta)
                if text.stopped:
                    break
        if delta := text.finish():
            parts.append(delta)
            yield TextDelta(delta)
        watch.add("decode", perf_counter() - decode_started_s)
        answer = "".join(parts)
        yield Done(
            answer=answer,
            stop_reason=self._stop_reason(request, n_tokens, stopped=text.stopped),
            history=(*request.history, Turn(request.question, answer)),
            n_prompt_rows=request.n_rows,
            n_answer_tokens=n_tokens,
            prompt_text=as_text(request.chunks, self.bundle.manifest.vision.n_image_rows),
            seconds=watch.seconds,
        )

    def _check(
        self, image: EncodedImage, question: str, regions: Mapping[int, Box], history: Sequence[Turn], max_tokens: int
    ) -> None:
        manifest = self.bundle.manifest
        if image.bundle_id != self.bundle.id:
            raise BundleError(
                f"the image was encoded by bundle {image.bundle_id}, not {self.bundle.id}", "Encode it again."
            )
        if max_tokens < 1:
            raise SettingsError(f"max_tokens {max_tokens} is out of range", "Use 1 or more.")
        check_dialogue(
            [*(turn.question for turn in history), question],
            regions,
            (*manifest.prompt.reserved, *manifest.prompt.stop),
        )
        if len(regions) > manifest.vision.max_regions:
            raise RegionError(f"{len(regions)} boxes are too many", f"This bundle takes {manifest.vision.max_regions}.")
        normalise(regions, image.width_px, image.height_px)

    def _token_ids(self, chunk: Chunk) -> tuple[int, ...]:
        match chunk:
            case TextChunk():
                return self.decoder.tokenize(chunk.text)
            case TokenChunk():
                return (self.bundle.manifest.language.special_tokens[chunk.token],)
            case ImageSlot() | RegionSlot():
                return ()

    def _n_slot_rows(self, chunk: Chunk) -> int:
        match chunk:
            case ImageSlot():
                return self.bundle.manifest.vision.n_image_rows
            case RegionSlot():
                return self.bundle.manifest.vision.n_rows_per_region
            case TextChunk() | TokenChunk():
                return 0

    def _check_context(self, n_rows: int) -> None:
        room = self.decoder.info.context_length
        if n_rows >= room:
            raise ContextOverflowError(
                f"image, regions, dialogue and question take {n_rows} tokens; the context holds {room}",
                "Ask a shorter question, use fewer regions, or begin a new dialogue.",
            )

    def _region_embeddings(self, request: _Request) -> dict[int, RegionEmbeddings]:
        """Every region's rows, ``[1 k d]``, by its number; one run of the graph for all."""
        if not request.regions:
            return {}
        boxes = normalise(request.regions, request.image.width_px, request.image.height_px)
        embeddings = self.encoder.embed_regions(request.image.features.pyramid, boxes)
        return {number: embeddings[[row]] for row, number in enumerate(request.regions)}

    def _rows(self, request: _Request, regions: dict[int, RegionEmbeddings]) -> EmbeddingRows:
        """All chunks as one run of rows: one batch is exact and fastest, whatever it is made of."""
        parts: list[EmbeddingRows] = []
        for chunk, ids in zip(request.chunks, request.token_ids, strict=True):
            match chunk:
                case ImageSlot():
                    parts.append(request.image.features.image_embeddings)
                case RegionSlot():
                    parts.append(regions[chunk.number][0])
                case TextChunk() | TokenChunk():
                    parts.append(self.decoder.embed(ids))
        return np.concatenate(parts, axis=0, dtype=np.float32)

    def _stop_reason(self, request: _Request, n_tokens: int, *, stopped: bool) -> StopReason:
        if stopped:
            return "stop_text"
        if n_tokens >= request.max_tokens:
            return "max_tokens"
        return "context_full" if request.n_rows + n_tokens > self.decoder.info.context_length else "end"
