"""A pipeline in a process of its own is a pipeline, whatever becomes of the process."""

import gc
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from gpt4roi_runtime.errors import (
    BundleError,
    Cancelled,
    ContextOverflowError,
    EngineError,
    Gpt4RoiError,
    ImageError,
    InputError,
    QuestionError,
    RegionError,
    SettingsError,
    WorkerDiedError,
)
from gpt4roi_runtime.events import Done, Event, RegionAnswer, TextDelta
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.llm.decoder import Prefilled, Sampling
from gpt4roi_runtime.pipeline import Pipeline
from gpt4roi_runtime.prompt import Turn
from gpt4roi_runtime.worker.client import WorkerImage, WorkerPipeline
from tests.helpers.bundles import write_fake_bundle
from tests.runtime.worker.conftest import COMMAND, PATIENCE_S, photo
from tests.runtime.worker.fake_child import BLACK, WHITE, pipeline_of

BOX, OTHER = Box(1, 2, 11, 12), Box(0, 0, 30, 20)


@pytest.fixture
def image(worker: WorkerPipeline) -> WorkerImage:
    return worker.encode(photo())


def answer(
    pipeline: WorkerPipeline, image: WorkerImage, question: str = "what?", allowed: Sequence[str] | None = None
) -> str:
    *_, done = pipeline.ask(image, question, {}, allowed=allowed)
    assert isinstance(done, Done)
    return done.answer


def timeless(events: Iterator[Event]) -> list[Event]:
    return [replace(event, seconds={}) if isinstance(event, Done) else event for event in events]


def n_starts(folder: Path) -> int:
    return len((folder / "starts").read_text().splitlines())


def kill(worker: WorkerPipeline) -> None:
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)


def wait_for_end(process: psutil.Process) -> None:
    """Of somebody else's child, which may stay a zombie where nobody adopts it."""
    deadline = time.monotonic() + PATIENCE_S
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)


