"""What a pipeline puts into a store and takes out of it, with engines whose arithmetic can be followed."""

import errno
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from gpt4roi_runtime import keeping
from gpt4roi_runtime.arrays import EmbeddingRows
from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.image_store import ImageStore
from gpt4roi_runtime.llm.decoder import CancelCheck, Prefilled, PrefixFacts, PrefixState, Scores, WritesPrefixes
from gpt4roi_runtime.pipeline import Pipeline
from tests.helpers.fakes import FakeDecoder, FakeEncoder
from tests.runtime.test_pipeline import fake_bundle

BOX = Box(10, 20, 50, 60)
PHOTO = np.zeros((80, 100, 3), dtype=np.uint8)
OTHER_PHOTO = np.full_like(PHOTO, 200)


class WritingDecoder(FakeDecoder):
    """Its cache is the last prefix; a state is the prefix's own bytes."""

    def __init__(self, build: str = "one", *, refuses: bool = False) -> None:
        super().__init__()
        self.build = build
        self.refuses = refuses
        self.n_read = self.n_written = 0

    def prepare(self, prefix: EmbeddingRows, cancel: CancelCheck) -> Prefilled:
        is_there = self.prefix_facts(prefix).is_there
        self.prepared = prefix
        return Prefilled(len(prefix), 0) if is_there else Prefilled(0, len(prefix))

    def prefill(self, rows: EmbeddingRows, cancel: CancelCheck, n_prefix: int = 0) -> Prefilled:
        filled = super().prefill(rows, cancel, n_prefix)
        self.prepared = rows[:n_prefix]
        return filled

    def score(
        self, rows: EmbeddingRows, texts: Sequence[Sequence[int]], cancel: CancelCheck, n_prefix: int = 0
    ) -> Scores:
        scores = super().score(rows, texts, cancel, n_prefix)
        self.prepared = rows[:n_prefix]
        return scores

    def prefix_facts(self, prefix: EmbeddingRows) -> PrefixFacts:
        is_there = self.prepared is not None and np.array_equal(self.prepared, prefix)
        return PrefixFacts(sha256(self.build.encode() + prefix.tobytes()).hexdigest(), is_there, 2 * prefix.nbytes)

    def write_prefix(self, prefix: EmbeddingRows) -> PrefixState | None:
        self.n_written += 1
        return np.frombuffer(prefix.tobytes(), dtype=np.uint8)

    def read_prefix(self, prefix: EmbeddingRows, state: PrefixState) -> bool:
        assert state.tobytes() == prefix.tobytes()
        self.n_read += 1
        self.prepared = None if self.refuses else prefix
        return not self.refuses


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, notes: list[str]) -> ImageStore:
    return ImageStore(tmp_path / "store", on_note=notes.append)


def opened(
    store: ImageStore | None,
    *,
    bundle_id: str = "0" * 16,
    decoder: FakeDecoder | None = None,
    encoder: FakeEncoder | None = None,
    settings: EngineSettings | None = None,
) -> tuple[Pipeline, FakeEncoder, FakeDecoder]:
    """A new process, as far as fakes go."""
    encoder, decoder = encoder or FakeEncoder(), decoder or WritingDecoder()
    bundle = fake_bundle(bundle_id=bundle_id)
    return Pipeline(bundle, encoder, decoder, settings=settings, store=store), encoder, decoder


def asked(pipeline: Pipeline, photo: np.ndarray = PHOTO) -> Done:
    *_, done = pipeline.ask(pipeline.encode(photo), "What is <region1>?", {1: BOX})
    assert isinstance(done, Done)
    return done


def test_the_fake_keeps_the_promise() -> None:
    assert isinstance(WritingDecoder(), WritesPrefixes)
    assert not isinstance(FakeDecoder(), WritesPrefixes)


def test_a_photo_asked_about_once_is_neither_encoded_nor_prefilled_again(store: ImageStore, notes: list[str]) -> None:
    first, encoder, decoder = opened(store)
    image = first.encode(PHOTO)
    assert set(image.seconds) == {"preprocess", "encode", "keep"}
    before = asked(first)
    assert before.n_kept_rows == 0
    assert "keep" in before.seconds
    assert store.usage()[0] == 2
    second, encoder, decoder = opened(store)
    again = second.encode(PHOTO)
    assert set(again.seconds) == {"preprocess", "reopen"}
    assert (again.key, again.width_px, again.height_px) == (image.key, 100, 80)
    for ours, theirs in zip(
        (again.features.image_embeddings, *again.features.pyramid),
        (image.features.image_embeddings, *image.features.pyramid),
        strict=True,
    ):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    after = asked(second)
    assert encoder.n_encoded == 0
    assert after.answer == before.answer
    assert after.n_kept_rows == 3 + len("Q:")  # <s>, two rows of the image, and the opening's text
    assert isinstance(decoder, WritingDecoder)
    assert (decoder.n_read, decoder.n_written) == (1, 0)
    assert notes == []


