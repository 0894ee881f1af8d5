"""Two results held against each other; files that are none."""

import csv
import io
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_runtime.bench import compare as module
from gpt4roi_runtime.bench.compare import Entry, compare, read_result, relative_interval
from gpt4roi_runtime.bench.comparison_layouts import as_text
from gpt4roi_runtime.bench.layouts import Layout, writer_of
from gpt4roi_runtime.bench.measure import Sample
from gpt4roi_runtime.errors import InputError, SettingsError
from tests.runtime.bench.some_rows import row

# What llama-bench of the pinned commit writes with -o json, but for paths and times.
LLAMA_BENCH_ROW = {
    "build_commit": "unknown",
    "build_number": 0,
    "cpu_info": "Some CPU",
    "gpu_info": "",
    "backends": "CPU",
    "model_filename": "llm.gguf",
    "model_type": "llama 256M Q8_0",
    "n_batch": 512,
    "n_ubatch": 512,
    "n_threads": 3,
    "cpu_strict": False,
    "type_k": "f16",
    "type_v": "f16",
    "n_gpu_layers": -1,
    "flash_attn": 0,
    "n_prompt": 8,
    "n_gen": 0,
    "n_depth": 0,
    "test_time": "2026-01-01T00:00:00Z",
    "avg_ns": 100,
    "stddev_ns": 1,
    "avg_ts": 4.0,
    "stddev_ts": 0.1,
    "samples_ns": [100, 101],
    "samples_ts": [4.1, 3.9],
}


def entry(*speeds: float, **facts: Any) -> Entry:
    return Entry(
        **{
            "n_batch": 512,
            "n_ubatch": 512,
            "n_threads": 1,
            "type_k": "f16",
            "type_v": "f16",
            "n_gpu_layers": 0,
            "flash_attn": 0,
            "n_prompt": 8,
            "n_gen": 0,
            "samples_ts": speeds,
            **facts,
        }
    )


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("layout", ["json", "jsonl"])
def test_our_own_rows_are_read(tmp_path: Path, layout: Layout) -> None:
    writer = writer_of(layout)
    rows = [row(Sample(10**9, 8, None), Sample(2 * 10**9, 8, None), n_prompt=8), row(name="peak rss", item="byte")]
    text = writer.begin() + "".join(map(writer.row, rows)) + writer.end()
    first, second = read_result(write(tmp_path / "a", text))
    assert (first.name, first.values, first.is_memory) == ("pp8", (8.0, 4.0), False)
    assert (second.name, second.values, second.is_memory) == ("peak rss", (float(5 << 20),), True)


def test_llama_bench_s_rows_join_with_ours(tmp_path: Path) -> None:
    ours = writer_of("json")
    text = ours.begin() + ours.row(row(Sample(10**9, 8, None), Sample(10**9, 8, None), n_prompt=8)) + ours.end()
    found = compare(
        read_result(write(tmp_path / "a", [LLAMA_BENCH_ROW])), read_result(write(tmp_path / "b.json", text))
    )
    (ratio,) = found.ratios
    assert (ratio.test, ratio.mean_a, ratio.mean_b, ratio.ratio) == ("pp8", 4.0, 8.0, 2.0)
    assert ratio.verdict == "B faster" if ratio.uncertainty is not None and ratio.uncertainty < 1 else True
    assert not found.only_a
    assert not found.only_b


def test_the_interval_is_that_of_the_formula() -> None:
    a, b = (10.0, 11.0, 12.0, 10.5, 11.5), (20.0, 22.0, 21.0, 19.0, 23.0)
    squares = [(statistics.stdev(x) / statistics.mean(x)) ** 2 / 5 for x in (a, b)]
    freedom = sum(squares) ** 2 / sum(square**2 / 4 for square in squares)
    assert 7 <= freedom < 8
    assert relative_interval(a, b) == pytest.approx(2.3646 * math.sqrt(sum(squares)))


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.7062), (4.9, 2.7764), (30, 2.0423), (40, 2.0211), (1000, 1.9623)])
def test_student(freedom: float, t: float) -> None:
    assert module._student(freedom) == pytest.approx(t, abs=0.004)


@given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=8), st.floats(0.5, 2))
def test_the_same_result_is_within_noise_and_a_scaled_one_has_its_ratio(speeds: list[float], factor: float) -> None:
    (same,) = compare([entry(*speeds)], [entry(*speeds)]).ratios
    assert (same.ratio, same.verdict) == (1.0, "within noise")
    (scaled,) = compare([entry(*speeds)], [entry(*(speed * factor for speed in speeds))]).ratios
    assert scaled.ratio == pytest.approx(factor)
    assert scaled.uncertainty is not None
    assert (scaled.verdict == "within noise") == (abs(scaled.ratio - 1) <= scaled.uncertainty)


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ((10.0, 10.0), (20.0, 20.0), "B faster"),
        ((10.0, 10.0), (5.0, 5.0), "B slower"),
        ((10.0, 20.0), (12.0, 22.0), "within noise"),
        ((10.0,), (20.0, 20.0), "unknown"),
        ((0.0, 0.0), (20.0, 20.0), "unknown"),
    ],
)
def test_verdicts(a: tuple[float, ...], b: tuple[float, ...], verdict: str) -> None:
    (ratio,) = compare([entry(*a)], [entry(*b)]).ratios
    assert ratio.verdict == verdict
    assert (ratio.n_a, ratio.n_b) == (len(a), len(b))


def memory(n_bytes: int) -> Entry:
    return entry(test="peak rss", kind="pipeline", peak_rss_bytes=n_bytes)