class TestTheFaceOfAPipeline:
    @pytest.fixture
    def here(self, folder: Path) -> Iterator[Pipeline]:
        with pipeline_of(folder) as pipeline:
            yield pipeline

    def test_events_are_those_of_the_same_process(self, lasting: WorkerPipeline, here: Pipeline) -> None:
        history = (Turn("What is <region1>?", "A cup."),)
        regions = {1: BOX, 7: OTHER}
        sampling = Sampling(temperature=0.5, seed=3)
        near = here.ask(here.encode(photo()), "And plain <region7>?", regions, history=history, sampling=sampling)
        far = lasting.ask(lasting.encode(photo()), "And plain <region7>?", regions, history=history, sampling=sampling)
        assert timeless(far) == timeless(near)

    def test_an_answer_tells_the_seconds_of_its_stages(self, lasting: WorkerPipeline) -> None:
        image = lasting.encode(photo())
        *_, done = lasting.ask(image, "what?", {}, max_tokens=12)
        assert isinstance(done, Done)
        assert (done.n_answer_tokens, done.stop_reason) == (12, "max_tokens")
        assert {"regions", "rows", "prefill", "decode", "first_text"} == set(done.seconds)
        assert {"preprocess", "encode"} == set(image.seconds)

    def test_many_boxes(self, worker: WorkerPipeline, image: WorkerImage, here: Pipeline) -> None:
        def untimed(answers: Iterator[RegionAnswer]) -> list[RegionAnswer]:
            return [replace(each, done=replace(each.done, seconds={})) for each in answers]

        boxes = [BOX, OTHER, BOX, OTHER, BOX, OTHER]
        near = here.ask_each(here.encode(photo()), "what is <region1>?", boxes)
        far = untimed(worker.ask_each(image, "what is <region1>?", boxes))
        assert far == untimed(near)
        assert all(each.box is boxes[each.index] for each in far)
        assert list(worker.ask_each(image, "what is <region1>?", [])) == []

    def test_choosing(self, lasting: WorkerPipeline, here: Pipeline) -> None:
        history = (Turn("What is <region1>?", "A cup."),)
        order = ("And <region7>?", {1: BOX, 7: OTHER}, ["a cup", "a", " tea é "])
        near = here.choose(here.encode(photo()), *order, lead="It is", history=history)
        far = lasting.choose(lasting.encode(photo()), *order, lead="It is", history=history)
        assert replace(far, seconds={}) == replace(near, seconds={})
        assert set(far.seconds) == set(near.seconds)
        assert (far.best, far.ranking) == (near.best, near.ranking)

    def test_tokens_and_their_probabilities(self, lasting: WorkerPipeline, here: Pipeline) -> None:
        image = lasting.encode(photo())
        near = timeless(here.ask(here.encode(photo()), "plain é?", {}, n_top=3))
        far = timeless(lasting.ask(image, "plain é?", {}, n_top=3))
        assert far == near
        assert isinstance(far[-1], Done)
        assert "é".encode()[:1] in {token.text_bytes for token in far[-1].tokens}
        *_, plain = lasting.ask(image, "plain é?", {})
        assert isinstance(plain, Done)
        assert plain.tokens == ()

    def test_a_list_of_answers_arrives(self, lasting: WorkerPipeline) -> None:
        image = lasting.encode(photo())
        assert answer(lasting, image, "allowed?", allowed=["yes ", "no"]).startswith("('yes', 'no')")
        assert answer(lasting, image, "allowed?").startswith("None")

    def test_preparing(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        filled = worker.prepare(image)
        assert filled == Prefilled(0, filled.n_computed)
        *_, done = worker.ask(image, "what?", {})
        assert isinstance(done, Done)
        assert done.n_kept_rows == filled.n_computed > 0

    def test_an_image_is_as_the_pipeline_has_it(self, lasting: WorkerPipeline, here: Pipeline) -> None:
        image = lasting.encode(photo())
        near = here.encode(photo())
        assert (image.width_px, image.height_px, image.bundle_id, image.key) == (30, 20, near.bundle_id, near.key)

    def test_numbers_of_numpy_are_numbers(self, lasting: WorkerPipeline) -> None:
        image = lasting.encode(photo())
        box = Box(*np.array([1, 2, 11, 12], dtype=np.float64))
        *_, done = lasting.ask(image, "<region1>?", {1: box})
        assert isinstance(done, Done)

    def test_a_relative_folder(self, folder: Path, importable: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder.parent)
        with WorkerPipeline.open(Path(folder.name), command=COMMAND) as worker:
            assert answer(worker, worker.encode(photo())).startswith("what?")

    @pytest.mark.parametrize(
        ("kind", "ask"),
        [
            (QuestionError, lambda p, i: p.ask(i, "  ", {})),
            (QuestionError, lambda p, i: p.ask(i, "a \ud800?", {})),
            (QuestionError, lambda p, i: p.ask_each(i, "###", [BOX])),
            (RegionError, lambda p, i: p.ask(i, "<region1>?", {})),
            (RegionError, lambda p, i: p.ask(i, "<region1>?", {1: Box(0, 0, 31, 20)})),
            (SettingsError, lambda p, i: p.ask(i, "what?", {}, max_tokens=0)),
            (SettingsError, lambda p, i: p.ask(i, "what?", {}, n_top=21)),
            (QuestionError, lambda p, i: p.ask(i, "what?", {}, allowed=[])),
            (QuestionError, lambda p, i: p.ask(i, "what?", {}, allowed="yes,no")),
            (QuestionError, lambda p, i: p.choose(i, "what?", {}, "yes,no")),
            (QuestionError, lambda p, i: p.choose(i, "what?", {}, ["yes", " yes"])),
            (QuestionError, lambda p, i: p.choose(i, "what?", {}, ["yes"], lead="###")),
            (RegionError, lambda p, i: p.choose(i, "what?", {1: BOX}, ["yes"])),
            (BundleError, lambda p, i: p.choose(replace(i, bundle_id="f" * 16), "what?", {}, ["yes"])),
            (ContextOverflowError, lambda p, i: p.ask(i, "what?" * 400, {})),
            (ContextOverflowError, lambda p, i: p.choose(i, "what?" * 400, {}, ["yes"])),
            (BundleError, lambda p, i: p.ask(replace(i, bundle_id="f" * 16), "what?", {})),
            (BundleError, lambda p, i: p.prepare(replace(i, bundle_id="f" * 16))),
            (BundleError, lambda p, _: p.propose(photo())),
            (SettingsError, lambda p, _: p.propose(photo(), threshold=2.0)),
        ],
    )
    def test_errors_are_those_of_the_same_process(
        self, lasting: WorkerPipeline, here: Pipeline, kind: type[Gpt4RoiError], ask: Callable[[object, object], object]
    ) -> None:
        with pytest.raises(kind) as near:
            ask(here, here.encode(photo()))
        image = lasting.encode(photo())
        with pytest.raises(kind) as far:
            ask(lasting, image)
        assert type(far.value) is type(near.value) is kind
        assert far.value.advice == near.value.advice
        assert far.value.problem.partition(" /")[0] == near.value.problem.partition(" /")[0]  # up to a path
        assert answer(lasting, image).startswith("what?")

    @pytest.mark.parametrize(
        ("question", "kind", "words"),
        [("fail", QuestionError, r"no\nSay yes\."), ("bug", Gpt4RoiError, "unexpected KeyError")],
    )
    def test_an_error_and_a_bug_in_the_midst(
        self, lasting: WorkerPipeline, question: str, kind: type[Gpt4RoiError], words: str
    ) -> None:
        image = lasting.encode(photo())
        with pytest.raises(kind, match=words):
            answer(lasting, image, question)
        assert answer(lasting, image).startswith("what?")

    @pytest.mark.parametrize(
        "value", [photo().astype(np.float32), photo()[:, :, 0], photo()[:0], np.zeros((2, 2, 4), dtype=np.uint8)]
    )
    def test_what_is_no_photo_is_not_sent(self, lasting: WorkerPipeline, value: np.ndarray) -> None:
        for call in (WorkerPipeline.encode, WorkerPipeline.propose):
            with pytest.raises(ImageError, match="is not a photo"):
                getattr(call, "__wrapped__", call)(lasting, value)  # past the tests' own check of shapes

    def test_a_question_that_fits_no_message(self, lasting: WorkerPipeline) -> None:
        image = lasting.encode(photo())
        with pytest.raises(InputError, match="the question takes"):
            lasting.ask(image, "x" * (17 << 20), {})
        with pytest.raises(InputError, match="cannot be sent"):
            lasting.ask(image, "what?", {}, max_tokens=10**30)
        assert answer(lasting, image).startswith("what?")


class TestOpening:
    def test_a_folder_that_is_no_bundle_starts_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError):
            WorkerPipeline.open(tmp_path, command=("/nonexistent/python",))

    def test_a_command_that_is_not_there(self, folder: Path) -> None:
        with pytest.raises(EngineError, match="cannot be started"):
            WorkerPipeline.open(folder, command=("/nonexistent/python",))

    def test_a_death_at_the_start_is_told_with_its_words(self, folder: Path, importable: None) -> None:
        (folder / "dies_at_start").touch()
        with pytest.raises(WorkerDiedError, match="exit status 4: no luck at all while loading the model") as error:
            WorkerPipeline.open(folder, command=COMMAND)
        assert error.value.last_words == ("no luck at all",)

    def test_a_module_that_is_not_there(self, folder: Path) -> None:
        with pytest.raises(WorkerDiedError, match="No module named nothing_of_ours"):
            WorkerPipeline.open(folder, command=(sys.executable, "-m", "nothing_of_ours"))


