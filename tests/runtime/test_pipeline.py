"""The order of an answer, with engines whose arithmetic can be followed."""

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.bundle.manifest import (
    Decoding,
    FileEntry,
    ImagePiece,
    Language,
    Licence,
    Manifest,
    Preprocessing,
    Prompt,
    PyramidLevel,
    Resize,
    TextPiece,
    TokenPiece,
    Vision,
)
from gpt4roi_runtime.errors import (
    BundleError,
    ContextOverflowError,
    EngineError,
    QuestionError,
    RegionError,
    SettingsError,
)
from gpt4roi_runtime.events import Done, Event, RegionAnswer, TextDelta
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.llm.decoder import Prefilled, Sampling
from gpt4roi_runtime.pipeline import EncodedImage, Pipeline
from gpt4roi_runtime.prompt import Turn
from gpt4roi_runtime.proposing import Proposer
from tests.helpers.detectors import write_detector_bundle
from tests.helpers.fakes import FakeDecoder, FakeEncoder

BOX = Box(10, 20, 50, 60)
OTHER = Box(0, 0, 100, 80)


def fake_bundle(lead_writer: str = "model", bundle_id: str = "0" * 16) -> Bundle:
    def entry(name: str) -> FileEntry:
        return FileEntry(path=name, size_bytes=1, sha256="0" * 64)

    manifest = Manifest(
        format="gpt4roi-bundle",
        version=1,
        name="fake",
        summary="",
        can=(),
        cannot=(),
        vision=Vision(
            encode=entry("e"),
            regions=entry("r"),
            preprocessing=Preprocessing(
                resize=Resize(to="stretch", side_px=8, filter="bicubic"), scale=1.0, mean=(0, 0, 0), std=(1, 1, 1)
            ),
            n_image_rows=2,
            n_rows_per_region=3,
            pyramid=(PyramidLevel(channels=1, side=8),),
            max_regions=3,
            dtype="float32",
        ),
        language=Language(
            gguf=entry("g"),
            architecture="llama",
            embedding_length=4,
            vocabulary_size=1 << 17,
            context_length=400,
            special_tokens={"<s>": 1},
        ),
        prompt=Prompt(
            opening=(TokenPiece("<s>"), ImagePiece(), TextPiece("Q:")),
            after_question=(TextPiece("\n"),),
            answer_lead="A: ",
            lead_writer=lead_writer,  # type: ignore[arg-type]
            after_answer=(TextPiece("\nQ:"),),
            stop=("##",),
            reserved=("<s>",),
        ),
        decoding=Decoding(temperature=0.5, max_tokens=50),
        licences=(Licence(part="all", spdx="Apache-2.0", source="nowhere"),),
    )
    return Bundle(Path("nowhere"), manifest, bundle_id)


@pytest.fixture
def decoder() -> FakeDecoder:
    return FakeDecoder()


@pytest.fixture
def pipeline(decoder: FakeDecoder) -> Pipeline:
    return Pipeline(fake_bundle(), FakeEncoder(), decoder)


@pytest.fixture
def image(pipeline: Pipeline) -> EncodedImage:
    return pipeline.encode(np.zeros((80, 100, 3), dtype=np.uint8))


def test_what_is_known_of_the_engines_is_told(decoder: FakeDecoder) -> None:
    pipeline = Pipeline(fake_bundle(), FakeEncoder(), decoder, notes=("the CPU runs the vision half",))
    assert pipeline.notes == ("the CPU runs the vision half", *decoder.info.notes)


def done(events: list[Event]) -> Done:
    last = events[-1]
    assert isinstance(last, Done)
    return last


