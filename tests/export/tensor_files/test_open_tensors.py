import collections
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt4roi_export.tensor_files.open_tensors import CheckpointFiles, input_files, open_tensors
from gpt4roi_export.tensors import TensorFacts
from gpt4roi_runtime.errors import BundleError

INDEX_NAMES = {"zip": "pytorch_model.bin.index.json", "safetensors": "model.safetensors.index.json"}


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "double": torch.randn(3).double(),
        "float": torch.randn(3, 5),
        "half": torch.randn(4, 2).half(),
        "bfloat": torch.randn(5, 2).bfloat16(),
        "long": torch.arange(4),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
    }


def write(path: Path, values: Mapping[str, torch.Tensor], file_format: str) -> Path:
    if file_format == "safetensors":
        safetensors.torch.save_file(dict(values), path)
    else:
        torch.save(values, path, _use_new_zipfile_serialization=file_format == "zip")
    return path


def write_shards(folder: Path, shards: Mapping[str, Mapping[str, torch.Tensor]], file_format: str = "zip") -> Path:
    for name, values in shards.items():
        write(folder / name, values, file_format)
    weight_map = {tensor: name for name, values in shards.items() for tensor in values}
    (folder / INDEX_NAMES[file_format]).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def assert_same(ours: CheckpointFiles, expected: Mapping[str, torch.Tensor]) -> None:
    assert set(ours.facts) == set(expected)
    for name, tensor in expected.items():
        array = ours.read(name)
        wanted = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
        assert ours.facts[name] == TensorFacts(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        assert array.dtype == wanted.dtype
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, wanted)


FORMATS = pytest.mark.parametrize("file_format", ["zip", "legacy", "safetensors"])
TORCH_FORMATS = pytest.mark.parametrize("file_format", ["zip", "legacy"])


@FORMATS
def test_reads_what_was_saved(file_format: str, tmp_path: Path) -> None:
    path = write(tmp_path / "file", tensors(), file_format)
    opened = open_tensors(path)
    assert_same(opened, tensors())
    assert opened.files == input_files(path) == (path,)


@TORCH_FORMATS
def test_tensors_may_share_a_storage_and_have_any_strides(file_format: str, tmp_path: Path) -> None:
    shared = torch.randn(6, 4)
    values = collections.OrderedDict(
        whole=shared,
        again=shared,
        part=shared[2:4, 1:3],
        turned=shared.T,
        cube=torch.randn(4, 2, 3).permute(2, 0, 1),
        parameter=torch.nn.Parameter(torch.randn(2)),
    )
    assert_same(open_tensors(write(tmp_path / "file", values, file_format)), values)


@TORCH_FORMATS
def test_reads_the_state_of_a_module_with_its_metadata(file_format: str, tmp_path: Path) -> None:
    state = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).state_dict()
    assert_same(open_tensors(write(tmp_path / "file", state, file_format)), state)


def test_only_the_asked_bytes_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "file", {"a": torch.ones(1000), "b": torch.full((3,), 2.0)}, "zip")
    opened = open_tensors(path)
    place = opened.shard_of["a"].stored["a"]
    with path.open("r+b") as file:
        file.seek(place.storage_at)
        file.write(b"\xff" * 16)
    np.testing.assert_array_equal(opened.read("b"), [2, 2, 2])
    with pytest.raises(BundleError, match="'a' do not match their checksum"):
        opened.read("a")


def test_a_file_that_shrinks_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "file", {"a": torch.ones(1000)}, "safetensors")
    opened = open_tensors(path)
    os.truncate(path, 200)
    with pytest.raises(BundleError, match="shorter"):
        opened.read("a")
    path.unlink()
    with pytest.raises(BundleError, match="cannot read"):
        opened.read("a")


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    opened = open_tensors(write(tmp_path / "file", tensors(), "zip"))
    with pytest.raises(BundleError, match="no tensor 'nothing'"):
        opened.read("nothing")


