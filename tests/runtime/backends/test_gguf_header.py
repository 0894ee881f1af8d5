"""The header reader against honest files and hostile ones."""

import struct
from pathlib import Path

import gguf
import pytest
from gguf import GGMLQuantizationType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpt4roi_runtime.backends.gguf_header import BLOCKS, MAX_HEADER_BYTES, inspect_gguf
from gpt4roi_runtime.backends.llama_cpp_memory import cache_bytes
from gpt4roi_runtime.errors import BundleError
from tests.helpers.tiny_gguf import (
    CONTEXT_LENGTH,
    HEADS,
    LAYERS,
    WIDTH,
    MetadataValue,
    truncated,
    vocabulary,
    write_tiny_gguf,
)


def string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def preamble(n_tensors: int, n_entries: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_entries)


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(BundleError) as refused:
        inspect_gguf(path)
    assert str(path) in refused.value.problem
    assert refused.value.advice
    return refused.value.problem


def test_an_honest_header_is_read(tiny: Path) -> None:
    header = inspect_gguf(tiny)
    assert header.architecture == "llama"
    assert (header.embedding_length, header.block_count, header.head_count) == (WIDTH, LAYERS, HEADS)
    assert (header.head_count_kv, header.key_length, header.value_length) == (
        HEADS // 2,
        WIDTH // HEADS,
        WIDTH // HEADS,
    )
    assert (header.vocabulary_size, header.context_length) == (len(vocabulary()), CONTEXT_LENGTH)
    assert header.quantisation == "F32"
    assert header.token_embeddings.type_name == "Q8_0"
    assert cache_bytes(header, 10) == LAYERS * WIDTH * 2 * 10


def test_places_and_sizes_are_those_of_the_gguf_package(tiny: Path) -> None:
    theirs = next(tensor for tensor in gguf.GGUFReader(tiny).tensors if tensor.name == "token_embd.weight")
    ours = inspect_gguf(tiny).token_embeddings
    assert (ours.offset_bytes, ours.size_bytes, ours.type_number) == (
        theirs.data_offset,
        theirs.n_bytes,
        theirs.tensor_type,
    )


def test_the_table_of_types_is_that_of_the_gguf_package() -> None:
    for number, (name, n_weights, n_bytes) in BLOCKS.items():
        kind = GGMLQuantizationType(number)
        assert (kind.name, *gguf.GGML_QUANT_SIZES[kind]) == (name, n_weights, n_bytes)


@pytest.mark.parametrize("n_bytes", [1, 1000, 50_000])
def test_a_file_cut_short_is_refused(tiny: Path, n_bytes: int) -> None:
    with pytest.raises(BundleError, match=r"but the file has"):
        inspect_gguf(truncated(tiny, n_bytes))


def test_every_cut_of_the_header_is_refused(tiny: Path, tmp_path: Path) -> None:
    data = tiny.read_bytes()
    for length in range(0, 9000, 7):
        refusal(tmp_path / "cut.gguf", data[:length])


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"architecture is 'qwen2', expected 'llama'"):
        inspect_gguf(write_tiny_gguf(tmp_path / "other.gguf", architecture="qwen2"))


@pytest.mark.parametrize("block_count", [0, 513, 2_000_000_000])
def test_block_counts_that_cannot_be_are_refused(tmp_path: Path, block_count: int) -> None:
    with pytest.raises(BundleError, match=f"block_count is {block_count}, expected 1 to 512"):
        inspect_gguf(write_tiny_gguf(tmp_path / "blocks.gguf", block_count=block_count))


EPSILON, ATTENTION = "llama.attention.layer_norm_rms_epsilon", "llama.attention."
DEADLY: list[dict[str, MetadataValue]] = [
    {"llama.expert_count": 8},
    {"llama.expert_used_count": 2},
    {"llama.expert_used_count": [1, 1]},
    {"llama.expert_group_count": 1},
    {"llama.nextn_predict_layers": 7},
    {EPSILON: -1.0},
    {EPSILON: float("nan")},
    {EPSILON: float("inf")},
    {EPSILON: 0.0},
    {EPSILON: 1},
    {"llama.rope.scaling.type": "x"},
    {"llama.rope.scaling.type": ""},
    {"tokenizer.ggml.model": "bert"},
    {ATTENTION + "value_length": 8},
    {ATTENTION + "key_length": 15, ATTENTION + "value_length": 15},
    {ATTENTION + "key_length": 1, ATTENTION + "value_length": 1},
]


