"""docs/bundle.md says what the reader does: every field, and every range."""

import typing
from typing import Any, get_args, get_origin

import msgspec
import pytest

from gpt4roi_runtime.bundle import manifest as nouns
from tests.conftest import REPOSITORY

DOCUMENT = (REPOSITORY / "docs" / "bundle.md").read_text(encoding="utf-8")
STRUCTS = [
    noun
    for noun in vars(nouns).values()
    if isinstance(noun, type) and issubclass(noun, nouns.Noun) and noun is not nouns.Noun
]


def limits(annotation: Any) -> list[str]:
    """The ranges of a field, as the document writes them."""
    found = []
    if get_origin(annotation) is typing.Literal:
        return [" or ".join(f"`{choice}`" for choice in get_args(annotation))]
    if get_origin(annotation) is typing.Annotated:
        annotation, *metas = get_args(annotation)
        for meta in metas:
            assert isinstance(meta, msgspec.Meta)
            found.append(span(meta.ge, meta.le, ""))
            found.append(span(meta.min_length, meta.max_length, " characters" if annotation is str else " entries"))
    for inner in get_args(annotation):
        found += limits(inner)
    return list(dict.fromkeys(filter(None, found)))


def span(low: float | None, high: float | None, unit: str) -> str:
    match low, high:
        case None, None:
            return ""
        case None, _:
            return f"up to {number(high)}{unit}"
        case _, None:
            return f"{number(low)} or more{unit}"
        case _:
            return f"{number(low)} to {number(high)}{unit}"


def number(value: float | None) -> str:
    if isinstance(value, int) and value >= 1 << 16 and value & (value - 1) == 0:
        return f"2^{value.bit_length() - 1}"
    return f"{value:g}"


def row(struct: type, field: msgspec.structs.FieldInfo) -> str:
    """The line of the table of ranges that belongs to a field."""
    hints = typing.get_type_hints(struct, include_extras=True)
    needed = "needed" if field.required else "may be left out"
    ranges = "; ".join(limits(hints[field.name])) or "its own fields"
    return f"| `{struct.__name__}.{field.encode_name}` | {ranges} | {needed} |"


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_field_and_every_range_is_in_the_document(struct: type) -> None:
    for field in msgspec.structs.fields(struct):
        assert row(struct, field) in DOCUMENT


def test_the_table_of_ranges_names_no_other_field() -> None:
    rows = {row(struct, field) for struct in STRUCTS for field in msgspec.structs.fields(struct)}
    assert {line for line in DOCUMENT.splitlines() if line.startswith("| `") and "." in line.split("|")[1]} == rows