@pytest.mark.parametrize(("b", "verdict"), [(200, "B larger"), (50, "B smaller"), (100, "within noise")])
def test_memory_is_compared_in_bytes(b: int, verdict: str) -> None:
    (ratio,) = compare([memory(100)], [memory(b)]).ratios
    assert (ratio.unit, ratio.ratio, ratio.verdict) == ("bytes", b / 100, verdict)


def test_rows_join_by_test_and_settings_and_not_by_hardware() -> None:
    a = [entry(1.0, 1.0), entry(1.0, 1.0, n_threads=2), entry(1.0, 1.0, n_prompt=16)]
    b = [entry(2.0, 2.0, backends="CUDA"), entry(1.0, 1.0, type_k="q8_0"), entry(1.0, 1.0, n_depth=4)]
    found = compare(a, b)
    assert [ratio.ratio for ratio in found.ratios] == [2.0]
    assert [(one.test, one.settings["n_threads"]) for one in found.only_a] == [("pp8", 2), ("pp16", 1)]
    assert [one.test for one in found.only_b] == ["pp8", "pp8 @ d4"]


def test_settings_can_be_ignored() -> None:
    a, b = [entry(1.0, 1.0, n_threads=1)], [entry(3.0, 3.0, n_threads=2)]
    assert not compare(a, b).ratios
    assert compare(a, b, ["n_threads"]).ratios[0].ratio == 3.0
    with pytest.raises(SettingsError, match="cpu"):
        compare(a, b, ["cpu"])


def test_the_vision_half_depends_on_threads_and_photo_alone() -> None:
    def encode(**facts: Any) -> Entry:
        return entry(1.0, 1.0, test="encode", kind="vision", **facts)

    assert compare([encode(n_batch=32)], [encode(n_batch=64)]).ratios
    assert not compare([encode(image="1x1")], [encode(image="2x2")]).ratios


def test_layers_for_a_gpu_mean_nothing_on_a_processor() -> None:
    cpu = entry(1.0, 1.0, backends="CPU", n_gpu_layers=-1)
    assert compare([cpu], [entry(1.0, 1.0, backends="CPU")]).ratios
    assert not compare([cpu], [entry(1.0, 1.0, backends="CUDA", n_gpu_layers=-1)]).ratios


def test_two_rows_of_one_test_are_refused() -> None:
    with pytest.raises(SettingsError, match="A has two rows of pp8"):
        compare([entry(1.0), entry(2.0)], [])


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
    ],
)
def test_a_result_without_rows_is_empty(tmp_path: Path, content: str) -> None:
    assert read_result(write(tmp_path / "a", content)) == ()


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "{}",
        "[{}]",
        "[1]",
        '{"a": [',
        "[" * 100_000,
        [{**LLAMA_BENCH_ROW, "samples_ts": ["fast"]}],
        [{**LLAMA_BENCH_ROW, "samples_ts": [-1.0]}],
        [{**LLAMA_BENCH_ROW, "samples_ts": [1e308, 1e308]}],
        [{**LLAMA_BENCH_ROW, "n_threads": "two"}],
        [{**LLAMA_BENCH_ROW, "n_prompt": -5}],
        [{**LLAMA_BENCH_ROW, "n_prompt": 10**30}],
        [{**LLAMA_BENCH_ROW, "type_k": "x" * 5000}],
        '[{"samples_ts": NaN}]',
    ],
    ids=lambda content: str(content)[:20],
)
def test_what_is_no_result_is_refused(tmp_path: Path, content: object) -> None:
    path = write(tmp_path / "a.json", content)
    with pytest.raises(InputError) as caught:
        read_result(path)
    assert str(path) in caught.value.problem
    assert "gpt4roi bench" in caught.value.advice


def test_files_that_cannot_be_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_result(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        read_result(tmp_path)
    (tmp_path / "bytes").write_bytes(b'[{"type_k": "\xff"}]')
    with pytest.raises(InputError, match="no result"):
        read_result(tmp_path / "bytes")
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    with pytest.raises(InputError, match="larger than"):
        read_result(write(tmp_path / "a", [LLAMA_BENCH_ROW]))


@pytest.fixture
def found() -> module.Comparison:
    a = [entry(10.0, 11.0), entry(1.0, n_gen=4, n_prompt=0), entry(5.0, 5.0, n_threads=2), memory(1 << 20)]
    b = [entry(20.0, 21.0), entry(5.0, 5.0, n_threads=2), memory(2 << 20), entry(2.0, type_k="a|b")]
    return compare(a, b)


def test_the_table(found: module.Comparison) -> None:
    lines = as_text(found, "md").splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")][:3] == ["test", "n_threads", "A"]
    assert len({len(line) for line in lines[:5]}) == 1
    assert "B larger" in lines[4]
    assert "1.0 MiB" in lines[4]
    assert "only in A:" in lines
    assert any(line.startswith("- tg4 (") for line in lines)
    assert "only in B:" in lines


def test_nothing_in_both() -> None:
    assert as_text(compare([entry(1.0)], []), "md").startswith("no test is in both\n")


def test_csv(found: module.Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(as_text(found, "csv"), newline="")))
    assert [(one["test"], one["found_in"]) for one in rows] == [
        ("pp8", "both"),
        ("pp8", "both"),
        ("peak rss", "both"),
        ("tg4", "A"),
        ("pp8", "B"),
    ]
    assert float(rows[0]["ratio"]) == found.ratios[0].ratio


def test_json(found: module.Comparison) -> None:
    account = json.loads(as_text(found, "json"))
    assert set(account) == {"ratios", "only_a", "only_b"}
    assert account["ratios"][0]["uncertainty"] == found.ratios[0].uncertainty
    assert account["only_a"][0]["test"] == "tg4"
