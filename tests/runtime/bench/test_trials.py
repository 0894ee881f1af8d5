"""What every test does, on engines whose arithmetic can be followed, and on a tiny model."""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from gpt4roi_runtime.arrays import PixelValues
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.bench import language, memory, story, vision
from gpt4roi_runtime.bench.matrix import LanguageTest
from gpt4roi_runtime.bench.measure import Clock, NotMeasured, Trial
from gpt4roi_runtime.bench.vision import BenchPhoto, read_photo, some_boxes
from gpt4roi_runtime.geometry import normalise
from gpt4roi_runtime.llm.decoder import CancelCheck, Decoder, Prefilled
from gpt4roi_runtime.pipeline import Pipeline
from gpt4roi_runtime.vision.encoder import ImageFeatures
from tests.helpers.fakes import FakeDecoder, FakeEncoder
from tests.runtime.test_pipeline import fake_bundle


class Noting(FakeDecoder):
    """Notes how many rows were computed against how many there were, and keeps what it prepared."""

    def __init__(self, answer: str = "a dog") -> None:
        super().__init__(answer)
        self.prefills: list[tuple[int, int]] = []
        self.seen: list[bytes] = []

    def prefill(self, rows: np.ndarray, cancel: CancelCheck, n_prefix: int = 0) -> Prefilled:
        self.prefills.append((len(rows), n_prefix))
        self.seen.append(rows[n_prefix:].tobytes())
        return super().prefill(rows, cancel, n_prefix)


def made(trial: Trial) -> Clock:
    clock = Clock(None)
    trial.once(clock)
    return clock


def one(decoder: Decoder, n_prompt: int, n_gen: int, n_depth: int) -> Trial:
    (trial,) = language.as_trials(decoder, (LanguageTest(n_prompt, n_gen, n_depth),))
    return trial


class TestLanguage:
    def test_a_prompt_is_computed_anew_every_time(self) -> None:
        decoder = Noting()
        trial = one(decoder, 8, 0, 0)
        clocks = [made(trial) for _ in range(3)]
        assert decoder.prefills == [(8, 0)] * 3
        assert len(set(decoder.seen)) == 3
        assert [clock.n_items for clock in clocks] == [8] * 3
        assert all(clock.ns > 0 for clock in clocks)
        assert (trial.name, trial.n_prompt, trial.n_gen, trial.n_depth) == ("pp8", 8, 0, 0)

    def test_depth_is_prepared_outside_of_the_clock(self) -> None:
        decoder = Noting()
        trial = one(decoder, 8, 0, 16)
        made(trial)
        prepared = decoder.prepared
        made(trial)
        assert prepared is not None
        assert decoder.prepared is not None
        assert len(prepared) == 16
        assert np.array_equal(prepared, decoder.prepared)
        assert decoder.prefills == [(24, 16)] * 2

    @pytest.mark.parametrize(("n_depth", "prefill"), [(0, (1, 0)), (16, (16, 15))])
    def test_tokens_stand_behind_the_depth(self, n_depth: int, prefill: tuple[int, int]) -> None:
        decoder = Noting("x" * 100)
        clock = made(one(decoder, 0, 10, n_depth))
        assert decoder.prefills == [prefill]
        assert decoder.n_stepped == 11  # the first comes from the prompt's own logits, so it is not counted
        assert clock.n_items == 10

    def test_an_answer_that_ends_early_goes_on_behind_another_prompt(self) -> None:
        decoder = Noting("abcde")  # 4 evaluated tokens, and the one that ended it
        clock = made(one(decoder, 0, 12, 3))
        assert decoder.prefills == [(3, 2)] * 3
        assert len(set(decoder.seen)) == 3
        assert clock.n_items == 12

    def test_both_at_once(self) -> None:
        decoder = Noting("x" * 100)
        clock = made(one(decoder, 8, 4, 0))
        assert (decoder.prefills, decoder.n_stepped, clock.n_items) == ([(8, 0)], 5, 12)

    def test_a_model_that_says_nothing_cannot_be_measured(self) -> None:
        with pytest.raises(NotMeasured, match="tg4"):
            made(one(Noting(""), 0, 4, 0))


@pytest.fixture
def small(tiny: Path) -> Iterator[LlamaCppDecoder]:
    settings = LlamaCppSettings(
        n_threads=1, context_length=256, batch_size=64, ubatch_size=16, flash_attention="on", repack="on"
    )
    decoder = LlamaCppDecoder.load(tiny, inspect_gguf(tiny), settings)
    yield decoder
    decoder.close()


@pytest.mark.parametrize("sizes", [(40, 0, 0), (0, 20, 0), (40, 0, 100), (0, 20, 100), (30, 10, 50)])
def test_every_language_test_runs_on_a_real_engine(small: LlamaCppDecoder, sizes: tuple[int, int, int]) -> None:
    trial = one(small, *sizes)
    for _ in range(2):
        assert made(trial).n_items == sizes[0] + sizes[1]
    n_prompt, _, n_depth = sizes
    assert n_prompt + n_depth <= small.sequence_lengths()[0] <= sum(sizes) + 1


@pytest.fixture
def photo(sample_photo: Path) -> BenchPhoto:
    return read_photo(sample_photo)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 16, 100])
