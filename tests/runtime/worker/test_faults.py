"""Errors and ends of another process, in words."""

import inspect

import pytest

from gpt4roi_runtime import errors
from gpt4roi_runtime.errors import Cancelled, EngineError, Gpt4RoiError, QuestionError
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.faults import death, error_of, failed, how_it_ended

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind is not Cancelled]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_comes_out_as_it_went_in(kind: type[Gpt4RoiError]) -> None:
    error = error_of(failed(3, kind("box 1 is bad", "Give another.")))
    assert type(error) is kind
    assert (error.problem, error.advice) == ("box 1 is bad", "Give another.")


def test_an_error_of_somebody_else_goes_as_the_nearest_of_ours() -> None:
    class OddQuestionError(QuestionError):
        pass

    class EngineError(Gpt4RoiError):  # another one of a known name
        pass

    assert failed(3, OddQuestionError("odd")) == m.Failed(3, "odd", "", "QuestionError")
    assert failed(3, EngineError("odd")) == m.Failed(3, "odd", "", "Gpt4RoiError")


@pytest.mark.parametrize("name", ["SystemExit", "Any", "vars", "", "Cancelled"])
def test_an_unknown_name_is_the_root_of_the_tree(name: str) -> None:
    assert type(error_of(m.Failed(3, "odd", "", name))) is Gpt4RoiError


@pytest.mark.parametrize(
    ("died", "words"),
    [
        (m.Died(0, -11, ("stack",)), "was ended by signal 11 (SIGSEGV)"),
        (m.Died(0, -9), "was ended by signal 9 (SIGKILL, perhaps for want of memory)"),
        (m.Died(0, -250), "was ended by signal 250 (of the system's own)"),
        (m.Died(0, 0), "ended with exit status 0"),
        (m.Died(0, 1, ("Traceback", "ImportError: no")), "ended with exit status 1: ImportError: no"),
        (m.Died(0, -9, ("x",), "it went on"), "was ended because it went on"),
        (m.Died(0, 0xC0000005), "ended with exit status 0xc0000005"),
    ],
)
def test_how_it_ended(died: m.Died, words: str) -> None:
    assert how_it_ended(died) == words


def test_a_death_is_an_engines_error_and_keeps_the_last_words() -> None:
    error = death(m.Died(0, -6, ("GGML_ASSERT", "stack")), "answering")
    assert isinstance(error, EngineError)
    assert error.problem == "the model's process was ended by signal 6 (SIGABRT) while answering"
    assert "restarts by itself" in error.advice
    assert error.last_words == ("GGML_ASSERT", "stack")