@pytest.mark.parametrize("metadata", DEADLY, ids=str)
def test_values_that_llama_cpp_dies_of_are_refused(tmp_path: Path, metadata: dict[str, MetadataValue]) -> None:
    with pytest.raises(BundleError, match="expected") as refused:
        inspect_gguf(write_tiny_gguf(tmp_path / "deadly.gguf", metadata=metadata))
    assert any(key in refused.value.problem for key in metadata) or "keys are" in refused.value.problem


@pytest.mark.parametrize("name", ["output_norm.weight", "blk.1.ffn_norm.weight"])
@pytest.mark.parametrize("shape", [(WIDTH,), (1, WIDTH)])
@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0"])
def test_norms_of_other_types_are_refused(tmp_path: Path, name: str, shape: tuple[int, ...], kind: str) -> None:
    path = write_tiny_gguf(tmp_path / "norm.gguf", tensors={name: (shape, GGMLQuantizationType[kind])})
    with pytest.raises(BundleError, match=f"one row of type {kind}, expected F32"):
        inspect_gguf(path)


@pytest.mark.parametrize("kind", [GGMLQuantizationType.Q8_1, GGMLQuantizationType.Q8_K])
def test_types_that_are_no_types_of_weights_are_refused(tmp_path: Path, kind: GGMLQuantizationType) -> None:
    path = write_tiny_gguf(tmp_path / "type.gguf", tensors={"blk.0.ffn_up.weight": ((256, 256), kind)})
    with pytest.raises(BundleError, match=f"of type {kind.value}, expected one of"):
        inspect_gguf(path)


def test_a_vocabulary_of_another_length_than_the_embeddings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="one for every token"):
        inspect_gguf(write_tiny_gguf(tmp_path / "rows.gguf", n_spare_rows=3))


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot read"):
        inspect_gguf(tmp_path / "none.gguf")
    with pytest.raises(BundleError, match="cannot read"):
        inspect_gguf(tmp_path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "ends|reaches"),
        (b"PK\x03\x04" + bytes(40), "begins with"),
        (b"GGUF" + struct.pack("<IQQ", 1, 1, 1), "version is 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 1, 1), "version is 50331648"),
        (preamble(0, 1), "tensor count is 0"),
        (preamble(1, 2**60), "entry count"),
        (preamble(2**60, 1), "tensor count"),
        (preamble(1, 1) + struct.pack("<Q", 2**63), "bytes long"),
        (preamble(1, 1) + string("k") + struct.pack("<IIQ", 9, 8, 2**60), "header reaches"),
        (preamble(1, 1) + string("k") + struct.pack("<IIQ", 9, 0, 2**64 - 1), "header reaches"),
        (preamble(1, 1) + string("k") + struct.pack("<IIQ", 9, 9, 2), "value of type 9"),
        (preamble(1, 1) + string("k") + struct.pack("<I", 77), "value of type 77"),
        (preamble(1, 2) + (string("k") + struct.pack("<IB", 7, 1)) * 2, "'k' twice"),
        (preamble(1, 1) + string("k") + struct.pack("<IIQQ", 9, 8, 1, 2**62) + bytes(20), "header reaches"),
    ],
)
def test_hostile_headers_are_refused_at_once(tmp_path: Path, data: bytes, words: str) -> None:
    problem = refusal(tmp_path / "hostile.gguf", data)
    assert any(word in problem for word in words.split("|"))


def test_a_header_longer_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.gguf"
    with path.open("wb") as file:
        file.write(preamble(1, 1) + string("k") + struct.pack("<IIQ", 9, 0, MAX_HEADER_BYTES))
        file.truncate(2 * MAX_HEADER_BYTES)
    with pytest.raises(BundleError, match="header reaches"):
        inspect_gguf(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(0, 9000), value=st.integers(0, 255))
def test_a_changed_byte_gives_a_header_or_a_refusal(tiny: Path, tmp_path: Path, place: int, value: int) -> None:
    data = bytearray(tiny.read_bytes())
    data[place] = value
    path = tmp_path / "changed.gguf"
    path.write_bytes(data)
    try:
        header = inspect_gguf(path)
    except BundleError:
        return
    assert header.token_embeddings.offset_bytes + header.token_embeddings.size_bytes <= len(data)
