"""Checks a bundle through and through, and goes on after a failure, so that all that is off is told at once.

Decides what to check; the checks themselves are the bundle's and the backends'.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from gpt4roi_runtime.backends.load import EngineSettings, load_decoder, load_detector, load_encoder
from gpt4roi_runtime.bundle.folder import Bundle, check_file, open_bundle
from gpt4roi_runtime.errors import BundleError, Gpt4RoiError
from gpt4roi_runtime.llm.decoder import Decoder
from gpt4roi_runtime.vision.detector import Detector
from gpt4roi_runtime.vision.encoder import Encoder


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        what: What was looked at.
        error: What is off, or None where all is well.
    """

    what: str
    error: Gpt4RoiError | None = None


def verify_bundle(folder: Path) -> Iterator[Check]:
    """Check manifest, files, graphs, detector, language model and token ids, one after another."""
    try:
        bundle = open_bundle(folder)
    except BundleError as error:
        yield Check("manifest", error)
        return
    yield Check("manifest")
    sound = True
    for entry in bundle.manifest.files:
        check = _checked(f"{entry.path}: size and SHA-256", partial(check_file, bundle, entry))
        sound = sound and check.error is None
        yield check
    if sound:  # an engine is never shown a file that is not the one that was promised
        yield _checked("graphs: names, shapes, a run with 1 box and with the most", partial(_try_graphs, bundle))
        if (how := bundle.manifest.detector) is not None:
            yield _checked("detector: names, shapes, a run", partial(_try_detector, bundle, how.side_px))
        yield _checked("language model: sizes, token ids, an embedding", partial(_try_language, bundle))


_SOME_BOX = np.array([0.25, 0.25, 0.75, 0.75], dtype=np.float32)


def _checked(what: str, act: Callable[[], None]) -> Check:
    try:
        act()
    except Gpt4RoiError as error:
        return Check(what, error)
    return Check(what)


def _try_graphs(bundle: Bundle) -> None:
    encoder: Encoder = load_encoder(bundle, EngineSettings())
    try:
        side = bundle.manifest.vision.preprocessing.side_px
        features = encoder.encode(np.zeros((1, 3, side, side), dtype=np.float32))
        for n_boxes in (1, bundle.manifest.vision.max_regions):
            encoder.embed_regions(features.pyramid, np.tile(_SOME_BOX, (n_boxes, 1)))
    finally:
        encoder.close()


def _try_detector(bundle: Bundle, side: int) -> None:
    detector: Detector = load_detector(bundle, EngineSettings())
    try:
        detector.detect(np.zeros((1, 3, side, side), dtype=np.float32))
    finally:
        detector.close()


def _try_language(bundle: Bundle) -> None:
    decoder: Decoder = load_decoder(bundle, EngineSettings())
    try:
        rows = decoder.embed((0, bundle.manifest.language.vocabulary_size - 1))
        if not np.isfinite(rows).all():
            raise BundleError(
                f"{bundle.manifest.language.gguf.path} holds NaN or infinity", "Assemble the bundle again."
            )
    finally:
        decoder.close()