def test_rows_stand_in_reading_order(pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage) -> None:
    list(pipeline.ask(image, "<region2> or <region1>, <region2>?", {1: BOX, 2: OTHER}))
    box, other = [0.1, 0.25, 0.5, 0.75], [0, 0, 1, 1]
    text = [[float(ord(letter))] * 4 for letter in "Q:region2 "]
    between = [[float(ord(letter))] * 4 for letter in " or region1 "]
    after = [[float(ord(letter))] * 4 for letter in ", region2?\n"]
    expected = [[1.0] * 4, [-1] * 4, [-1] * 4, *text, *[other] * 3, *between, *[box] * 3, *after]
    assert decoder.rows is not None
    np.testing.assert_allclose(decoder.rows, np.array(expected, dtype=np.float32))


def test_space_that_the_template_drops_becomes_no_row_and_stays_in_the_prompts_text(decoder: FakeDecoder) -> None:
    bundle = fake_bundle()
    prompt = msgspec.structs.replace(bundle.manifest.prompt, space_at_slots="dropped")
    manifest = msgspec.structs.replace(bundle.manifest, prompt=prompt)
    pipeline = Pipeline(dataclasses.replace(bundle, manifest=manifest), FakeEncoder(), decoder)
    image = pipeline.encode(np.zeros((80, 100, 3), dtype=np.uint8))
    last = done(list(pipeline.ask(image, " <region1> <region2>", {1: BOX, 2: OTHER})))
    box, other = [0.1, 0.25, 0.5, 0.75], [0, 0, 1, 1]
    text, between = ([[float(ord(letter))] * 4 for letter in words] for words in ("Q: region1", "region2"))
    expected = [[1.0] * 4, [-1] * 4, [-1] * 4, *text, *[box] * 3, *between, *[other] * 3]
    assert decoder.rows is not None
    np.testing.assert_allclose(decoder.rows, np.array(expected, dtype=np.float32))
    assert last.n_prompt_rows == len(expected)
    assert last.prompt_text == "<s><im_patch>*2Q: region1 <bbox> region2 <bbox>\n"


def test_text_streams_and_adds_up_to_the_answer(pipeline: Pipeline, image: EncodedImage) -> None:
    events = list(pipeline.ask(image, "What is <region1>?", {1: BOX}))
    assert all(isinstance(event, TextDelta) for event in events[:-1])
    assert len(events) > 3
    assert (
        "".join(event.text for event in events[:-1] if isinstance(event, TextDelta)) == done(events).answer == "a dog"
    )
    assert done(events).stop_reason == "end"
    assert done(events).n_answer_tokens == 5


def test_a_lead_that_the_model_writes_is_cut_off_and_put_back_into_history(
    pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage
) -> None:
    decoder.answer = "A: a dog"
    first = done(list(pipeline.ask(image, "What is <region1>?", {1: BOX})))
    assert first.answer == "a dog"
    second = done(list(pipeline.ask(image, "Why region1?", {1: BOX}, history=first.history)))
    assert second.prompt_text == "<s><im_patch>*2Q:What is region1 <bbox>?\nA: a dog\nQ:Why region1?\n"
    assert [turn.question for turn in second.history] == ["What is <region1>?", "Why region1?"]


def test_a_lead_that_the_runtime_writes_ends_the_prompt_and_begins_the_answer(decoder: FakeDecoder) -> None:
    pipeline = Pipeline(fake_bundle(lead_writer="runtime"), FakeEncoder(), decoder)
    image = pipeline.encode(np.zeros((80, 100, 3), dtype=np.uint8))
    first = done(list(pipeline.ask(image, "What?", {})))
    assert first.prompt_text.endswith("What?\nA: ")
    assert first.answer == "A: a dog"
    second = done(list(pipeline.ask(image, "Why?", {}, history=first.history)))
    assert second.prompt_text.endswith("What?\nA: a dog\nQ:Why?\nA: ")


def test_a_stop_string_ends_the_answer_and_the_engine(
    pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage
) -> None:
    decoder.answer = "a dog## and more"
    events = list(pipeline.ask(image, "What is <region1>?", {1: BOX}))
    assert done(events).answer == "a dog"
    assert done(events).stop_reason == "stop_text"
    assert decoder.n_stepped == len("a dog##")
    assert decoder.iterator_closed


