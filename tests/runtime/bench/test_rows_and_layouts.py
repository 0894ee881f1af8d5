"""Rows hold llama-bench's fields and true arithmetic, and every layout parses back."""

import csv
import io
import json
import sqlite3
import statistics

import msgspec
import pytest

from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.bench.layouts import Layout, writer_of
from gpt4roi_runtime.bench.measure import Sample
from gpt4roi_runtime.bench.rows import LLAMA_BENCH_FIELDS, SAMPLES, Row
from tests.runtime.bench.some_rows import changed, row

# As llama-bench of the pinned commit lists them.
LLAMA_BENCH_TEXT = """
build_commit build_number cpu_info gpu_info backends model_filename model_type model_size model_n_params n_batch
n_ubatch n_threads cpu_mask cpu_strict poll type_k type_v n_gpu_layers n_cpu_moe split_mode main_gpu no_kv_offload
flash_attn devices tensor_split tensor_buft_overrides load_mode lazy_mode embeddings no_op_offload no_host repack
fit_target fit_min_ctx n_prompt n_gen n_depth test_time avg_ns stddev_ns avg_ts stddev_ts
"""
LLAMA_BENCH = LLAMA_BENCH_TEXT.split()

TIMES = (2_000_000_000, 2_500_000_000, 4_000_000_000)
SAMPLES_WITH_ENERGY = tuple(Sample(ns, 8, 4.0) for ns in TIMES)
HOSTILE = 'it\'s "a" | model;\n--\\ = ü\0'


def text_of(layout: Layout, *rows: Row) -> str:
    writer = writer_of(layout)
    return writer.begin() + "".join(map(writer.row, rows)) + writer.end()


def test_the_first_fields_are_llama_bench_s() -> None:
    assert list(LLAMA_BENCH_FIELDS) == LLAMA_BENCH
    assert Row.__struct_fields__[-2:] == SAMPLES


def test_averages_are_those_of_the_repetitions() -> None:
    found = row(*SAMPLES_WITH_ENERGY, n_prompt=8)
    speeds = [8e9 / ns for ns in TIMES]
    assert found.avg_ns == round(statistics.mean(TIMES))
    assert found.stddev_ns == round(statistics.stdev(TIMES))
    assert found.avg_ts == pytest.approx(statistics.mean(speeds))
    assert found.stddev_ts == pytest.approx(statistics.stdev(speeds))
    assert found.samples_ns == TIMES
    assert found.samples_ts == pytest.approx(speeds)
    assert (found.n_prompt, found.test, found.warmed_up) == (8, "pp8", True)


def test_energy_becomes_power_and_tokens_per_joule() -> None:
    found = row(*SAMPLES_WITH_ENERGY)
    assert (found.energy_j, found.stddev_energy_j) == (4.0, 0.0)
    assert found.power_w == pytest.approx(12 / 8.5)
    assert found.tokens_per_joule == 24 / 12
    assert found.power_source == "here"
    assert row(*SAMPLES_WITH_ENERGY, item="image").tokens_per_joule is None


@pytest.mark.parametrize("energies", [(None, None), (1.0, None)])
def test_without_all_of_the_energy_there_is_none(energies: tuple[float | None, ...]) -> None:
    found = row(*(Sample(10, 1, energy) for energy in energies))
    assert (found.energy_j, found.power_w, found.tokens_per_joule, found.power_source) == (None, None, None, None)


def test_settings_are_those_that_ran() -> None:
    settings = LlamaCppSettings(
        n_threads=2, batch_size=256, ubatch_size=64, type_k="q8_0", type_v="q8_0", n_gpu_layers=0
    )
    found = row(*SAMPLES_WITH_ENERGY, settings=settings)
    assert (found.n_threads, found.n_batch, found.n_ubatch, found.type_k, found.type_v) == (2, 256, 64, "q8_0", "q8_0")
    assert found.flash_attn == 1  # it has to be
    assert row(*SAMPLES_WITH_ENERGY).flash_attn == 0


def test_a_test_without_times_has_no_averages() -> None:
    found = row(name="peak rss", item="byte")
    assert (found.avg_ns, found.stddev_ns, found.avg_ts, found.stddev_ts, found.samples_ns) == (None,) * 4 + ((),)
    assert found.peak_rss_bytes == 5 << 20


