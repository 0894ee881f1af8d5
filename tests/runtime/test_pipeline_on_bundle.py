"""The kept prefix and many boxes on the embedded bundle: what is answered does not depend on what was asked before."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.pipeline import EncodedImage, Pipeline

pytestmark = pytest.mark.bundle

CUP, SPOON = Box(165, 10, 415, 300), Box(318, 60, 425, 330)
BOXES = [CUP, SPOON, Box(0, 0, 600, 400), Box(400, 20, 590, 380), Box(10, 200, 300, 390)]
QUESTION = "What is <region1>?"


@pytest.fixture(scope="module")
def pipeline(bundle_dir: Path) -> Iterator[Pipeline]:
    settings = EngineSettings(vision_threads=1, language=LlamaCppSettings(n_threads=1, context_length=1024))
    with Pipeline.open(bundle_dir, settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def cup(pipeline: Pipeline, sample_photo: Path) -> EncodedImage:
    return pipeline.encode(load_image(sample_photo))


@pytest.fixture(scope="module")
def mirrored(pipeline: Pipeline, sample_photo: Path) -> EncodedImage:
    """Another photo of the same size."""
    return pipeline.encode(np.ascontiguousarray(load_image(sample_photo)[:, ::-1]))


def ask(pipeline: Pipeline, image: EncodedImage, box: Box, question: str = QUESTION) -> tuple[Done, np.ndarray]:
    """The answer, and the logits that it began from."""
    decoder = pipeline.decoder
    assert isinstance(decoder, LlamaCppDecoder)
    events = pipeline.ask(image, question, {1: box}, max_tokens=24)
    next(events)  # prefilled, and the first text is there
    events.close()  # type: ignore[attr-defined]
    request = pipeline._asker.request(image, question, {1: box})
    rows = pipeline._asker.rows(request, pipeline._region_embeddings(image, {1: box}))
    decoder.prefill(rows, lambda: False, request.n_prefix)
    logits = decoder.logits()
    *_, done = pipeline.ask(image, question, {1: box}, max_tokens=24)
    assert isinstance(done, Done)
    return done, logits


def forget(pipeline: Pipeline) -> None:
    """Empty cache and shelf."""
    assert isinstance(pipeline.decoder, LlamaCppDecoder)
    pipeline.decoder.prefill(np.ones((3, pipeline.decoder.info.embedding_length), dtype=np.float32), lambda: False)
    pipeline.decoder._native.model.cache.aside._states.clear()


def test_images_of_equal_size_never_mix(pipeline: Pipeline, cup: EncodedImage, mirrored: EncodedImage) -> None:
    cold = {}
    for image in (cup, mirrored):
        forget(pipeline)
        cold[image.key] = ask(pipeline, image, CUP)
    assert (cold[cup.key][1] != cold[mirrored.key][1]).any()
    for image in (cup, mirrored, cup, cup, mirrored):
        done, logits = ask(pipeline, image, CUP)
        np.testing.assert_array_equal(logits, cold[image.key][1])
        assert done.answer == cold[image.key][0].answer
        assert done.n_kept_rows > pipeline.bundle.manifest.vision.n_image_rows


def test_a_prepared_image_leaves_a_question_its_own_rows(pipeline: Pipeline, cup: EncodedImage) -> None:
    forget(pipeline)
    prepared = pipeline.prepare(cup)
    assert prepared.n_kept == 0
    first = next(iter([ask(pipeline, cup, SPOON)[0]]))
    assert first.n_kept_rows == prepared.n_computed
    *_, second = pipeline.ask(cup, "Why?", {1: SPOON}, history=first.history, max_tokens=4)
    assert isinstance(second, Done)
    assert second.n_kept_rows == prepared.n_computed


def test_answers_side_by_side_are_those_of_one_question_after_another(pipeline: Pipeline, cup: EncodedImage) -> None:
    together = {one.index: one.done for one in pipeline.ask_each(cup, QUESTION, BOXES, max_tokens=24)}
    assert sorted(together) == list(range(len(BOXES)))
    for index, box in enumerate(BOXES):
        alone, _ = ask(pipeline, cup, box)
        assert together[index].answer == alone.answer
        assert (together[index].n_answer_tokens, together[index].stop_reason) == (
            alone.n_answer_tokens,
            alone.stop_reason,
        )
        assert together[index].n_prompt_rows == alone.n_prompt_rows


def test_places_of_answered_boxes_are_taken_again_and_answers_stay_those_of_one_after_another(
    pipeline: Pipeline, cup: EncodedImage
) -> None:
    """Boxes of all sizes, more of them than places."""
    decoder = pipeline.decoder
    assert isinstance(decoder, LlamaCppDecoder)
    boxes = [Box(10.0 * n, 5.0 * n, 40.0 + 25 * n, 60.0 + 15 * n) for n in range(decoder.info.max_answers + 3)]
    together = {one.index: one.done for one in pipeline.ask_each(cup, QUESTION, boxes, max_tokens=10)}
    lengths = decoder.sequence_lengths()
    assert lengths[0] > 0
    assert set(lengths[1:]) == {0}
    for index, box in enumerate(boxes):
        *_, alone = pipeline.ask(cup, QUESTION, {1: box}, max_tokens=10)
        assert isinstance(alone, Done)
        assert (together[index].answer, together[index].n_answer_tokens) == (alone.answer, alone.n_answer_tokens)


def test_logits_side_by_side_differ_by_rounding_alone(pipeline: Pipeline, cup: EncodedImage) -> None:
    """Quantised kernels round by the number of rows in a call: some tenths, against a range of some tens."""
    decoder = pipeline.decoder
    assert isinstance(decoder, LlamaCppDecoder)
    request = pipeline._asker.request(cup, QUESTION, {1: CUP})
    shared = pipeline._asker.rows(request, {}, 0, request.first_region)
    tails = [
        pipeline._asker.rows(request, pipeline._region_embeddings(cup, {1: box}), request.first_region) for box in BOXES
    ]
    decoder.prefill_each(shared, tails, lambda: False, request.n_prefix)
    model = decoder._native.model
    assert model._group is not None
    branches = model._group.branches
    rows = decoder._thread.run(lambda _: [model.context.logits(one.logits_at).copy() for one in branches])
    for box, found in zip(BOXES, rows, strict=True):
        _, alone = ask(pipeline, cup, box)
        assert np.abs(found - alone).max() < 2.0 < 0.1 * (alone.max() - alone.min())
        assert found.argmax() == alone.argmax()


def test_a_choice_leaves_the_next_question_as_it_found_it(pipeline: Pipeline, cup: EncodedImage) -> None:
    forget(pipeline)
    cold, expected = ask(pipeline, cup, CUP)
    forget(pipeline)
    chosen = pipeline.choose(cup, "Is <region1> a dog?", {1: CUP}, ["Yes", "No", *(f"dog {n}" for n in range(20))])
    assert chosen.best.text == "No"
    assert isinstance(pipeline.decoder, LlamaCppDecoder)
    assert set(pipeline.decoder.sequence_lengths()[1:]) == {0}
    done, logits = ask(pipeline, cup, CUP)
    np.testing.assert_array_equal(logits, expected)
    assert done.answer == cold.answer


def test_what_is_written_token_by_token_is_as_likely_as_its_choice(pipeline: Pipeline, cup: EncodedImage) -> None:
    """The greedy answer's own tokens, read off while it is written, sum up to the score of its text."""
    for question in ("What color is <region1>?", "Is <region1> a dog?"):
        *_, done = pipeline.ask(cup, question, {1: CUP}, n_top=0)
        assert isinstance(done, Done)
        (choice,) = pipeline.choose(cup, question, {1: CUP}, [done.answer]).choices
        assert choice.probability == 1
        assert choice.n_tokens == done.n_answer_tokens
        assert choice.log_likelihood == pytest.approx(sum(one.log_probability for one in done.tokens), abs=0.5)


def test_a_lead_is_prompt_and_a_restriction_to_the_answer_changes_nothing(
    pipeline: Pipeline, cup: EncodedImage
) -> None:
    question = "What color is <region1>?"
    *_, free = pipeline.ask(cup, question, {1: CUP})
    assert isinstance(free, Done)
    *_, restricted = pipeline.ask(cup, question, {1: CUP}, allowed=["none", "region1 is", free.answer])
    assert isinstance(restricted, Done)
    assert restricted.answer == free.answer
    assert restricted.n_answer_tokens == free.n_answer_tokens
    words = free.answer.removesuffix(".").split()
    chosen = pipeline.choose(cup, question, {1: CUP}, ["purple", words[-1]], lead=" ".join(words[:-1]))
    assert chosen.best.text == words[-1]
    assert chosen.history[-1].answer == free.answer.removesuffix(".")
