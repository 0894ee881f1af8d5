import ast
import inspect
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import gpt4roi_runtime

SOURCE = Path(gpt4roi_runtime.__file__)
NAMES = gpt4roi_runtime.__all__


def type_checkers_see() -> Counter[tuple[str, str]]:
    """Home and name of every import under ``if TYPE_CHECKING``."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    return Counter(
        ((node.module or "").removeprefix("gpt4roi_runtime."), alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )


def test_type_checkers_and_the_interpreter_see_the_same_names() -> None:
    homes = Counter((home, name) for home, names in gpt4roi_runtime._HOMES.items() for name in names)
    assert type_checkers_see() == homes
    assert Counter(name for _, name in homes) == Counter(NAMES)


def test_names_are_sorted_and_listed() -> None:
    assert sorted(NAMES) == NAMES
    assert dir(gpt4roi_runtime) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_its_homes_own(name: str) -> None:
    home = import_module(f"gpt4roi_runtime.{gpt4roi_runtime._HOME_OF[name]}")
    assert getattr(gpt4roi_runtime, name) is getattr(home, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Boxx'"):
        _ = gpt4roi_runtime.Boxx


def _own_docstring(thing: object) -> str:
    written = inspect.getdoc(thing) or ""
    made_by_dataclass = isinstance(thing, type) and written.startswith(f"{thing.__name__}(")
    return "" if made_by_dataclass else written


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Event"])  # an alias has no docstring of its own
def test_each_name_and_its_public_members_say_what_they_are(name: str) -> None:
    thing = getattr(gpt4roi_runtime, name)
    assert _own_docstring(thing), name
    if isinstance(thing, type):
        for member_name, member in vars(thing).items():
            if not member_name.startswith("_") and (callable(member) or isinstance(member, property | classmethod)):
                assert _own_docstring(member), f"{name}.{member_name}"