def test_half_a_stop_string_at_the_end_is_text(pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage) -> None:
    decoder.answer = "no 1#"
    assert done(list(pipeline.ask(image, "What is <region1>?", {1: BOX}))).answer == "no 1#"


def test_characters_are_never_cut(pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage) -> None:
    decoder.answer = "ein Bär 🐻"
    events = list(pipeline.ask(image, "What is <region1>?", {1: BOX}))
    assert done(events).answer == "ein Bär 🐻"
    assert not any("\ufffd" in event.text for event in events if isinstance(event, TextDelta))


def test_max_tokens_ends_the_answer(pipeline: Pipeline, image: EncodedImage) -> None:
    last = done(list(pipeline.ask(image, "What is <region1>?", {1: BOX}, max_tokens=3)))
    assert (last.answer, last.stop_reason, last.n_answer_tokens) == ("a d", "max_tokens", 3)


def test_the_bundles_settings_hold_unless_the_caller_says_otherwise(
    pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage
) -> None:
    list(pipeline.ask(image, "What?", {}))
    assert decoder.sampling == Sampling(temperature=0.5)
    list(pipeline.ask(image, "What?", {}, sampling=Sampling(temperature=0, seed=3)))
    assert decoder.sampling == Sampling(temperature=0, seed=3)


def test_closing_the_iterator_stops_the_engine(pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage) -> None:
    events = pipeline.ask(image, "What is <region1>?", {1: BOX})
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert decoder.iterator_closed


def test_an_image_is_encoded_once_for_many_questions(pipeline: Pipeline, image: EncodedImage) -> None:
    for question in ("What is <region1>?", "Is <region1> red?"):
        list(pipeline.ask(image, question, {1: BOX}))
    assert isinstance(pipeline.encoder, FakeEncoder)
    assert pipeline.encoder.n_encoded == 1


def test_every_stage_is_timed(pipeline: Pipeline, image: EncodedImage) -> None:
    seconds = done(list(pipeline.ask(image, "What is <region1>?", {1: BOX}))).seconds
    assert set(seconds) == {"regions", "rows", "prefill", "first_text", "decode"}
    assert all(value >= 0 for value in seconds.values())
    assert set(image.seconds) == {"preprocess", "encode"}


def test_bad_input_is_refused_by_the_call_before_an_engine_runs(
    pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage
) -> None:
    long = "why " * 200
    for question, regions, history, error, words in (
        ("", {}, (), QuestionError, "empty"),
        ("What is <bbox>?", {}, (), QuestionError, "<bbox>"),
        ("What ## is it?", {}, (), QuestionError, "##"),
        ("<s>What?", {}, (), QuestionError, "<s>"),
        ("What?", {}, (Turn("<im_patch>", ""),), QuestionError, "<im_patch>"),
        ("What is <region2>?", {1: BOX}, (), RegionError, "<region2>"),
        ("What is <region1>?", {1: BOX, 2: BOX}, (), RegionError, "<region2>"),
        ("What is <region1>?", {1: Box(90, 10, 101, 20)}, (), RegionError, "90,10,101,20"),
        (" ".join(f"<region{n}>" for n in range(1, 5)), dict.fromkeys(range(1, 5), BOX), (), RegionError, "4 boxes"),
        (long, {}, (), ContextOverflowError, "400"),
    ):
        with pytest.raises(error, match=words):
            pipeline.ask(image, question, regions, history=history)
    with pytest.raises(SettingsError, match="0"):
        pipeline.ask(image, "What?", {}, max_tokens=0)
    assert decoder.rows is None


def test_an_image_of_another_bundle_is_refused(pipeline: Pipeline) -> None:
    other = Pipeline(fake_bundle(bundle_id="1" * 16), FakeEncoder(), FakeDecoder())
    image = other.encode(np.zeros((80, 100, 3), dtype=np.uint8))
    with pytest.raises(BundleError, match="1111111111111111"):
        pipeline.ask(image, "What?", {})


