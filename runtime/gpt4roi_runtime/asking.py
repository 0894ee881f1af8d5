"""A question, checked and laid out as rows, and its answer as it grows; knows the promises of engines and runs none.

Tells which rows of a prompt belong to the image and which to all regions alike; the pipeline decides what is run when.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import msgspec
import numpy as np

from gpt4roi_runtime.arrays import EmbeddingRows, RegionEmbeddings, RgbImage
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.choices import check_choices
from gpt4roi_runtime.confidence import TokenScore
from gpt4roi_runtime.errors import BundleError, ContextOverflowError, RegionError, SettingsError
from gpt4roi_runtime.events import Done, StopReason
from gpt4roi_runtime.geometry import Box, normalise
from gpt4roi_runtime.llm.decoder import Allowed, DecodedToken, Decoder, Sampling
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
    lay_out_opening,
    space_behind_lead,
)
from gpt4roi_runtime.vision.encoder import ImageFeatures


@dataclass(frozen=True)
class EncodedImage:
    """An image ready for questions.

    Attributes:
        width_px: Width of the photo that boxes refer to.
        height_px: Its height.
        features: Image embeddings and pyramid.
        bundle_id: Of the bundle that made them.
        seconds: Wall-clock seconds of ``preprocess`` and ``encode``, or of ``reopen`` where the features came from a
            store; of ``keep`` where they went into one.
        key: SHA-256 of the photo's size and pixels, the preprocessing and the bundle's id, as 64 hex digits: equal for
            the same photo only. Empty where nobody worked it out.
    """

    width_px: int
    height_px: int
    features: ImageFeatures
    bundle_id: str
    seconds: dict[str, float]
    key: str = ""


@dataclass(frozen=True)
class Request:
    """A question, checked and laid out: all that is known before an engine is asked.

    ``token_ids[i]`` belongs to ``chunks[i]``, and is empty for a slot.

    Attributes:
        image: What is asked about.
        regions: The box of every number.
        history: Earlier turns.
        question: As the user typed it.
        sampling: How tokens are chosen.
        max_tokens: Most tokens of the answer.
        chunks: The whole prompt.
        token_ids: Of every chunk.
        n_rows: Rows of the prompt.
        n_prefix: Rows at its beginning that every question about the image begins with.
        allowed: The only answers, if not all are.
    """

    image: EncodedImage
    regions: dict[int, Box]
    history: tuple[Turn, ...]
    question: str
    sampling: Sampling
    max_tokens: int
    chunks: tuple[Chunk, ...]
    token_ids: tuple[tuple[int, ...], ...]
    n_rows: int
    n_prefix: int
    allowed: Allowed | None = None

    @property
    def first_region(self) -> int:
        """Index of the first chunk that differs between regions."""
        return next(index for index, chunk in enumerate(self.chunks) if isinstance(chunk, RegionSlot))


def image_key(image: RgbImage, bundle: Bundle) -> str:
    """What tells an encoded image from every other; two photos of one size differ in their pixels."""
    digest = sha256(f"{bundle.id} {image.shape} ".encode())
    digest.update(msgspec.json.encode(bundle.manifest.vision.preprocessing))
    digest.update(np.ascontiguousarray(image).data.cast("B"))
    return digest.hexdigest()


def check_bundle(bundle_id: str, bundle: Bundle) -> None:
    """Refuse an image that another bundle encoded.

    Raises:
        BundleError: With both ids.
    """
    if bundle_id != bundle.id:
        raise BundleError(f"the image was encoded by bundle {bundle_id}, not {bundle.id}", "Encode it again.")


class Asker:
    """Checks and lays out what is asked of one bundle.

    Args:
        bundle: The bundle.
        decoder: Its language engine, for tokens and their embeddings.
    """

    def __init__(self, bundle: Bundle, decoder: Decoder) -> None:
        self._bundle = bundle
        self._manifest = bundle.manifest
        self._decoder = decoder

    def request(
        self,
        image: EncodedImage,
        question: str,
        regions: Mapping[int, Box],
        *,
        history: Sequence[Turn] = (),
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        allowed: Sequence[str] | None = None,
    ) -> Request:
        """Check and lay out a question.

        Where only some answers are ``allowed``, these bound the answer's length, and ``max_tokens`` does not count.

        Raises:
            InputError: Question, boxes or settings cannot be used, or exceed the context.
            BundleError: The image is another bundle's.
        """
        decoding = self._manifest.decoding
        limit = decoding.max_tokens if max_tokens is None else max_tokens
        only = None if allowed is None else self._allowed(allowed)
        self._check(image, question, regions, history, limit)
        template = self._manifest.prompt
        chunks = lay_out(template, history, question)
        token_ids = self.tokenised(chunks)
        counts = self._counts(chunks, token_ids)
        self._check_context(sum(counts), only)
        return Request(
            image=image,
            regions=dict(regions),
            history=tuple(history),
            question=question,
            sampling=sampling or Sampling(temperature=decoding.temperature),
            max_tokens=only.max_tokens if only else limit,
            chunks=chunks,
            token_ids=token_ids,
            n_rows=sum(counts),
            n_prefix=self._n_prefix(token_ids, counts),
            allowed=only,
        )

    def check_image(self, image: EncodedImage) -> None:
        """Refuse an image that another bundle encoded.

        Raises:
            BundleError: With both ids.
        """
        check_bundle(image.bundle_id, self._bundle)

    def tokenised(self, chunks: Sequence[Chunk], first: int = 0) -> tuple[tuple[int, ...], ...]:
        """Token ids of every chunk of a prompt from the ``first`` on; none of a slot."""
        return tuple(self._token_ids(chunk) for chunk in as_tokenised(self._manifest.prompt, chunks)[first:])

    def prefix_rows(self, image: EncodedImage) -> EmbeddingRows:
        """The rows that every question about an image begins with, float32 ``[t d]``."""
        chunks = self._opening
        return self._rows(image, chunks, [self._token_ids(chunk) for chunk in chunks], {})

    def rows(
        self, request: Request, regions: Mapping[int, RegionEmbeddings], first: int = 0, last: int | None = None
    ) -> EmbeddingRows:
        """Chunks ``first`` to ``last`` of a prompt as one run of rows, float32 ``[t d]``.

        Args:
            request: The question.
            regions: Every region's rows, ``[1 k d]``, by its number.
            first: Index of the first chunk.
            last: Index of the chunk behind the last; None takes all.
        """
        return self._rows(request.image, request.chunks[first:last], request.token_ids[first:last], regions)

    def counts(self, request: Request) -> list[int]:
        """Rows of every chunk."""
        return self._counts(request.chunks, request.token_ids)

    def prompt_text(self, request: Request) -> str:
        """The prompt for a person's eye."""
        return as_text(request.chunks, self._manifest.vision.n_image_rows)

    def done(self, writing: "Writing", n_kept_rows: int, seconds: dict[str, float]) -> Done:
        """The account of an answer that has ended; ``n_kept_rows`` of its prompt were not computed for it."""
        return writing.done(self.prompt_text(writing.request), self._decoder.info.context_length, n_kept_rows, seconds)

    def _rows(
        self,
        image: EncodedImage,
        chunks: Sequence[Chunk],
        token_ids: Sequence[Sequence[int]],
        regions: Mapping[int, RegionEmbeddings],
    ) -> EmbeddingRows:
        parts: list[EmbeddingRows] = []
        for chunk, ids in zip(chunks, token_ids, strict=True):
            match chunk:
                case ImageSlot():
                    parts.append(image.features.image_embeddings)
                case RegionSlot():
                    parts.append(regions[chunk.number][0])
                case TextChunk() | TokenChunk():
                    parts.append(self._decoder.embed(ids))
        return np.concatenate(parts, axis=0, dtype=np.float32)

    def _counts(self, chunks: Sequence[Chunk], token_ids: Sequence[Sequence[int]]) -> list[int]:
        return [len(ids) + self._n_slot_rows(chunk) for chunk, ids in zip(chunks, token_ids, strict=True)]

    @cached_property
    def _opening(self) -> tuple[Chunk, ...]:
        template = self._manifest.prompt
        return as_tokenised(template, lay_out_opening(template))

    def _n_prefix(self, token_ids: Sequence[Sequence[int]], counts: Sequence[int]) -> int:
        """Rows that a prompt shares with the bare opening.

        Where a tokenizer reads the opening's last words and the question's first ones together, these words count as
        the question's. It is the same for the same question always, whatever is in the KV cache.
        """
        n_rows = 0
        for chunk, ids, count in zip(self._opening, token_ids, counts, strict=False):
            own = self._token_ids(chunk)
            if tuple(ids[: len(own)]) != own:
                break
            if len(ids) > len(own):
                n_rows += len(own)
                break
            n_rows += count
        return n_rows

    def _check(
        self, image: EncodedImage, question: str, regions: Mapping[int, Box], history: Sequence[Turn], max_tokens: int
    ) -> None:
        self.check_image(image)
        if max_tokens < 1:
            raise SettingsError(f"max_tokens {max_tokens} is out of range", "Use 1 or more.")
        check_dialogue(
            [*(turn.question for turn in history), question],
            regions,
            (*self._manifest.prompt.reserved, *self._manifest.prompt.stop),
        )
        most = self._manifest.vision.max_regions
        if len(regions) > most:
            raise RegionError(f"{len(regions)} boxes are too many", f"This bundle takes {most}.")
        normalise(regions, image.width_px, image.height_px)

    def _allowed(self, choices: Sequence[str]) -> Allowed:
        template = self._manifest.prompt
        checked = check_choices(choices, (*template.reserved, *template.stop))
        if template.lead_writer == "model":
            return Allowed(checked, template.answer_lead.strip(), template.stop)
        if not template.answer_lead:
            return Allowed(checked, stop=template.stop)
        return Allowed(checked, stop=template.stop, space="required" if space_behind_lead(template) else "none")

    def _token_ids(self, chunk: Chunk) -> tuple[int, ...]:
        match chunk:
            case TextChunk():
                return self._decoder.tokenize(chunk.text)
            case TokenChunk():
                return (self._manifest.language.special_tokens[chunk.token],)
            case ImageSlot() | RegionSlot():
                return ()

    def _n_slot_rows(self, chunk: Chunk) -> int:
        match chunk:
            case ImageSlot():
                return self._manifest.vision.n_image_rows
            case RegionSlot():
                return self._manifest.vision.n_rows_per_region
            case TextChunk() | TokenChunk():
                return 0

    def _check_context(self, n_rows: int, only: Allowed | None) -> None:
        room = self._decoder.info.context_length
        if only is not None and n_rows < room < n_rows + only.max_tokens:
            raise ContextOverflowError(
                f"image, regions, dialogue and question take {n_rows} tokens, and an answer of the list may take "
                f"{only.max_tokens}; the context holds {room}",
                "Use shorter answers or a shorter question, or begin a new dialogue.",
            )
        if n_rows >= room:
            raise ContextOverflowError(
                f"image, regions, dialogue and question take {n_rows} tokens; the context holds {room}",
                "Ask a shorter question, use fewer regions, or begin a new dialogue.",
            )


