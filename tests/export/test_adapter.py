import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gpt4roi_export import adapter as module
from gpt4roi_export.adapter import Adapter, LowRank, permute_rows, read_adapter, write_adapter
from gpt4roi_runtime.errors import BundleError, OutputError

QUERY = "blk.0.attn_q.weight"
HONEST = {f"{QUERY}.lora_a": np.ones((2, 8), np.float16), f"{QUERY}.lora_b": np.ones((6, 2), np.float16)}


def written(tmp_path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> Path:
    path = tmp_path / "adapter.safetensors"
    save_file(tensors, path, {"scale": "2.0"} if metadata is None else metadata)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pairs = {
        name: LowRank(random.normal(size=(3, 8)).astype(np.float16), random.normal(size=(5, 3)).astype(np.float16))
        for name in (QUERY, "blk.17.ffn_down.weight")
    }
    write_adapter(tmp_path / "adapter.safetensors", Adapter(pairs, 0.1))
    found = read_adapter(tmp_path / "adapter.safetensors")
    assert found.scale == 0.1
    assert list(found.pairs) == sorted(pairs)
    for name, pair in pairs.items():
        np.testing.assert_array_equal(found.pairs[name].a, pair.a)
        np.testing.assert_array_equal(found.pairs[name].b, pair.b)


def test_the_same_adapter_gives_the_same_bytes(tmp_path: Path) -> None:
    pair = LowRank(HONEST[f"{QUERY}.lora_a"], HONEST[f"{QUERY}.lora_b"])
    other = "blk.1.attn_v.weight"
    for name, pairs in (("one", {QUERY: pair, other: pair}), ("two", {other: pair, QUERY: pair})):
        write_adapter(tmp_path / name, Adapter(pairs, 2.0))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"token_embd.weight.lora_a": np.ones((2, 8), np.float16)}, "expected names such as"),
        ({"blk.0.attn_q.weight": np.ones((2, 8), np.float16)}, "expected names such as"),
        ({f"{QUERY}.lora_a\n": np.ones((2, 8), np.float16)}, "expected names such as"),
        ({"blk.1.attn_v.weight.lora_b": np.ones((6, 2), np.float16)}, "has only lora_b"),
        ({f"{QUERY}.lora_a": np.ones((2, 8), np.float32)}, "is of type F32, expected F16"),
        ({f"{QUERY}.lora_a": np.ones((3, 8), np.float16)}, "with one rank"),
        ({f"{QUERY}.lora_a": np.ones((2, 8, 1), np.float16)}, "expected two axes"),
        ({f"{QUERY}.lora_a": np.ones((2, 0), np.float16)}, "expected two axes"),
        ({f"{QUERY}.lora_a": np.ones((2, 65537), np.float16)}, "expected two axes"),
        ({f"{QUERY}.lora_b": np.full((6, 2), np.nan, np.float16)}, "lora_b holds NaN or infinity"),
        ({f"{QUERY}.lora_a": np.full((2, 8), np.inf, np.float16)}, "lora_a holds NaN or infinity"),
    ],
)
def test_hostile_tensors_are_refused(changes: dict[str, np.ndarray], problem: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=problem):
        read_adapter(written(tmp_path, HONEST | changes))


def test_a_huge_rank_is_refused(tmp_path: Path) -> None:
    rank = module.MAX_RANK + 1
    factors = {f"{QUERY}.lora_a": np.ones((rank, 2), np.float16), f"{QUERY}.lora_b": np.ones((2, rank), np.float16)}
    with pytest.raises(BundleError, match="one rank up to 1024"):
        read_adapter(written(tmp_path, factors))


@pytest.mark.parametrize("scale", ["nan", "inf", "0", "-1", "1025", "two", ""])
def test_a_strange_scale_is_refused(scale: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="its scale is"):
        read_adapter(written(tmp_path, HONEST, {"scale": scale}))


def test_a_missing_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="its metadata lack 'scale'"):
        read_adapter(written(tmp_path, HONEST, {"alpha": "16"}))


def test_an_empty_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="it is empty"):
        read_adapter(written(tmp_path, {}))


@pytest.mark.parametrize(
    "content",
    [b"", b"GGUF", struct.pack("<Q", 1 << 60) + b"{}", struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 3) + b"{,}"],
    ids=["empty", "short", "huge header", "no object", "no JSON"],
)
def test_bytes_that_are_no_safetensors_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"adapter\.safetensors"):
        read_adapter(path)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, HONEST)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match="not a usable adapter"):
        read_adapter(path)


def test_a_large_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(BundleError, match="expected at most 10"):
        read_adapter(written(tmp_path, HONEST))


@pytest.mark.parametrize("place", ["missing", "."])
def test_no_file_at_all(place: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot read"):
        read_adapter(tmp_path / place)


@pytest.mark.parametrize(
    ("name", "value", "scale"), [(QUERY, np.nan, 1.0), (QUERY, 1.0, np.inf), ("token_embd.weight", 1.0, 1.0)]
)
def test_nothing_is_written_that_would_be_refused(name: str, value: float, scale: float, tmp_path: Path) -> None:
    pair = LowRank(np.full((2, 8), value, np.float16), np.ones((6, 2), np.float16))
    with pytest.raises(BundleError):
        write_adapter(tmp_path / "adapter", Adapter({name: pair}, scale))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    pair = LowRank(HONEST[f"{QUERY}.lora_a"], HONEST[f"{QUERY}.lora_b"])
    with pytest.raises(OutputError):
        write_adapter(tmp_path / "nowhere" / "adapter", Adapter({QUERY: pair}, 1.0))


def test_the_halves_of_every_head_are_interleaved() -> None:
    rows = np.arange(12, dtype=np.float16)[:, None] * np.ones((1, 2), np.float16)
    expected = [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]  # by hand: two heads of six rows
    np.testing.assert_array_equal(permute_rows(rows, 2)[:, 0], expected)


@pytest.mark.parametrize("n_heads", [0, 4, 5])
def test_rows_that_do_not_divide_are_refused(n_heads: int) -> None:
    with pytest.raises(ValueError, match="12 rows"):
        permute_rows(np.zeros((12, 2), np.float16), n_heads)