def test_leaving_the_context_closes_both_engines(decoder: FakeDecoder) -> None:
    encoder = FakeEncoder()
    with Pipeline(fake_bundle(), encoder, decoder) as pipeline:
        assert not decoder.closed
    pipeline.close()
    assert encoder.closed
    assert decoder.closed


@pytest.mark.parametrize(("n_tokens", "reason"), [(1, "end"), (2, "context_full")])
def test_a_full_context_is_told_apart_from_an_end(n_tokens: int, reason: str) -> None:
    """The token behind the last free row is the last one; an answer that ends before it has ended by itself."""
    question = "What?"
    n_rows = len("Q:" + question + "\n") + 1 + 2
    decoder = FakeDecoder(answer="x" * n_tokens, context_length=n_rows + 1)
    pipeline = Pipeline(fake_bundle(), FakeEncoder(), decoder)
    image = pipeline.encode(np.zeros((80, 100, 3), dtype=np.uint8))
    assert done(list(pipeline.ask(image, question, {}))).stop_reason == reason


def test_white_space_round_an_answer_does_not_grow_into_the_history(
    pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage
) -> None:
    """As GPT4RoI writes it: its lead, the words, a line's end and the stop string."""
    decoder.answer = "A: a dog\n## Q:"
    first = done(list(pipeline.ask(image, "What is <region1>?", {1: BOX})))
    assert first.answer == "a dog"
    second = done(list(pipeline.ask(image, "Why?", {1: BOX}, history=first.history)))
    assert second.prompt_text.endswith("?\nA: a dog\nQ:Why?\n")


# --- proposals --------------------------------------------------------------------------------------------------------


def test_proposals_load_the_detector_once_and_close_frees_it(tmp_path: Path) -> None:
    bundle = open_bundle(write_detector_bundle(tmp_path))
    photo = np.zeros((32, 32, 3), dtype=np.uint8)
    with Pipeline(bundle, FakeEncoder(), FakeDecoder(), settings=EngineSettings(vision_threads=1)) as pipeline:
        (proposal,) = pipeline.propose(photo)
        assert (proposal.name, proposal.box) == ("cup", Box(4, 4, 20, 20))
        (tmp_path / "detector.onnx").unlink()
        assert pipeline.propose(photo, threshold=0.5, max_boxes=1) == (proposal,)
        assert pipeline.propose(photo, threshold=0.95) == ()
    with pytest.raises(EngineError, match="closed"):
        pipeline.propose(photo)


def test_proposals_of_a_bundle_without_a_detector_are_refused() -> None:
    with Pipeline(fake_bundle(), FakeEncoder(), FakeDecoder()) as pipeline:
        with pytest.raises(BundleError, match="no detector"):
            pipeline.propose(np.zeros((32, 32, 3), dtype=np.uint8))
        with pytest.raises(SettingsError, match="101"):  # before anything is loaded
            pipeline.propose(np.zeros((32, 32, 3), dtype=np.uint8), max_boxes=101)


def test_a_proposer_needs_nothing_else_of_the_bundle(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path)  # its other files are no graphs
    with Proposer.open(folder, EngineSettings(vision_threads=1)) as proposer:
        assert [one.name for one in proposer.propose(np.zeros((32, 32, 3), dtype=np.uint8))] == ["cup"]


# --- the prefix -------------------------------------------------------------------------------------------------------


def test_the_rows_before_the_question_are_prefix(pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage) -> None:
    assert pipeline.prepare(image) == Prefilled(0, 1 + 2 + 2)
    assert decoder.prepared is not None
    last = done(list(pipeline.ask(image, "What is <region1>?", {1: BOX})))
    assert decoder.rows is not None
    np.testing.assert_array_equal(decoder.rows[:5], decoder.prepared)
    assert decoder.n_prefix == last.n_kept_rows == 5
    follow_up = done(list(pipeline.ask(image, "Why?", {1: BOX}, history=last.history)))
    assert decoder.n_prefix == follow_up.n_kept_rows == 5