def test_a_prepared_photo_is_kept_and_comes_back(store: ImageStore) -> None:
    first, _, _ = opened(store)
    assert first.prepare(first.encode(PHOTO)) == Prefilled(0, 5)
    second, encoder, decoder = opened(store)
    assert second.prepare(second.encode(PHOTO)) == Prefilled(5, 0)
    assert second.prepare(second.encode(PHOTO)) == Prefilled(5, 0)
    assert isinstance(decoder, WritingDecoder)
    assert (encoder.n_encoded, decoder.n_read, decoder.n_written) == (0, 1, 0)


def test_questions_about_many_boxes_keep_and_bring_back_the_photo(store: ImageStore) -> None:
    for n_kept in (0, 1):
        pipeline, encoder, decoder = opened(store)
        assert isinstance(decoder, WritingDecoder)
        decoder.prefill_each = _noted(decoder)  # type: ignore[method-assign]
        answers = list(pipeline.ask_each(pipeline.encode(PHOTO), "What is <region1>?", [BOX, BOX, BOX, BOX]))
        assert len(answers) == 4
        assert (encoder.n_encoded, decoder.n_read, decoder.n_written) == (1 - n_kept, n_kept, 1 - n_kept)


def test_a_choice_keeps_and_brings_back_the_photo(store: ImageStore) -> None:
    for n_kept in (0, 1):
        pipeline, encoder, decoder = opened(store)
        assert isinstance(decoder, WritingDecoder)
        chosen = pipeline.choose(pipeline.encode(PHOTO), "Is <region1> red?", {1: BOX}, ["yes", "no"])
        assert chosen.n_kept_rows == 5 * n_kept
        assert set(chosen.seconds) == {"regions", "rows", "score", "keep"}
        assert (encoder.n_encoded, decoder.n_read, decoder.n_written) == (1 - n_kept, n_kept, 1 - n_kept)


def test_a_choice_without_a_store_keeps_nothing() -> None:
    pipeline, _, decoder = opened(None)
    chosen = pipeline.choose(pipeline.encode(PHOTO), "Is <region1> red?", {1: BOX}, ["yes", "no"])
    assert set(chosen.seconds) == {"regions", "rows", "score"}
    assert isinstance(decoder, WritingDecoder)
    assert decoder.n_written == 0


def _noted(decoder: WritingDecoder):  # type: ignore[no-untyped-def]
    """The real engine's cache holds the prefix afterwards."""
    plain = decoder.prefill_each

    def prefill_each(shared: EmbeddingRows, tails: object, cancel: CancelCheck, n_prefix: int = 0) -> Prefilled:
        filled = plain(shared, tails, cancel, n_prefix)  # type: ignore[arg-type]
        decoder.prepared = shared[:n_prefix]
        return filled

    return prefill_each


def test_without_a_store_nothing_is_kept(tmp_path: Path) -> None:
    pipeline, _, decoder = opened(None)
    done = asked(pipeline)
    assert "keep" not in done.seconds
    pipeline.prepare(pipeline.encode(PHOTO))
    assert isinstance(decoder, WritingDecoder)
    assert decoder.n_written == 0
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_writes_no_prefix_out_keeps_the_features_alone(store: ImageStore) -> None:
    for n_encoded in (1, 0):
        pipeline, encoder, _ = opened(store, decoder=FakeDecoder())
        assert asked(pipeline).n_kept_rows == 0
        pipeline.prepare(pipeline.encode(PHOTO))
        assert encoder.n_encoded == n_encoded
        assert store.usage()[0] == 1


def test_another_photo_of_the_same_size_is_encoded(store: ImageStore) -> None:
    asked(opened(store)[0])
    pipeline, encoder, _ = opened(store)
    asked(pipeline, OTHER_PHOTO)
    assert encoder.n_encoded == 1
    np.testing.assert_array_equal(pipeline.encode(OTHER_PHOTO).features.pyramid[0], 200)
    np.testing.assert_array_equal(pipeline.encode(PHOTO).features.pyramid[0], 0)
    assert encoder.n_encoded == 1


