"""A photo reopened from a store on the embedded bundle: nothing is computed again, and every bit is the same."""

from pathlib import Path

import numpy as np
import pytest

from gpt4roi_runtime.arrays import PixelValues
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.image_store import ImageStore
from gpt4roi_runtime.pipeline import Pipeline
from gpt4roi_runtime.vision.encoder import ImageFeatures

pytestmark = pytest.mark.bundle

CUP, SPOON = Box(165, 10, 415, 300), Box(318, 60, 425, 330)
QUESTION = "What is <region1>?"
SETTINGS = EngineSettings(vision_threads=1, language=LlamaCppSettings(n_threads=1, context_length=1024))


def reached(pipeline: Pipeline, photo: np.ndarray) -> tuple[list[np.ndarray], str, int]:
    """Everything that a question computes: features, regions, logits; the answer; and the rows that were there."""
    image = pipeline.encode(photo)
    *_, done = pipeline.ask(image, QUESTION, {1: CUP}, max_tokens=12)
    assert isinstance(done, Done)
    regions = pipeline._region_embeddings(image, {1: CUP})
    request = pipeline._asker.request(image, QUESTION, {1: CUP})
    decoder = pipeline.decoder
    assert isinstance(decoder, LlamaCppDecoder)
    decoder.prefill(pipeline._asker.rows(request, regions), lambda: False, request.n_prefix)
    features = [image.features.image_embeddings, *image.features.pyramid]
    return [*features, regions[1], decoder.logits()], done.answer, done.n_kept_rows


def test_a_reopened_photo_gives_every_bit_again(
    bundle_dir: Path, sample_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    photo = load_image(sample_photo)
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    with Pipeline.open(bundle_dir, SETTINGS) as pipeline:
        cold = [reached(pipeline, one) for one in (photo, mirrored)]
    store = ImageStore(tmp_path, on_note=notes.append)
    with Pipeline.open(bundle_dir, SETTINGS, store) as pipeline:
        kept = [reached(pipeline, one) for one in (photo, mirrored)]
    assert store.usage()[0] == 4
    with Pipeline.open(bundle_dir, SETTINGS, store) as pipeline:

        def encode(_: PixelValues) -> ImageFeatures:
            raise AssertionError("the photo is in the store")

        monkeypatch.setattr(pipeline.encoder, "encode", encode)
        reopened = [reached(pipeline, one) for one in (mirrored, photo)][::-1]
        together = list(pipeline.ask_each(pipeline.encode(photo), QUESTION, [CUP, SPOON], max_tokens=12))
    for first, second, third in zip(cold, kept, reopened, strict=True):
        assert first[1] == second[1] == third[1]
        assert (first[2], second[2]) == (0, 0)
        assert third[2] > 11
        for bits in (second[0], third[0]):
            for expected, found in zip(first[0], bits, strict=True):
                np.testing.assert_array_equal(found, expected)
    with Pipeline.open(bundle_dir, SETTINGS, store) as pipeline:
        chosen = pipeline.choose(pipeline.encode(photo), "Is <region1> a dog?", {1: CUP}, ["Yes", "No"])
    assert chosen.n_kept_rows > 11
    assert (cold[0][0][-1] != cold[1][0][-1]).any()
    assert {one.index: one.done.answer for one in together}[0] == cold[0][1]
    assert notes == []
    others = EngineSettings(vision_threads=1, language=LlamaCppSettings(n_threads=1, context_length=512, repack="off"))
    with Pipeline.open(bundle_dir, others, store) as pipeline:
        image = pipeline.encode(photo)  # the language engine's settings do not decide it
        assert "encode" not in image.seconds
        assert pipeline.prepare(image).n_kept == 0