def test_the_peak_stands_beside_the_plan_s_arithmetic() -> None:
    found = row(name="peak rss", item="byte", planned_bytes=4 << 20)
    assert (found.planned_bytes, found.rss_over_plan) == (4 << 20, 1.25)
    assert " 5.00 MiB = 1.25 plan |" in text_of("md", found)
    other = row(*SAMPLES_WITH_ENERGY, planned_bytes=4 << 20)
    assert (other.planned_bytes, other.rss_over_plan) == (None, None)  # not all has run yet
    assert row(name="peak rss", item="byte").rss_over_plan is None


def test_seconds_per_region() -> None:
    found = row(Sample(3_000_000_000, 40, None), name="captions4", n_regions=4)
    assert found.seconds_per_region == 0.75
    assert row(Sample(1, 1, None)).seconds_per_region is None


@pytest.fixture
def rows() -> list[Row]:
    return [changed(row(*SAMPLES_WITH_ENERGY), model_type=HOSTILE), row(name="peak rss", item="byte")]


def test_json_parses_back(rows: list[Row]) -> None:
    assert msgspec.json.decode(text_of("json", *rows), type=list[Row]) == rows
    assert json.loads(text_of("json")) == []


def test_json_lines_parse_back(rows: list[Row]) -> None:
    lines = text_of("jsonl", *rows).splitlines()
    assert [msgspec.json.decode(line, type=Row) for line in lines] == rows


def test_csv_parses_back(rows: list[Row]) -> None:
    found = list(csv.DictReader(io.StringIO(text_of("csv", *rows), newline="")))
    assert list(found[0])[: len(LLAMA_BENCH)] == LLAMA_BENCH
    assert [one["test"] for one in found] == ["pp8", "peak rss"]
    assert found[0]["model_type"] == HOSTILE
    assert float(found[0]["avg_ts"]) == rows[0].avg_ts
    assert (found[0]["warmed_up"], found[1]["avg_ns"]) == ("1", "")


def test_sql_runs_and_holds_the_rows(rows: list[Row]) -> None:
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    database.executescript(text_of("sql", *rows))
    database.executescript(text_of("sql"))  # a second run finds its table
    found = database.execute("SELECT * FROM gpt4roi_bench").fetchall()
    database.close()
    assert list(found[0].keys())[: len(LLAMA_BENCH)] == LLAMA_BENCH
    assert found[0]["model_type"] == HOSTILE.replace("\0", "")
    assert (found[0]["avg_ns"], found[0]["avg_ts"]) == (rows[0].avg_ns, rows[0].avg_ts)
    assert (found[0]["warmed_up"], found[1]["avg_ns"], found[1]["test"]) == (1, None, "peak rss")


def test_the_table_has_llama_bench_s_columns() -> None:
    lines = text_of("md", row(*SAMPLES_WITH_ENERGY)).splitlines()
    titles = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert titles == ["model", "size", "params", "backend", "threads", "test", "t/s"]
    assert len({len(line) for line in lines[:3]}) == 1
    assert lines[1].strip("|").split("|")[0].strip(" -") == ""
    assert lines[2].endswith("3.07 ± 1.01 |")
    assert lines[-1].startswith("build: ")


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"name": "encode", "item": "image"}, "2833.33 ± 1040.83 ms"),
        ({"name": "tpot", "item": "token"}, "354.17 ± 130.10 ms"),
        ({"name": "peak rss", "item": "byte"}, "5.00 MiB"),
    ],
)
def test_what_is_no_speed_says_its_unit(facts: dict[str, str], shown: str) -> None:
    samples = () if facts["item"] == "byte" else SAMPLES_WITH_ENERGY
    assert f" {shown} |" in text_of("md", row(*samples, **facts))


def test_columns_can_be_added() -> None:
    writer = writer_of("md", ["n_batch", "flash_attn", "tokens_per_joule"])
    header, line = writer.begin().splitlines()[0], writer.row(row(*SAMPLES_WITH_ENERGY))
    assert [cell.strip() for cell in header.split("|")][6:9] == ["n_batch", "fa", "tokens_per_joule"]
    assert [cell.strip() for cell in line.split("|")][6:9] == ["512", "0", "2.0"]


def test_no_name_breaks_the_table(rows: list[Row]) -> None:
    cells = text_of("md", rows[0]).splitlines()[2]
    assert cells.count("|") - cells.count("\\|") == 8
