"""Merging on a tiny model; what llama.cpp computes from the result is held against a forward pass in NumPy."""

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, LlamaFileType, quants

from gpt4roi_export import merged_gguf
from gpt4roi_export.adapter import Adapter, LowRank, permute_rows
from gpt4roi_export.merged_gguf import QUANTISATIONS, merge
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.errors import BundleError, OutputError, SettingsError
from tests.helpers.tiny_gguf import HEADS, HIDDEN, LAYERS, WIDTH, write_tiny_gguf

RANK, SCALE = 2, 0.5
SIZES = {
    "attn_q": (WIDTH, WIDTH),
    "attn_k": (WIDTH // 2, WIDTH),
    "attn_v": (WIDTH // 2, WIDTH),
    "attn_output": (WIDTH, WIDTH),
    "ffn_gate": (HIDDEN, WIDTH),
    "ffn_up": (HIDDEN, WIDTH),
    "ffn_down": (WIDTH, HIDDEN),
}
ROTATED = {"attn_q": HEADS, "attn_k": HEADS // 2}
UP = "blk.1.ffn_up.weight"
Weights = Mapping[str, np.ndarray]


def silent(doing: str, done: float) -> None:
    pass


def adapter_for(*parts: str, size: float = 0.3, layers: int = LAYERS) -> Adapter:
    """Random factors; the rows of ``b`` in the GGUF's order, as a file has them."""
    random = np.random.default_rng(7)
    pairs = {}
    for layer in range(layers):
        for part in parts:
            n_rows, width = SIZES[part]
            a, b = random.normal(size=(RANK, width)), size * random.normal(size=(n_rows, RANK))
            pairs[f"blk.{layer}.{part}.weight"] = LowRank(a.astype(np.float16), b.astype(np.float16))
    return Adapter(pairs, SCALE)


def delta(pair: LowRank) -> np.ndarray:
    return np.asarray(SCALE * pair.b.astype(np.float32) @ pair.a.astype(np.float32))


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Every tensor as float32."""
    tensors = GGUFReader(path).tensors
    return {
        t.name: quants.dequantize(t.data, t.tensor_type).reshape([int(axis) for axis in reversed(t.shape)])
        for t in tensors
    }


def merged(base: Path, adapter: Adapter, quantisation: str) -> Path:
    out = base.with_name(f"{base.stem}-{quantisation}.gguf")
    merge(base, adapter, out, quantisation, silent)
    return out


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_tiny_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def small_base(base: Path) -> Path:
    """A base whose layers are Q4_1, as the embedded model's are."""
    return merged(base, adapter_for(*SIZES), "Q4_1")


# --- the arithmetic


def in_hugging_face_order(matrix: np.ndarray, n_heads: int) -> np.ndarray:
    places = permute_rows(np.arange(float(len(matrix)))[:, None], n_heads)[:, 0].astype(int)
    unpermuted = np.empty_like(matrix)
    unpermuted[places] = matrix
    return unpermuted


def rotated(states: np.ndarray) -> np.ndarray:
    """Rotary positions as Hugging Face applies them to ``[heads t width]``: halves of a head turn together."""
    n_rows, width = states.shape[1:]
    angles = np.outer(np.arange(n_rows), 10000.0 ** (-np.arange(0, width, 2) / width))
    cos, sin = np.cos(np.tile(angles, 2)), np.sin(np.tile(angles, 2))
    first, second = np.split(states, 2, axis=-1)
    return np.asarray(states * cos + np.concatenate([-second, first], axis=-1) * sin)


def normed(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True) + 1e-5))


def attended(rows: np.ndarray, weights: Weights, prefix: str) -> np.ndarray:
    def heads(part: str) -> np.ndarray:
        n_heads = HEADS if part == "attn_q" else HEADS // 2
        states = (rows @ weights[f"{prefix}.{part}.weight"].T).reshape(len(rows), n_heads, -1).swapaxes(0, 1)
        return np.repeat(states, HEADS // n_heads, axis=0)

    queries, keys, values = rotated(heads("attn_q")), rotated(heads("attn_k")), heads("attn_v")
    scores = queries @ keys.swapaxes(1, 2) / np.sqrt(WIDTH // HEADS)
    scores = np.where(np.tri(len(rows), dtype=bool), scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = shares / shares.sum(axis=-1, keepdims=True) @ values
    return np.asarray(mixed.swapaxes(0, 1).reshape(len(rows), WIDTH) @ weights[f"{prefix}.attn_output.weight"].T)


def forward(rows: np.ndarray, weights: Weights) -> np.ndarray:
    """Logits after the last row, with ``attn_q`` and ``attn_k`` in Hugging Face's order."""
    for layer in range(LAYERS):
        prefix = f"blk.{layer}"
        rows = rows + attended(normed(rows), weights, prefix)
        gate, up = (normed(rows) @ weights[f"{prefix}.ffn_{part}.weight"].T for part in ("gate", "up"))
        rows = rows + gate / (1 + np.exp(-gate)) * up @ weights[f"{prefix}.ffn_down.weight"].T
    return np.asarray(normed(rows[-1]) @ weights["output.weight"].T)


def test_llama_cpp_computes_what_the_adapted_model_computes(base: Path) -> None:
    in_training = adapter_for(*SIZES)  # here its rows are in Hugging Face's order
    weights = arrays(base)
    for name in weights:
        part = name.split(".")[2] if name.startswith("blk.") else ""
        if part in ROTATED:
            weights[name] = in_hugging_face_order(weights[name], ROTATED[part])
        if name in in_training.pairs:
            weights[name] = weights[name] + delta(in_training.pairs[name])
    on_disk = {
        name: LowRank(
            pair.a, permute_rows(pair.b, ROTATED[part]) if (part := name.split(".")[2]) in ROTATED else pair.b
        )
        for name, pair in in_training.pairs.items()
    }
    rows = np.random.default_rng(3).standard_normal((12, WIDTH), dtype=np.float32)
    expected = forward(rows, weights)
    right = llama_cpp_logits(merged(base, Adapter(on_disk, SCALE), "F16"), rows)
    wrong = llama_cpp_logits(merged(base, in_training, "F16"), rows)
    assert np.abs(right - expected).max() < 0.01 * expected.std()
    assert np.abs(wrong - expected).max() > 0.1 * expected.std()


def llama_cpp_logits(path: Path, rows: np.ndarray) -> np.ndarray:
    settings = LlamaCppSettings(n_threads=1, context_length=256, repack="off")
    with closing(LlamaCppDecoder.load(path, inspect_gguf(path), settings)) as decoder:
        decoder.prefill(rows, lambda: False)
        return decoder.logits()


@pytest.mark.parametrize("quantisation", QUANTISATIONS)
def test_adapted_matrices_are_added_up_and_quantised(quantisation: str, small_base: Path) -> None:
    adapter = adapter_for(*SIZES)
    before = arrays(small_base)
    kind = GGMLQuantizationType[quantisation]
    tensors = {t.name: t for t in GGUFReader(merged(small_base, adapter, quantisation)).tensors}
    for name, pair in adapter.pairs.items():
        added = before[name] + (pair.b.astype(np.float64) @ pair.a * SCALE).astype(np.float32)
        assert tensors[name].tensor_type == kind
        np.testing.assert_array_equal(tensors[name].data, quants.quantize(added, kind))


def test_pieces_do_not_matter(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapter_for("attn_q", "ffn_down")
    whole = merged(base, adapter, "Q8_0").read_bytes()
    monkeypatch.setattr(merged_gguf, "_PIECE_WEIGHTS", 5 * WIDTH)
    monkeypatch.setattr(merged_gguf, "_PIECE_BYTES", 100)
    assert merged(base, adapter, "Q8_0").read_bytes() == whole


# --- what stays, and what is said


def test_everything_else_is_copied(small_base: Path) -> None:
    adapter = adapter_for("attn_v", layers=1)
    old, new = GGUFReader(small_base), GGUFReader(merged(small_base, adapter, "Q8_0"))
    assert [t.name for t in old.tensors] == [t.name for t in new.tensors]
    for before, after in zip(old.tensors, new.tensors, strict=True):
        if before.name not in adapter.pairs:
            assert before.tensor_type == after.tensor_type
            np.testing.assert_array_equal(before.data, after.data)
    told = {"GGUF.tensor_count", "GGUF.kv_count", "general.name", "general.description", "general.file_type"}
    for key in old.fields.keys() - told:
        assert old.fields[key].contents() == new.fields[key].contents(), key


def test_zeros_change_nothing(small_base: Path) -> None:
    nothing = adapter_for(*SIZES, size=0.0)
    for before, after in zip(
        GGUFReader(small_base).tensors, GGUFReader(merged(small_base, nothing, "Q4_0")).tensors, strict=True
    ):
        assert before.tensor_type == after.tensor_type
        np.testing.assert_array_equal(before.data, after.data)


def test_the_file_says_that_it_is_tuned(base: Path) -> None:
    path = merged(base, adapter_for(*SIZES), "Q8_0")
    fields = GGUFReader(path).fields
    assert inspect_gguf(path).name == "tiny (tuned)"
    assert fields["general.file_type"].contents() == LlamaFileType.MOSTLY_Q8_0
    assert fields["general.quantization_version"].contents() == 2
    assert "added to 14 matrices, then stored as Q8_0" in fields["general.description"].contents()


def test_the_file_type_is_that_of_most_weights(small_base: Path) -> None:
    fields = GGUFReader(merged(small_base, adapter_for("attn_k", layers=1), "Q8_0")).fields
    assert fields["general.file_type"].contents() == LlamaFileType.MOSTLY_Q4_1


def test_the_base_may_be_replaced(base: Path) -> None:
    adapter = adapter_for("ffn_up")
    elsewhere = merged(base, adapter, "Q8_0")
    merge(base, adapter, base, "Q8_0", silent)
    assert base.read_bytes() == elsewhere.read_bytes()


def test_progress_grows_and_stays_in_its_range(base: Path) -> None:
    heard: list[float] = []
    merge(base, adapter_for("ffn_up"), base, "F16", lambda doing, done: heard.append(done))
    assert heard[0] == 0.0
    assert heard == sorted(heard)
    assert 0.5 < heard[-1] < 1.0


# --- refusals


def refusal(base: Path, adapter: Adapter, quantisation: str = "Q8_0") -> str:
    out = base.with_name("out.gguf")
    with pytest.raises(BundleError) as caught:
        merge(base, adapter, out, quantisation, silent)
    assert [path.name for path in base.parent.iterdir()] == [base.name]
    return str(caught.value)


def one(name: str, n_rows: int, width: int, value: float = 1.0) -> Adapter:
    return Adapter(
        {name: LowRank(np.full((1, width), value, np.float16), np.full((n_rows, 1), value, np.float16))}, 1.0
    )


def test_an_unknown_quantisation(base: Path) -> None:
    with pytest.raises(SettingsError, match="'Q4_K' is unknown"):
        merge(base, adapter_for("ffn_up"), base, "Q4_K", silent)


@pytest.mark.parametrize(
    ("adapter", "problem"),
    [
        (one("blk.2.ffn_up.weight", HIDDEN, WIDTH), "the GGUF has no such tensor"),
        (one(UP, WIDTH, HIDDEN), "128 x 64, but the GGUF has 64 x 128"),
        (one(UP, HIDDEN, WIDTH, 300.0), "add up to 9"),
    ],
    ids=["no tensor", "other shape", "too large"],
)
def test_an_adapter_of_another_model(adapter: Adapter, problem: str, base: Path) -> None:
    assert problem in refusal(base, adapter)


def test_nan_in_the_base(base: Path) -> None:
    spoil(base, UP)
    assert "add up to nan" in refusal(base, one(UP, HIDDEN, WIDTH))


def spoil(path: Path, name: str) -> None:
    offset = next(t.data_offset for t in GGUFReader(path).tensors if t.name == name)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(np.float32(np.nan).tobytes())


def test_rows_that_do_not_fill_blocks(tmp_path: Path) -> None:
    base = write_tiny_gguf(tmp_path / "tiny.gguf", tensors={UP: ((HIDDEN, 40), GGMLQuantizationType.F32)})
    assert "rows of blk.1.ffn_up.weight hold 40 weights" in refusal(base, one(UP, HIDDEN, 40))


def test_a_base_that_is_cut_while_it_is_read(base: Path) -> None:
    with pytest.raises(BundleError, match="shorter than when it was checked"):
        merge(base, adapter_for("ffn_up"), base.with_name("out.gguf"), "Q8_0", lambda *_: os.truncate(base, 100))
    assert [path.name for path in base.parent.iterdir()] == [base.name]


def test_a_base_that_is_no_gguf(tmp_path: Path) -> None:
    base = tmp_path / "base.gguf"
    base.write_bytes(b"GGML" + bytes(100))
    assert "not a usable GGUF file" in refusal(base, adapter_for("ffn_up"))


def test_a_folder_that_is_not_there(base: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        merge(base, adapter_for("ffn_up"), base.parent / "nowhere" / "out.gguf", "Q8_0", silent)