class TestDeath:
    def test_between_two_questions_nobody_notices(
        self, worker: WorkerPipeline, image: WorkerImage, folder: Path
    ) -> None:
        assert answer(worker, image).startswith("what?|51|1|")
        kill(worker)
        assert answer(worker, image).startswith("what?|51|1|")
        assert n_starts(folder) == 2

    def test_in_the_midst_of_an_answer(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        events = worker.ask(image, "endless", {})
        assert next(events) == TextDelta("word")
        kill(worker)
        with pytest.raises(WorkerDiedError, match=r"ended by signal 9 \(SIGKILL, perhaps .* while answering"):
            for _ in events:
                pass
        assert list(events) == []
        assert answer(worker, image).startswith("what?|51|")

    def test_by_a_crash_of_its_own(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        with pytest.raises(WorkerDiedError, match=r"signal 11 \(SIGSEGV\) while answering") as error:
            answer(worker, image, "segfault")
        assert any("Segmentation fault" in line for line in error.value.last_words)
        assert answer(worker, image).startswith("what?|51|")

    def test_in_the_midst_of_a_word(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        with pytest.raises(WorkerDiedError, match=r"signal 11 \(SIGSEGV\) while answering"):
            answer(worker, image, "half a word")
        assert answer(worker, image).startswith("what?|51|")

    def test_by_leaving(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        with pytest.raises(WorkerDiedError, match="exit status 3: out of luck while answering"):
            answer(worker, image, "exit")

    def test_while_it_encodes(self, worker: WorkerPipeline, image: WorkerImage, folder: Path) -> None:
        with pytest.raises(WorkerDiedError, match="while encoding the photo"):
            worker.encode(photo(WHITE))
        assert n_starts(folder) == 1  # the photo that killed one process is not given to another unasked
        assert answer(worker, image).startswith("what?|51|")

    def test_while_it_prepares(self, worker: WorkerPipeline) -> None:
        def kill_once_begun() -> bool:
            connection = worker._line._connection
            assert connection is not None
            if any(call.begun for call in connection._calls.values()):
                kill(worker)
            return False

        image = worker.encode(photo(BLACK))
        with pytest.raises(WorkerDiedError, match="while preparing for questions"):
            worker.prepare(image, cancel=kill_once_begun)

    def test_a_question_that_waits_outlives_the_one_that_kills(
        self, worker: WorkerPipeline, image: WorkerImage
    ) -> None:
        events = worker.ask(image, "endless", {})
        next(events)
        answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        waiting = threading.Thread(target=lambda: answers.put(answer(worker, image)))
        waiting.start()
        kill(worker)
        assert answers.get(timeout=PATIENCE_S).startswith("what?|51|")
        waiting.join()
        with pytest.raises(WorkerDiedError):
            list(events)

    def test_again_and_again_at_the_start(self, worker: WorkerPipeline, image: WorkerImage, folder: Path) -> None:
        (folder / "dies_at_start").touch()
        kill(worker)
        for _ in range(3):
            with pytest.raises(WorkerDiedError, match="while loading the model"):
                answer(worker, image)
        for _ in range(2):
            with pytest.raises(WorkerDiedError, match=r"3 times in a row .* exit status 4: no luck"):
                answer(worker, image)
        assert n_starts(folder) == 4

    def test_a_start_that_succeeds_forgives_those_before(
        self, worker: WorkerPipeline, image: WorkerImage, folder: Path
    ) -> None:
        for _ in range(2):
            (folder / "dies_at_start").touch()
            kill(worker)
            for _ in range(2):
                with pytest.raises(WorkerDiedError, match="while loading the model"):
                    answer(worker, image)
            (folder / "dies_at_start").unlink()
            assert answer(worker, image).startswith("what?|51|")

    def test_garbage_instead_of_an_event(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        with pytest.raises(WorkerDiedError, match=r"was ended because what it sent is no message: .* while answering"):
            answer(worker, image, "garbage")
        assert answer(worker, image).startswith("what?|51|")

    def test_by_closing_the_pipe_and_going_on(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        with pytest.raises(WorkerDiedError, match="was ended because it had closed its pipe and did not leave"):
            answer(worker, image, "silent")
        assert answer(worker, image).startswith("what?|51|")

    def test_the_bundle_was_replaced_meanwhile(self, worker: WorkerPipeline, image: WorkerImage, folder: Path) -> None:
        write_fake_bundle(folder, {"llm.gguf": b"another"})
        kill(worker)
        with pytest.raises(BundleError, match="was replaced"):
            answer(worker, image)


class TestImages:
    def test_one_that_was_dropped_is_encoded_again(self, folder: Path, importable: None) -> None:
        with WorkerPipeline.open(folder, images_bytes=1, command=COMMAND) as worker:
            first, second = worker.encode(photo(51)), worker.encode(photo(102))
            assert answer(worker, second).startswith("what?|102|2|")
            assert answer(worker, first).startswith("what?|51|3|")
            assert answer(worker, first).startswith("what?|51|3|")
            assert answer(worker, second).startswith("what?|102|4|")

    def test_several_are_kept(self, worker: WorkerPipeline) -> None:
        images = [worker.encode(photo(value)) for value in (51, 102, 153)]
        said = [answer(worker, image).split("|")[1:3] for image in images]
        assert said == [["51", "3"], ["102", "3"], ["153", "3"]]

    def test_the_callers_array_may_change_afterwards(self, worker: WorkerPipeline) -> None:
        pixels = photo(51)
        image = worker.encode(pixels)
        pixels[:] = 102
        kill(worker)
        assert answer(worker, image).startswith("what?|51|")

    def test_a_part_of_a_photo(self, lasting: WorkerPipeline) -> None:
        pixels = photo(102)
        pixels[5:15, 5:25] = 51
        assert answer(lasting, lasting.encode(pixels[5:15, 5:25])).startswith("what?|51|")

    def test_an_image_of_another_process(self, worker: WorkerPipeline, image: WorkerImage, folder: Path) -> None:
        with WorkerPipeline.open(folder, command=COMMAND) as other:
            other.encode(photo(102))
            assert answer(other, image).startswith("what?|51|2|")


class TestCancelling:
    @pytest.fixture
    def worker(self, lasting: WorkerPipeline) -> WorkerPipeline:
        return lasting

    @pytest.mark.parametrize("question", ["endless", "slow prefill"])
    @pytest.mark.parametrize("way", ["close", "drop"])
    def test_an_answer_that_nobody_waits_for(
        self, worker: WorkerPipeline, image: WorkerImage, question: str, way: str
    ) -> None:
        events = worker.ask(image, question, {})
        if way == "close":
            events.close()  # type: ignore[attr-defined]
            assert list(events) == []
        del events
        gc.collect()
        assert answer(worker, image).startswith("what?|51|")  # it would never come

    @pytest.mark.parametrize("question", ["endless", "slow prefill"])
    def test_by_the_callers_word(self, worker: WorkerPipeline, image: WorkerImage, question: str) -> None:
        asked = itertools.count()
        events = worker.ask(image, question, {}, cancel=lambda: next(asked) > 5)
        with pytest.raises(Cancelled):
            list(events)
        assert answer(worker, image).startswith("what?|51|")

    def test_a_choice(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        asked = itertools.count()
        with pytest.raises(Cancelled):
            worker.choose(image, "slow prefill", {}, ["a", "b"], cancel=lambda: next(asked) > 5)
        assert answer(worker, image).startswith("what?|51|")

    def test_a_preparation(self, worker: WorkerPipeline) -> None:
        image, asked = worker.encode(photo(BLACK)), itertools.count()
        with pytest.raises(Cancelled):
            worker.prepare(image, cancel=lambda: next(asked) > 3)
        assert answer(worker, image).startswith("what?|0|")

    def test_a_question_that_waits(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        first = worker.ask(image, "endless", {})
        asked = itertools.count()
        with pytest.raises(Cancelled):
            worker.ask(image, "what?", {}, cancel=lambda: next(asked) > 3)
        assert next(first) == TextDelta("word")

    def test_by_ctrl_c(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        # Set anew: a library that another test loaded may have put its own handler below Python's.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        events = worker.ask(image, "slow prefill", {})

        def interrupted() -> None:
            threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
            next(events)

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        events.close()  # type: ignore[attr-defined] # does nothing any more
        assert answer(worker, image).startswith("what?|51|")

    @pytest.mark.skipif(os.name != "posix", reason="sessions are of POSIX")
    def test_a_terminals_ctrl_c_does_not_reach_the_process(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        assert worker.pid is not None
        assert os.getsid(worker.pid) != os.getsid(0)
        os.kill(worker.pid, signal.SIGINT)
        assert answer(worker, image).startswith("what?|51|")

    def test_a_cancel_that_fails(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        def cancel() -> bool:
            raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            worker.ask(image, "endless", {}, cancel=cancel)
        assert answer(worker, image).startswith("what?|51|")


class TestTwoAtOnce:
    @pytest.fixture
    def worker(self, lasting: WorkerPipeline) -> WorkerPipeline:
        return lasting

    def test_from_threads(self, worker: WorkerPipeline) -> None:
        answers: list[tuple[str, str]] = []

        def ask(value: int) -> None:
            image = worker.encode(photo(value))
            answers.extend((f"{number}?|{value}|", answer(worker, image, f"{number}?")) for number in range(10))

        threads = [threading.Thread(target=ask, args=(value,)) for value in (51, 102, 153)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert len(answers) == 30
        assert all(said.startswith(expected) for expected, said in answers)
        assert not any(thread.is_alive() for thread in threads)

    def test_from_one_thread(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        first, second = worker.ask(image, "first", {}), worker.ask(image, "second", {})
        (*_, later), (*_, earlier) = second, first
        assert isinstance(earlier, Done)
        assert isinstance(later, Done)
        assert earlier.answer.startswith("first|51")
        assert later.answer.startswith("second|51")


class TestTheEnd:
    def test_closing_leaves_no_process(self, worker: WorkerPipeline, image: WorkerImage) -> None:
        pid = worker.pid
        assert pid is not None
        worker.close()
        worker.close()
        assert not psutil.pid_exists(pid)
        assert worker.pid is None
        with pytest.raises(EngineError, match="is closed"):
            answer(worker, image)

    @pytest.mark.parametrize("question", ["endless", "slow prefill"])
    def test_closing_wakes_who_waits(self, worker: WorkerPipeline, image: WorkerImage, question: str) -> None:
        begun, ends = threading.Event(), queue.SimpleQueue[Exception]()

        def ask() -> None:
            events = worker.ask(image, question, {})
            begun.set()
            try:
                for _ in events:
                    pass
            except Gpt4RoiError as error:
                ends.put(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert begun.wait(PATIENCE_S)
        worker.close()
        assert "is closed" in str(ends.get(timeout=PATIENCE_S))
        thread.join(PATIENCE_S)

    def test_a_forgotten_one_ends_its_process(self, folder: Path, importable: None) -> None:
        worker = WorkerPipeline.open(folder, command=COMMAND)
        image = worker.encode(photo())
        assert answer(worker, image)
        pid = worker.pid
        assert pid is not None
        del worker
        gc.collect()
        assert not psutil.pid_exists(pid)

    def test_an_answer_keeps_its_process(self, folder: Path, importable: None) -> None:
        worker = WorkerPipeline.open(folder, command=COMMAND)
        events = worker.ask(worker.encode(photo()), "what?", {})
        pid = worker.pid
        assert pid is not None
        del worker
        gc.collect()
        *_, done = events
        assert isinstance(done, Done)
        del events
        gc.collect()
        assert not psutil.pid_exists(pid)

    def test_threads_end_too(self, folder: Path, importable: None) -> None:
        before = set(threading.enumerate())
        with WorkerPipeline.open(folder, command=COMMAND) as worker:
            kill(worker)
            worker.encode(photo())
        assert set(threading.enumerate()) <= before

    @pytest.mark.parametrize("end", ["leave", "killed"])
    def test_the_caller_ends(self, folder: Path, importable: None, end: str) -> None:
        code = (
            "import json, sys\n"
            "from pathlib import Path\n"
            "from gpt4roi_runtime.worker.client import WorkerPipeline\n"
            "from tests.runtime.worker.conftest import COMMAND, photo\n"
            "worker = WorkerPipeline.open(Path(sys.argv[1]), command=COMMAND)\n"
            "events = worker.ask(worker.encode(photo()), 'endless', {})\n"
            "next(events)\n"
            "print(json.dumps(worker.pid), flush=True)\n"
            "sys.stdin.readline()\n"
        )
        caller = subprocess.Popen(
            [sys.executable, "-c", code, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with caller:
            assert caller.stdout is not None
            worker = psutil.Process(json.loads(caller.stdout.readline()))
            if end == "killed":
                caller.kill()
            _, errors = caller.communicate(timeout=PATIENCE_S)
        assert errors == b""
        wait_for_end(worker)