def test_words_that_are_tokens_only_together_with_the_question_s_are_no_prefix(decoder: FakeDecoder) -> None:
    class Joining(FakeDecoder):
        def tokenize(self, text: str) -> tuple[int, ...]:
            return super().tokenize(text.replace(":W", "_"))

    decoder = Joining()
    pipeline = Pipeline(fake_bundle(), FakeEncoder(), decoder)
    image = pipeline.encode(np.zeros((80, 100, 3), dtype=np.uint8))
    list(pipeline.ask(image, "Who?", {}))
    assert decoder.n_prefix == 1 + 2
    list(pipeline.ask(image, "How?", {}))
    assert decoder.n_prefix == 1 + 2 + 2


def test_an_image_of_another_bundle_is_not_prepared(pipeline: Pipeline) -> None:
    other = Pipeline(fake_bundle(bundle_id="1" * 16), FakeEncoder(), FakeDecoder())
    with pytest.raises(BundleError, match="1111111111111111"):
        pipeline.prepare(other.encode(np.zeros((80, 100, 3), dtype=np.uint8)))


def test_keys_tell_images_apart(pipeline: Pipeline) -> None:
    black = np.zeros((80, 100, 3), dtype=np.uint8)
    almost = black.copy()
    almost[79, 99, 2] = 1
    other = Pipeline(fake_bundle(bundle_id="1" * 16), FakeEncoder(), FakeDecoder())
    keys = [one.encode(photo).key for one, photo in ((pipeline, black), (pipeline, almost), (other, black))]
    keys.append(pipeline.encode(black.reshape(100, 80, 3)).key)
    assert len(set(keys)) == 4
    assert pipeline.encode(np.asfortranarray(black)).key == keys[0]


# --- many boxes -------------------------------------------------------------------------------------------------------


def answers(pipeline: Pipeline, image: EncodedImage, boxes: list[Box], **more: object) -> dict[int, RegionAnswer]:
    found = list(pipeline.ask_each(image, "What is <region1>?", boxes, **more))  # type: ignore[arg-type]
    assert len({one.index for one in found}) == len(found)
    return {one.index: one for one in found}


def test_every_box_gets_the_prompt_that_ask_would_give_it(
    pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage
) -> None:
    found = answers(pipeline, image, [BOX, OTHER])
    assert decoder.shared is not None
    for index, box in enumerate([BOX, OTHER]):
        alone = done(list(pipeline.ask(image, "What is <region1>?", {1: box})))
        assert decoder.rows is not None
        np.testing.assert_array_equal(np.concatenate([decoder.shared, decoder.tails[index]]), decoder.rows)
        together = found[index].done
        assert found[index].box == box
        assert (together.answer, together.stop_reason, together.history) == (
            alone.answer,
            alone.stop_reason,
            alone.history,
        )
        assert (together.n_prompt_rows, together.prompt_text) == (alone.n_prompt_rows, alone.prompt_text)
    shared = "Q:What is region1 "
    assert len(decoder.shared) == 1 + 2 + len(shared)
    assert (found[0].done.n_kept_rows, found[1].done.n_kept_rows) == (0, 3 + len(shared))
    assert set(found[0].done.seconds) == {"regions", "rows", "prefill", "decode"}


def test_as_many_boxes_at_once_as_fit_engine_graph_and_context(
    pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage
) -> None:
    assert len(answers(pipeline, image, [BOX] * 7)) == 7
    assert (decoder.groups, decoder.most_at_once) == ([3], 3)  # the region graph takes 3
    decoder.groups.clear()
    n_shared, n_tail = 3 + len("Q:What is region1 "), 3 + len("?\n")
    decoder.info = dataclasses.replace(decoder.info, context_length=n_shared + 2 * (n_tail + 20))
    assert len(answers(pipeline, image, [BOX] * 3, max_tokens=20)) == 3
    assert (decoder.groups, decoder.most_at_once) == ([2], 2)
    decoder.groups.clear()
    assert len(answers(pipeline, image, [BOX] * 2, max_tokens=200)) == 2  # as ask: one at a time, until it is full
    assert (decoder.groups, decoder.most_at_once) == ([1], 1)