def test_a_tensor_spread_thin_over_a_huge_storage_is_refused(tmp_path: Path) -> None:
    storage = torch.zeros(17 << 20)
    path = write(tmp_path / "file", {"a": storage[:: (17 << 20) - 1]}, "zip")
    with pytest.raises(BundleError, match="spread over"):
        open_tensors(path).read("a")


# ---- shards ----


@pytest.mark.parametrize("file_format", ["zip", "safetensors"])
def test_shards_are_one_source(file_format: str, tmp_path: Path) -> None:
    values = tensors()
    names = list(values)
    first, second = ({name: values[name] for name in part} for part in (names[:3], names[3:]))
    folder = write_shards(tmp_path, {"s-00001-of-00002": first, "s-00002-of-00002": second}, file_format)
    opened = open_tensors(folder)
    assert_same(opened, values)
    assert [path.name for path in opened.files] == [INDEX_NAMES[file_format], "s-00001-of-00002", "s-00002-of-00002"]
    assert input_files(folder) == opened.files


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_with_one_file(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, tensors(), "safetensors" if name.endswith("safetensors") else "zip")
    assert_same(open_tensors(tmp_path), tensors())


def test_the_complete_set_is_taken_where_the_other_is_half_downloaded(tmp_path: Path) -> None:
    write(tmp_path / "pytorch_model.bin", tensors(), "zip")
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001-of-00002.safetensors"}}')
    assert_same(open_tensors(tmp_path), tensors())


def test_a_tensor_that_the_index_leaves_out_is_read_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "s", {"a": torch.ones(1), "buffer": torch.ones(2)}, "zip")
    (tmp_path / INDEX_NAMES["zip"]).write_text('{"weight_map": {"a": "s"}}')
    assert set(open_tensors(tmp_path).facts) == {"a", "buffer"}


def refused(folder: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        open_tensors(folder)
    assert caught.value.advice


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path, {"s1": {"a": torch.ones(1)}, "s2": {"b": torch.ones(1)}})
    (tmp_path / "s2").unlink()
    refused(tmp_path, "lacks s2, and in all 1 of 2 shards")


def test_shards_without_an_index_are_told_apart_from_an_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, r"holds no checkpoint\nExpected model.safetensors or pytorch_model.bin")
    refused(tmp_path / "nowhere", "there is no")
    write(tmp_path / "pytorch_model-00001-of-00002.bin", tensors(), "zip")
    refused(tmp_path, "There is a shard pytorch_model-00001-of-00002.bin, but not")


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, {"s1": {"a": torch.ones(1)}, "s2": {"a": torch.zeros(1), "b": torch.ones(1)}})
    weight_map = {"weight_map": {"a": "s1", "b": "s2"}}
    (tmp_path / INDEX_NAMES["zip"]).write_text(json.dumps(weight_map))
    refused(tmp_path, "'a' is in s1 and in s2")


@pytest.mark.parametrize(
    ("name", "actual"), [("a", "it is in s1"), ("nowhere", "no shard has it")], ids=["elsewhere", "nowhere"]
)
def test_an_index_that_lies_is_refused(name: str, actual: str, tmp_path: Path) -> None:
    write_shards(tmp_path, {"s1": {"a": torch.ones(1), "c": torch.ones(1)}, "s2": {"b": torch.ones(1)}})
    weight_map = {"a": "s1", "b": "s2", "c": "s1"} | {name: "s2"}
    (tmp_path / INDEX_NAMES["zip"]).write_text(json.dumps({"weight_map": weight_map}))
    refused(tmp_path, f"says that '{name}' is in s2, but {actual}")


