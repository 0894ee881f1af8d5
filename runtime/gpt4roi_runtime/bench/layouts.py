"""Rows as text in llama-bench's five forms, piece by piece as they come; prints nothing."""

import csv
import io
import types
import typing
from collections.abc import Iterable
from typing import Literal, Protocol, runtime_checkable

import msgspec

from gpt4roi_runtime.bench.rows import SAMPLES, Row

Layout = Literal["md", "csv", "json", "jsonl", "sql"]
LAYOUTS: tuple[Layout, ...] = typing.get_args(Layout)
TABLE = "gpt4roi_bench"
_FLAT = tuple(name for name in Row.__struct_fields__ if name not in SAMPLES)
_GIB = 1 << 30


@runtime_checkable
class Writer(Protocol):
    """Text of rows that come one after another."""

    def begin(self) -> str:
        """What stands before the first row."""
        ...

    def row(self, row: Row) -> str:
        """One row."""
        ...

    def end(self) -> str:
        """What stands behind the last; also where fewer came than were meant to."""
        ...


def writer_of(layout: Layout, shown: Iterable[str] = ()) -> Writer:
    """The writer of a layout; ``shown`` are fields of settings that the table for people has columns for."""
    match layout:
        case "md":
            return _Markdown(tuple(shown))
        case "csv":
            return _Csv()
        case "json":
            return _Json()
        case "jsonl":
            return _JsonLines()
        case "sql":
            return _Sql()


class _Json:
    def __init__(self) -> None:
        self._n_rows = 0

    def begin(self) -> str:
        return "["

    def row(self, row: Row) -> str:
        self._n_rows += 1
        text = msgspec.json.format(msgspec.json.encode(row), indent=2).decode()
        return f"{'' if self._n_rows == 1 else ','}\n{text}"

    def end(self) -> str:
        return "\n]\n"


class _JsonLines:
    def begin(self) -> str:
        return ""

    def row(self, row: Row) -> str:
        return msgspec.json.encode(row).decode() + "\n"

    def end(self) -> str:
        return ""


class _Csv:
    def begin(self) -> str:
        return _csv_line(_FLAT)

    def row(self, row: Row) -> str:
        return _csv_line([_flat(getattr(row, name)) for name in _FLAT])

    def end(self) -> str:
        return ""


def _csv_line(values: Iterable[object]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(values)
    return text.getvalue()


def _flat(value: object) -> object:
    """True and false as llama-bench writes them outside of JSON."""
    return int(value) if isinstance(value, bool) else value


class _Sql:
    def begin(self) -> str:
        hints = typing.get_type_hints(Row)
        columns = ",\n".join(f"  {name} {_sql_type(hints[name])}" for name in _FLAT)
        return f"CREATE TABLE IF NOT EXISTS {TABLE} (\n{columns}\n);\n\n"

    def row(self, row: Row) -> str:
        values = ", ".join(_sql_value(getattr(row, name)) for name in _FLAT)
        return f"INSERT INTO {TABLE} ({', '.join(_FLAT)}) VALUES ({values});\n"  # noqa: S608 - text, not sent anywhere

    def end(self) -> str:
        return ""


def _sql_type(hint: object) -> str:
    kinds = set(typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)) - {type(None)}
    if kinds <= {int, bool}:
        return "INTEGER"
    return "REAL" if kinds == {float} else "TEXT"


def _sql_value(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int | float):
        return repr(_flat(value))
    text = str(value).replace("\0", "").replace("'", "''")  # no literal can hold a NUL
    return f"'{text}'"


class _Markdown:
    """The table for people: llama-bench's columns and widths; seconds stand where a speed would say little."""

    def __init__(self, shown: tuple[str, ...]) -> None:
        self._columns = ("model", "size", "params", "backend", "n_threads", *shown, "test", "t/s")
        self._build = ""
        self._has_energy = False

    def begin(self) -> str:
        names = [_TITLES.get(column, column) for column in self._columns]
        rules = [f"{'-' * (abs(_width(column)) - 1)}{'-' if _width(column) < 0 else ':'}" for column in self._columns]
        return self._line(names) + self._line(rules)

    def row(self, row: Row) -> str:
        self._build = f"\nbuild: {row.build_commit} ({row.build_number})\n"
        return self._line([_cell(column, row) for column in self._columns])

    def end(self) -> str:
        return self._build

    def _line(self, cells: Iterable[str]) -> str:
        padded = (
            cell.ljust(-_width(column)) if _width(column) < 0 else cell.rjust(_width(column))
            for column, cell in zip(self._columns, cells, strict=True)
        )
        return f"| {' | '.join(padded)} |\n"


_TITLES = {"n_threads": "threads", "n_gpu_layers": "ngl", "flash_attn": "fa"}
_WIDTHS = {
    "model": -30,
    "size": 10,
    "params": 10,
    "backend": -10,
    "n_threads": 7,
    "n_batch": 7,
    "n_ubatch": 8,
    "type_k": 6,
    "type_v": 6,
    "n_gpu_layers": 3,
    "flash_attn": 3,
    "tokens_per_joule": 8,
    "test": 18,
    "t/s": 22,
}


def _width(column: str) -> int:
    return _WIDTHS[column]


def _cell(column: str, row: Row) -> str:
    match column:
        case "model":
            text = row.model_type or row.bundle_name
        case "size":
            text = _size(row.model_size) if row.model_size else "-"
        case "params":
            text = (
                f"{row.model_n_params / 1e6:.2f} M" if row.model_n_params < 1e9 else f"{row.model_n_params / 1e9:.2f} B"
            )
        case "backend":
            text = row.backends
        case "t/s":
            text = _speed(row)
        case _:
            text = str(getattr(row, column))
    return " ".join(text.split()).replace("|", "\\|")


def _size(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 20):.2f} MiB" if n_bytes < _GIB else f"{n_bytes / _GIB:.2f} GiB"


def _speed(row: Row) -> str:
    """Tokens a second, as the column's title says; where tokens are not what counts, the unit stands with the value."""
    if row.avg_ns is None or row.avg_ts is None:
        of_plan = "" if row.rss_over_plan is None else f" = {row.rss_over_plan:.2f} plan"
        return "-" if row.peak_rss_bytes is None else _size(row.peak_rss_bytes) + of_plan
    if row.item == "token" and row.test != "tpot":
        return f"{row.avg_ts:.2f} ± {row.stddev_ts or 0:.2f}"
    n_items = row.n_items if row.test == "tpot" else 1.0
    milliseconds = [ns / n_items / 1e6 for ns in (row.avg_ns, row.stddev_ns or 0)]
    return f"{milliseconds[0]:.2f} ± {milliseconds[1]:.2f} ms"