def test_a_box_that_waits_takes_the_place_of_one_that_is_answered(
    pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage
) -> None:
    decoder.answers = ("a large brown dog", "a", "cup## and more", "an old red chair", "b", "c")
    boxes = [Box(index, 10, index + 30, 50) for index in range(6)]
    encoder = pipeline.encoder
    assert isinstance(encoder, FakeEncoder)
    found = list(pipeline.ask_each(image, "What is <region1>?", boxes))
    assert [one.index for one in found] == [1, 2, 4, 5, 0, 3]
    assert [one.done.answer for one in found] == ["a", "cup", "b", "c", "a large brown dog", "an old red chair"]
    assert [one.box for one in found] == [boxes[one.index] for one in found]
    for index, tail in enumerate(decoder.tails):  # the prompt of every answer is its own box's
        assert tail[0][0] == pytest.approx(index / 100)
    late = {one.index: set(one.done.seconds) for one in found}
    assert late[0] == {"regions", "rows", "prefill", "decode"}
    assert late[3] == {"regions", "rows", "decode"}
    n_shared = found[-1].done.n_kept_rows
    assert {one.done.n_kept_rows for one in found if one.index > 0} == {n_shared}


def test_regions_are_computed_when_their_turn_comes(
    pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    plain = pipeline.encoder.embed_regions

    def embed_regions(pyramid: object, boxes: np.ndarray) -> np.ndarray:
        asked.append(len(boxes))
        if len(asked) == 3:
            raise EngineError("the graph broke", "Nothing helps.")
        return plain(pyramid, boxes)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline.encoder, "embed_regions", embed_regions)
    steps = pipeline.ask_each(image, "What is <region1>?", [BOX] * 8)
    assert next(steps).index == 0
    assert asked == [3]
    found = []
    with pytest.raises(EngineError, match="the graph broke"):
        found += [one.index for one in steps]
    assert asked == [3, 3, 2]
    assert decoder.iterator_closed


def test_answers_come_as_they_end(pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage) -> None:
    decoder.answers = ("a large brown dog", "a cup## and more", "")
    steps = pipeline.ask_each(image, "What is <region1>?", [BOX, OTHER, BOX], max_tokens=10)
    found = [(one.index, one.done.answer, one.done.stop_reason) for one in steps]
    assert found == [(2, "", "end"), (1, "a cup", "stop_text"), (0, "a large br", "max_tokens")]
    assert decoder.iterator_closed
    assert decoder.n_stepped == 10 + len("a cup##")


def test_closing_the_answers_stops_the_engine(pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage) -> None:
    decoder.answers = ("a", "a large brown dog")
    found = pipeline.ask_each(image, "What is <region1>?", [BOX, OTHER])
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert decoder.iterator_closed


def test_bad_input_for_many_boxes_is_refused_by_the_call(
    pipeline: Pipeline, decoder: FakeDecoder, image: EncodedImage
) -> None:
    for question, boxes, error, words in (
        ("What is it?", [BOX], RegionError, "never mentioned"),
        ("<region1> or <region2>?", [BOX, OTHER], RegionError, "<region2>"),
        ("What is <region1>?", [BOX, Box(90, 10, 101, 20)], RegionError, "region 2: .*90,10,101,20"),
        ("", [BOX], QuestionError, "empty"),
        ("<region1> why " * 100, [BOX], ContextOverflowError, "400"),
    ):
        with pytest.raises(error, match=words):
            pipeline.ask_each(image, question, boxes)
    with pytest.raises(SettingsError, match="max_tokens 0"):
        pipeline.ask_each(image, "What is <region1>?", [BOX], max_tokens=0)
    assert list(pipeline.ask_each(image, "What is <region1>?", [])) == []
    assert decoder.shared is None
