import struct

import pytest

from gpt4roi_export.pictures.rcc import read_rcc
from gpt4roi_runtime.errors import InputError
from tests.export.pictures.packaging import COMPRESSED, ZSTANDARD, rcc


@pytest.mark.parametrize("flags", [0, COMPRESSED])
def test_files_come_with_their_paths(flags: int) -> None:
    files = {"a.webp": b"first", "b.webp": b"", "ü.webp": b"x" * 1000}
    assert dict(read_rcc(rcc(files, flags=flags))) == {f"pics/{name}": content for name, content in files.items()}


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a\\b", "", "a\0"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="no file name"):
        list(read_rcc(rcc({name: b"x"})))
    with pytest.raises(InputError, match="no file name"):
        list(read_rcc(rcc({"a": b"x"}, folders=(name,))))


def test_every_truncation_is_refused() -> None:
    whole = rcc({"a.webp": b"some bytes"})
    for n_bytes in range(len(whole) - 8):  # the last eight are a time that nobody reads
        with pytest.raises(InputError):
            list(read_rcc(whole[:n_bytes]))


@pytest.mark.parametrize("at", [8, 12, 16])
def test_parts_beyond_the_file_are_refused(at: int) -> None:
    damaged = bytearray(rcc({"a.webp": b"some bytes"}))
    damaged[at : at + 4] = b"\xff\xff\xff\xf0"
    with pytest.raises(InputError, match="beyond"):
        list(read_rcc(bytes(damaged)))


@pytest.mark.parametrize("first_child", [0, 1])
def test_a_folder_inside_itself_is_refused(first_child: int) -> None:
    with pytest.raises(InputError, match="claims"):
        list(read_rcc(rcc({"a": b"x"}, first_child=first_child)))


def test_other_formats_are_refused() -> None:
    whole = rcc({"a": b"x"})
    with pytest.raises(InputError, match="version is 9"):
        list(read_rcc(whole[:4] + struct.pack(">I", 9) + whole[8:]))
    with pytest.raises(InputError, match="qres"):
        list(read_rcc(b"PK\3\4" + whole))
    with pytest.raises(InputError, match="Zstandard"):
        list(read_rcc(rcc({"a": b"x"}, flags=ZSTANDARD)))


def test_a_broken_compression_is_refused() -> None:
    whole = rcc({"a": b"some bytes, some bytes"}, flags=COMPRESSED)
    with pytest.raises(InputError, match="inflated"):
        list(read_rcc(whole.replace(b"\x78\x9c", b"\x00\x00", 1)))
