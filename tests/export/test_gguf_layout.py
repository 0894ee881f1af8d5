import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from gpt4roi_export.gguf_layout import (
    GgufLayout,
    header_bytes,
    number_entry,
    padded_bytes,
    read_layout,
    text_entry,
)
from gpt4roi_runtime.errors import BundleError
from tests.helpers.tiny_gguf import MetadataValue, write_tiny_gguf


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Every kind of entry that a walk has to step over.
    kinds: dict[str, MetadataValue] = {
        "a.bool": True,
        "a.float": 0.5,
        "a.text": "é",
        "a.long": 1 << 40,
        "a.floats": [0.5, 1.5],
        "a.texts": ["é"],
    }
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf", metadata=kinds)


def test_it_finds_what_the_gguf_package_finds(tiny: Path) -> None:
    layout, reader = read_layout(tiny), GGUFReader(tiny)
    assert list(layout.entries) == [key for key in reader.fields if not key.startswith("GGUF.")]
    assert layout.alignment == reader.alignment
    for place, tensor in zip(layout.tensors, reader.tensors, strict=True):
        assert (place.name, place.type_number) == (tensor.name, tensor.tensor_type)
        assert place.shape == tuple(map(int, tensor.shape))
        assert (place.offset_bytes, place.size_bytes) == (tensor.data_offset, tensor.n_bytes)


def test_an_unchanged_layout_gives_the_same_header(tiny: Path) -> None:
    layout = read_layout(tiny)
    header = header_bytes(layout)
    assert header == tiny.read_bytes()[: layout.tensors[0].offset_bytes]
    assert len(header) == layout.tensors[0].offset_bytes


def test_another_alignment_and_new_entries(tiny: Path, tmp_path: Path) -> None:
    layout, content = read_layout(tiny), tiny.read_bytes()
    entries = {
        **layout.entries,
        "general.alignment": number_entry("general.alignment", 256),
        "general.description": text_entry("general.description", "é"),
    }
    wide = GgufLayout(layout.version, entries, layout.tensors)
    path = tmp_path / "wide.gguf"
    with path.open("wb") as file:
        file.write(header_bytes(wide))
        for place in layout.tensors:
            file.write(
                content[place.offset_bytes :][: place.size_bytes].ljust(padded_bytes(place.size_bytes, 256), b"\0")
            )
    reader = GGUFReader(path)
    assert reader.fields["general.description"].contents() == "é"
    for tensor, old in zip(reader.tensors, GGUFReader(tiny).tensors, strict=True):
        np.testing.assert_array_equal(tensor.data, old.data)
    moved = read_layout(path).tensors
    assert [place.offset_bytes for place in moved] == [tensor.data_offset for tensor in reader.tensors]
    assert [replace(place, offset_bytes=0) for place in moved] == [replace(p, offset_bytes=0) for p in layout.tensors]


@pytest.mark.parametrize("n_bytes", [0, 3, 30, 200])
def test_a_file_cut_since_it_was_checked(n_bytes: int, tiny: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny.read_bytes()[:n_bytes])
    with pytest.raises(BundleError, match="cannot read"):
        read_layout(cut)


def test_a_type_that_does_not_exist(tiny: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    key, boolean, unknown = b"a.bool", struct.pack("<I", 7), struct.pack("<I", 99)
    broken.write_bytes(tiny.read_bytes().replace(key + boolean, key + unknown))
    with pytest.raises(BundleError, match="cannot read"):
        read_layout(broken)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=os.strerror(2)):
        read_layout(tmp_path / "nothing.gguf")