@pytest.mark.parametrize("shard", ["../secret", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "c:d", "a\0b", "x" * 300])
def test_an_index_cannot_leave_its_folder(shard: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write(tmp_path / "secret", {"a": torch.ones(1)}, "zip")
    (folder / INDEX_NAMES["zip"]).write_text(json.dumps({"weight_map": {"a": shard}}))
    refused(folder, "names the shard")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"weight_map": {}}',
        b'{"weight_map": {"a": 3}}',
        b'{"weight_map": {"a": "\xff"}}',
        b"[" * 99999,
    ],
    ids=lambda content: repr(content[:20]),
)
def test_an_index_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / INDEX_NAMES["zip"]).write_bytes(content)
    refused(tmp_path, "index")


def test_a_note_of_git_lfs_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    refused(tmp_path, "Git LFS's note")


# ---- attacks ----


class Attack:
    """Unpickling this makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@TORCH_FORMATS
def test_nothing_in_a_pickle_is_executed(file_format: str, tmp_path: Path) -> None:
    marker = tmp_path / "owned"
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.ones(1), "b": Attack(marker)}, path, _use_new_zipfile_serialization=file_format == "zip")
    refused(tmp_path, "names 'posix system'")
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()  # so the attack would have worked


def header(content: object, n_data_bytes: int = 8) -> bytes:
    encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(encoded)) + encoded + bytes(n_data_bytes)


def entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_the_handwritten_safetensors_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(header({"__metadata__": {"format": "pt"}, "a": entry()}))
    assert open_tensors(tmp_path).read("a").tolist() == [0, 0]


@pytest.mark.parametrize(
    "content",
    [
        header({"a": entry(shape=[3])}),
        header({"a": entry(offsets=[0, 4], shape=[1])}),
        header({"a": entry(offsets=[4, 8], shape=[1])}),
        header({"a": entry(), "b": entry()}),
        header({"a": entry(offsets=[0, 16], shape=[4])}),
        header({"a": entry(shape=[-1, -2])}),
        header({"a": entry(shape=[1 << 62, 1 << 62])}),
        header({"a": entry(shape=[1] * 9 + [2])}),
        header({"a": entry(offsets=[8, 0])}),
        header({"a": entry(offsets=[0])}),
        header({"a": entry(dtype="F8_E4M3", shape=[8])}),
        header({"a": entry(dtype=3)}),
        header({"a": entry(shape=[2.0])}),
        header({"a": 3}),
        header({}),
        header(b'{"a": ' + b"[" * 100_000),
        header(b'{"\xff": 1}'),
        b'\x00\x00\x00\x00\x00\x00\x00\x80{"a": 1}',
        struct.pack("<Q", 1 << 40) + b"{" + bytes(64),
        struct.pack("<Q", 9) + b"{",
    ],
)
def test_a_lying_safetensors_header_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    refused(tmp_path, "model.safetensors: ")


@pytest.mark.parametrize("content", [b"", b"x", b"PK\x03\x04", b"garbage" * 100, b"\x80\x02"])
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    refused(tmp_path, "pytorch_model.bin: ")


def test_a_zip_directory_of_any_size_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    n_bytes = 1 << 30
    with path.open("wb") as file:  # sparse: the gigabyte is not on the disk
        file.write(b"PK\x03\x04")
        file.seek(n_bytes)
        file.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, n_bytes - 4, 4, 0))
    refused(tmp_path, "a zip directory of")


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("valid")
    values = {"a": torch.ones(3), "b": torch.ones(2, 2).bfloat16()}
    return {kind: write(folder / kind, values, kind).read_bytes() for kind in ("zip", "legacy", "safetensors")}


@FORMATS
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused_but_never_worse(
    file_format: str, data: st.DataObject, valid: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(valid[file_format])
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)):
        content[at] = byte
    length = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    path = tmp_path_factory.getbasetemp() / f"damaged-{file_format}"
    path.write_bytes(content[:length])
    try:
        opened = open_tensors(path)
        arrays = [opened.read(name) for name in opened.facts]
    except BundleError:
        return
    assert all(array.nbytes <= 2 * len(content) for array in arrays)