class Writing:
    """An answer as it is written: its text so far, its tokens, and the account of it.

    Attributes:
        request: What is answered.
        parts: The text so far.
        n_tokens: How many were fed.
    """

    def __init__(self, request: Request, bundle: Bundle) -> None:
        prompt = bundle.manifest.prompt
        begun = prompt.lead_writer == "runtime" and bool(prompt.answer_lead)
        self.request = request
        self._text = AnswerText(
            stop=prompt.stop, lead=prompt.answer_lead if prompt.lead_writer == "model" else "", begun=begun
        )
        self.parts: list[str] = [prompt.answer_lead] if begun else []
        self.n_tokens = 0
        self._scores: list[TokenScore] = []

    @property
    def stopped(self) -> bool:
        """Whether a stop string came; nothing fed after it counts."""
        return self._text.stopped

    def feed(self, token: DecodedToken) -> str:
        """Take one token; returns the text that is certain now."""
        self.n_tokens += 1
        if token.score is not None:
            self._scores.append(token.score)
        return self._grow(self._text.feed(token.text_bytes))

    def finish(self) -> str:
        """The rest of the text, when no token follows."""
        return self._grow(self._text.finish())

    def done(self, prompt_text: str, context_length: int, n_kept_rows: int, seconds: dict[str, float]) -> Done:
        """The account of a finished answer."""
        request, answer = self.request, "".join(self.parts)
        return Done(
            answer=answer,
            stop_reason=self._stop_reason(context_length),
            history=(*request.history, Turn(request.question, answer)),
            n_prompt_rows=request.n_rows,
            n_answer_tokens=self.n_tokens,
            prompt_text=prompt_text,
            seconds=seconds,
            n_kept_rows=n_kept_rows,
            tokens=tuple(self._scores),
        )

    def _grow(self, delta: str) -> str:
        if delta:
            self.parts.append(delta)
        return delta

    def _stop_reason(self, context_length: int) -> StopReason:
        if self.stopped:
            return "stop_text"
        if self.n_tokens >= self.request.max_tokens:
            return "max_tokens"
        return "context_full" if self.request.n_rows + self.n_tokens > context_length else "end"
