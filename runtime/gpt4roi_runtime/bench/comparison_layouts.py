"""A comparison as text: a table for people, CSV or JSON; prints nothing."""

import csv
import io
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from gpt4roi_runtime.bench.compare import SETTINGS, Comparison, Ratio, Single

Layout = Literal["md", "csv", "json"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
_FIGURES = ("unit", "mean_a", "mean_b", "n_a", "n_b", "ratio", "uncertainty", "verdict")


def as_text(found: Comparison, layout: Layout) -> str:
    """All of it."""
    match layout:
        case "md":
            return _markdown(found)
        case "csv":
            return _csv(found)
        case "json":
            return msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"


def _markdown(found: Comparison) -> str:
    """Settings are shown where rows differ in them."""
    shown = [name for name in SETTINGS if len({ratio.settings.get(name) for ratio in found.ratios} - {None}) > 1]
    header = ["test", *shown, "A", "B", "B / A", "± 95 %", ""]
    lines = [
        [ratio.test, *(str(ratio.settings.get(name, "")) for name in shown), *_figures(ratio)] for ratio in found.ratios
    ]
    text = _table(header, lines) if lines else "no test is in both\n"
    for side, singles in (("A", found.only_a), ("B", found.only_b)):
        if singles:
            text += f"\nonly in {side}:\n" + "".join(f"- {_single(one)}\n" for one in singles)
    return text


def _figures(ratio: Ratio) -> list[str]:
    uncertainty = "?" if ratio.uncertainty is None else f"{ratio.uncertainty:.3f}"
    return [_value(ratio.mean_a, ratio), _value(ratio.mean_b, ratio), f"{ratio.ratio:.3f}", uncertainty, ratio.verdict]


def _value(value: float, ratio: Ratio) -> str:
    return f"{value / (1 << 20):.1f} MiB" if ratio.unit == "bytes" else f"{value:.2f}/s"


def _single(one: Single) -> str:
    return " ".join(f"{one.test} ({', '.join(f'{name} {value}' for name, value in one.settings.items())})".split())


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns stand straight in a terminal too."""
    escaped = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in (header, *lines)]
    widths = [max(map(len, column)) for column in zip(*escaped, strict=True)]
    rule = [f"{'-' * max(width - 1, 1)}{'-' if index == 0 else ':'}" for index, width in enumerate(widths)]
    padded = [
        [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in (escaped[0], rule, *escaped[1:])
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)


def _csv(found: Comparison) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["test", *SETTINGS, "found_in", *_FIGURES])
    for ratio in found.ratios:
        settings = [ratio.settings.get(name) for name in SETTINGS]
        writer.writerow([ratio.test, *settings, "both", *(getattr(ratio, name) for name in _FIGURES)])
    for side, singles in (("A", found.only_a), ("B", found.only_b)):
        for one in singles:
            writer.writerow([one.test, *(one.settings.get(name) for name in SETTINGS), side, *[None] * len(_FIGURES)])
    return text.getvalue()
