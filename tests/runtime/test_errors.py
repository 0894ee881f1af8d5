import inspect
import re

import pytest

from gpt4roi_runtime import errors
from gpt4roi_runtime.errors import Cancelled, Gpt4RoiError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_one_of_ours_and_says_when(kind: type[Exception]) -> None:
    assert issubclass(kind, Gpt4RoiError)
    assert (kind.__doc__ or "").strip()


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not Cancelled])
def test_an_error_shows_the_problem_and_below_it_the_advice(kind: type[Gpt4RoiError]) -> None:
    error = kind("box 1,2,1,4 has no area", "Give another.")
    assert (error.problem, error.advice) == ("box 1,2,1,4 has no area", "Give another.")
    assert str(error) == "box 1,2,1,4 has no area\nGive another."


def test_an_error_without_advice_is_one_line() -> None:
    assert str(Gpt4RoiError("gone")) == "gone"


def test_cancelled_needs_no_words() -> None:
    assert str(Cancelled()) == "cancelled"
    assert Cancelled().advice == ""


def test_the_tree_in_the_modules_docstring_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ((?:\|   |    )*)(?:[|`]-- )?(\w+)(?:\s{2,}|$)", line)
        if found is None or not hasattr(errors, found[2]):
            continue
        depth = len(found[1]) // 4 + ("-- " in line)
        parents[depth:] = [found[2]]
        drawn[found[2]] = parents[depth - 1] if depth else "Exception"
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES}