class OtherEncoder(FakeEncoder):
    engine = "fake 2"


@pytest.mark.parametrize(
    "other",
    [
        {"bundle_id": "1" * 16},
        {"encoder": OtherEncoder()},
        {"settings": EngineSettings(vision_threads=7)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_features_of_other_making_are_not_taken(store: ImageStore, notes: list[str], other: dict[str, object]) -> None:
    asked(opened(store)[0])
    pipeline, encoder, _ = opened(store, **other)  # type: ignore[arg-type]
    pipeline.encode(PHOTO)
    assert encoder.n_encoded == 1
    assert notes == []


@pytest.mark.parametrize("what", ["processor_features", "usable_cores"])
def test_features_of_another_machine_are_not_taken(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    asked(opened(store)[0])
    monkeypatch.setattr(keeping, what, lambda: "97")
    pipeline, encoder, _ = opened(store)
    pipeline.encode(PHOTO)
    assert encoder.n_encoded == 1


@pytest.mark.parametrize("other", ["build", "bundle"])
def test_a_prefix_of_other_making_is_computed(store: ImageStore, other: str) -> None:
    """The fake's rows are the same for every bundle: only the label tells them apart."""
    asked(opened(store)[0])
    decoder = WritingDecoder("two" if other == "build" else "one")
    pipeline, _, _ = opened(store, decoder=decoder, bundle_id="1" * 16 if other == "bundle" else "0" * 16)
    assert asked(pipeline).n_kept_rows == 0
    assert (decoder.n_read, decoder.n_written) == (0, 1)


def test_a_prefix_that_the_engine_refuses_is_computed_and_replaced(store: ImageStore, notes: list[str]) -> None:
    asked(opened(store)[0])
    pipeline, _, decoder = opened(store, decoder=WritingDecoder(refuses=True))
    done = asked(pipeline)
    assert (done.n_kept_rows, done.answer) == (0, "a dog")
    assert isinstance(decoder, WritingDecoder)
    assert (decoder.n_read, decoder.n_written) == (1, 1)
    assert "does not take it" in notes[0]


def test_damaged_files_are_computed_again_and_replaced(store: ImageStore, notes: list[str], tmp_path: Path) -> None:
    before = asked(opened(store)[0])
    for path in (tmp_path / "store").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    pipeline, encoder, _ = opened(store)
    assert asked(pipeline).answer == before.answer
    assert encoder.n_encoded == 1
    assert len(notes) == 2
    pipeline, encoder, _ = opened(store)
    assert asked(pipeline).n_kept_rows == 5
    assert encoder.n_encoded == 0


def test_features_of_another_size_are_refused(store: ImageStore, notes: list[str]) -> None:
    """A file whose hash is right and whose content is not what the bundle promises."""
    pipeline, encoder, _ = opened(store)
    image = pipeline.encode(PHOTO)
    label = pipeline._keeper._features_label(image.key)
    assert store.put(label, [image.features.image_embeddings])
    pipeline.encode(PHOTO)
    assert encoder.n_encoded == 2
    assert "holds 32 bytes, not the 288" in notes[0]


def test_features_that_are_not_as_promised_are_not_kept(store: ImageStore) -> None:
    pipeline, _, _ = opened(store, encoder=FakeEncoder(n_image_rows=3))
    pipeline.encode(PHOTO)
    assert store.usage() == (0, 0)


def test_a_full_disk_costs_no_answer(
    store: ImageStore, notes: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    pipeline, _, _ = opened(store)
    assert asked(pipeline).answer == "a dog"
    assert pipeline.prepare(pipeline.encode(PHOTO)).n_kept == 5
    assert all("No space left on device" in note for note in notes)
    assert notes
    assert list((tmp_path / "store").iterdir()) == []


def test_an_answer_given_up_keeps_nothing_and_harms_nothing(store: ImageStore) -> None:
    pipeline, _, decoder = opened(store)
    events = pipeline.ask(pipeline.encode(PHOTO), "What is <region1>?", {1: BOX})
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert isinstance(decoder, WritingDecoder)
    assert decoder.n_written == 0
    asked(pipeline)
    assert decoder.n_written == 1