def test_boxes_are_regions_of_the_photo(n: int) -> None:
    boxes = some_boxes((600, 400), n)
    assert len(set(boxes)) == n
    assert normalise(dict(enumerate(boxes, start=1)), 600, 400).shape == (n, 4)


class TestVision:
    def trials(self, encoder: FakeEncoder, photo: BenchPhoto, n_regions: Sequence[int]) -> dict[str, Trial]:
        found = vision.as_trials(fake_bundle(), encoder, photo, tuple(n_regions))
        return {trial.name: trial for trial in found}

    def test_every_part_is_a_row(self, photo: BenchPhoto) -> None:
        encoder = FakeEncoder()
        trials = self.trials(encoder, photo, [1, 3])
        assert list(trials) == ["image decode", "preprocess", "encode", "regions1", "regions3"]
        counts = {name: made(trial).n_items for name, trial in trials.items()}
        assert counts == {"image decode": 1, "preprocess": 1, "encode": 1, "regions1": 1, "regions3": 3}
        assert encoder.n_encoded == 1
        assert trials["regions3"].n_regions == 3

    def test_regions_alone_encode_outside_of_the_clock(self, photo: BenchPhoto) -> None:
        encoder = FakeEncoder()
        trial = self.trials(encoder, photo, [2])["regions2"]
        made(trial)
        made(trial)
        assert encoder.n_encoded == 1

    def test_more_boxes_than_the_bundle_takes_are_left_out(self, photo: BenchPhoto) -> None:
        with pytest.raises(NotMeasured, match="3 boxes"):
            made(self.trials(FakeEncoder(), photo, [4])["regions4"])


class TestStory:
    def trials(self, decoder: FakeDecoder, photo: BenchPhoto, n_sequences: Sequence[int] = ()) -> dict[str, Trial]:
        pipeline = Pipeline(fake_bundle(), FakeEncoder(), decoder)
        return {trial.name: trial for trial in story.as_trials(pipeline, photo, tuple(n_sequences))}

    def test_a_kept_prefix_is_kept_and_a_cold_one_is_not(self, photo: BenchPhoto) -> None:
        trials = self.trials(FakeDecoder(), photo)
        assert made(trials["prefill cold"]).n_items > 0
        assert made(trials["prefill prefix hit"]).ns > 0
        with pytest.raises(NotMeasured, match="already"):  # to the fake, all images are alike
            made(trials["prefill cold"])

    def test_an_engine_that_keeps_nothing_has_no_hits(self, photo: BenchPhoto) -> None:
        class Forgetful(FakeDecoder):
            def prepare(self, prefix: np.ndarray, cancel: CancelCheck) -> Prefilled:
                return Prefilled(0, len(prefix))

        trials = self.trials(Forgetful(), photo)
        for name in ("prefill image hit", "prefill prefix hit"):
            with pytest.raises(NotMeasured, match=name):
                made(trials[name])

    def test_first_text_counts_the_encode_graph_where_the_image_is_new(
        self, photo: BenchPhoto, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ticks = count()
        slow = FakeEncoder()
        encode = slow.encode

        def slowly(pixels: PixelValues) -> ImageFeatures:
            for _ in range(1000):
                next(ticks)
            return encode(pixels)

        monkeypatch.setattr(slow, "encode", slowly)
        for module in ("timing", "pipeline"):
            monkeypatch.setattr(f"gpt4roi_runtime.{module}.perf_counter", lambda: float(next(ticks)))
        pipeline = Pipeline(fake_bundle(), slow, FakeDecoder("a long answer"))
        trials = {trial.name: trial for trial in story.as_trials(pipeline, photo, ())}
        opened = made(trials["ttft open"]).ns
        assert 0 < opened < 100 * 10**9
        assert made(trials["ttft cold"]).ns > opened + 1000 * 10**9

    def test_tokens_after_the_first_are_counted(self, photo: BenchPhoto) -> None:
        trials = self.trials(FakeDecoder("a long answer"), photo)
        assert made(trials["tpot"]).n_items == len("a long answer") - 1

    def test_silence_has_neither(self, photo: BenchPhoto) -> None:
        trials = self.trials(FakeDecoder(""), photo)
        for name in ("ttft cold", "ttft open", "tpot"):
            with pytest.raises(NotMeasured, match=name.split()[0]):
                made(trials[name])

    def test_captions_count_all_tokens_and_regions(self, photo: BenchPhoto) -> None:
        decoder = FakeDecoder("a dog")
        trials = self.trials(decoder, photo, [1, 3, 8])
        assert [made(trials[f"captions{n}"]).n_items for n in (1, 3)] == [5, 15]
        assert trials["captions3"].n_regions == 3
        assert decoder.groups == [1, 3]
        with pytest.raises(NotMeasured, match="4 questions side by side"):
            made(trials["captions8"])


def test_the_peak_of_memory_can_begin_anew() -> None:
    memory.begin_peak()
    before = memory.peak_bytes()
    held = np.ones(64 << 20, dtype=np.uint8)
    after = memory.peak_bytes()
    assert before is not None
    assert after is not None
    assert after - before > held.nbytes // 2
