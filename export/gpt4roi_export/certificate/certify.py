"""The story of a certificate: one photo and one question, through the checkpoint in torch and through the bundle.

Each half is given the same numbers on both sides: the region graph its own pyramid, the language model the reference's
embeddings. So a stage that is off is off by itself.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt4roi_export.certificate.certificate import Certificate, Engine, comparisons
from gpt4roi_export.certificate.language_reference import next_token_logits
from gpt4roi_export.certificate.samples import BOXES, PHOTO
from gpt4roi_export.certificate.vision import VisionModel, check_vision
from gpt4roi_export.parity import ParityLimits, Stages, compare
from gpt4roi_export.released.sizes import LanguageSizes
from gpt4roi_export.tensors import Tensors
from gpt4roi_export.vision_graphs.check import engines_here
from gpt4roi_export.vision_graphs.write import PRECISIONS, Precision
from gpt4roi_export.weights import Progress
from gpt4roi_runtime.arrays import EmbeddingRows
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_first_run import FirstRun
from gpt4roi_runtime.bundle.folder import Bundle, check_file
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.prompt import ImageSlot, RegionSlot, TextChunk, TokenChunk, lay_out
from gpt4roi_runtime.vision.contract import IMAGE_EMBEDDINGS, REGION_EMBEDDINGS

QUESTION = "What is <region1>?"
LOGITS = "next_token_logits"
_HALF_LIMITS = ParityLimits(relative_error=0.02, cosine=0.9998)
_LIMITS = {
    "F32": ParityLimits(relative_error=1e-3, cosine=0.99999),
    "F16": _HALF_LIMITS,
    "BF16": ParityLimits(relative_error=0.05, cosine=0.998),
    "Q8_0": ParityLimits(relative_error=0.05, cosine=0.998),
    "Q6_K": ParityLimits(relative_error=0.1, cosine=0.995),
    "Q5": ParityLimits(relative_error=0.2, cosine=0.98),
    "Q4": ParityLimits(relative_error=0.4, cosine=0.92),
    "IQ4": ParityLimits(relative_error=0.4, cosine=0.92),
}
_COARSE_LIMITS = ParityLimits(relative_error=0.8, cosine=0.7)
"""Of types below four bits: a broken file gives a cosine near 0."""


@dataclass(frozen=True)
class Checkpoint:
    """What a bundle is held against.

    Attributes:
        vision: Its vision side.
        sizes: Of its language model.
        tensors: Of the whole GPT4RoI, base and delta added up.
    """

    vision: VisionModel
    sizes: LanguageSizes
    tensors: Tensors


def certify(bundle: Bundle, checkpoint: Checkpoint, photo: Path | None, progress: Progress) -> Certificate:
    """Compare every stage.

    Args:
        bundle: Opened; its files are checked first.
        checkpoint: What it was made from.
        photo: To look at; one that came with the runtime if not given.
        progress: Told what is being done.

    Raises:
        BundleError: A file of the bundle or a tensor of the checkpoint is missing or damaged.
        ImageError: The photo cannot be read.
        EngineError: An engine is missing or fails.
    """
    for number, entry in enumerate(bundle.manifest.files):
        progress(f"checking {entry.path}", 0.1 * number / len(bundle.manifest.files))
        check_file(bundle, entry)
    seen = photo or PHOTO
    progress("looking at the photo in torch and in the graphs", 0.1)
    vision = check_vision(
        checkpoint.vision, bundle.folder, _precision(bundle), seen, BOXES, engines_here(bundle.folder)
    )
    progress("loading the language model", 0.4)
    gguf = bundle.path_of(bundle.manifest.language.gguf)
    FirstRun().check(gguf, bundle.manifest.language.gguf.sha256)
    with closing(LlamaCppDecoder.load(gguf, inspect_gguf(gguf))) as decoder:
        rows = prompt_rows(bundle, decoder, vision.reference)
        decoder.prefill(rows, lambda: False)
        candidate = decoder.logits()
        language_engine = decoder.info.engine
    n_layers = checkpoint.sizes.n_layers

    def on_layer(done: int) -> None:
        progress(f"asking in torch, layer {done} of {n_layers}", 0.5 + 0.5 * done / n_layers)

    reference = next_token_logits(checkpoint.tensors, checkpoint.sizes, rows, on_layer)
    language = compare({LOGITS: reference}, {LOGITS: candidate}, language_limits(_setting(bundle, "language")))
    return Certificate(
        version=1,
        bundle_id=bundle.id,
        reference="torch, float32, from the checkpoint",
        picture=seen.name,
        boxes=tuple((float(x1), float(y1), float(x2), float(y2)) for x1, y1, x2, y2 in BOXES),
        engines=(
            *(Engine(check.engine, comparisons(check.report)) for check in vision.checks),
            Engine(language_engine, comparisons(language)),
        ),
    )


def prompt_rows(bundle: Bundle, decoder: LlamaCppDecoder, reference: Stages) -> EmbeddingRows:
    """The prompt of one question, ``[t d]``, with the image and the region as the reference has them."""
    parts: list[EmbeddingRows] = []
    for chunk in lay_out(bundle.manifest.prompt, (), QUESTION):
        match chunk:
            case ImageSlot():
                parts.append(reference[IMAGE_EMBEDDINGS])
            case RegionSlot():
                parts.append(reference[REGION_EMBEDDINGS][chunk.number - 1])
            case TextChunk():
                parts.append(decoder.embed(decoder.tokenize(chunk.text)))
            case TokenChunk():
                parts.append(decoder.embed((bundle.manifest.language.special_tokens[chunk.token],)))
    return np.concatenate(parts, axis=0, dtype=np.float32)


def language_limits(quantisation: str) -> ParityLimits:
    """How far the logits of a language model of that type may be off; a coarser type by more.

    With random numbers as weights, nothing averages out; a trained model stays nearer.
    """
    for length in range(len(quantisation), 1, -1):
        if quantisation[:length] in _LIMITS:
            return _LIMITS[quantisation[:length]]
    return _COARSE_LIMITS


def _precision(bundle: Bundle) -> Precision:
    found = _setting(bundle, "vision")
    for precision in PRECISIONS:
        if precision == found:
            return precision
    raise BundleError(
        f"{bundle.folder} does not say in which precision its graphs are",
        "Expected a bundle that `gpt4roi-export import` made.",
    )


def _setting(bundle: Bundle, name: str) -> str:
    made = bundle.manifest.provenance
    return made.settings.get(name, "") if made else ""
