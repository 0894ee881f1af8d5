"""Files of kept images: bytes come back whole or not at all, whatever happened to the file, the folder or the disk."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_runtime import image_store
from gpt4roi_runtime.errors import SettingsError
from gpt4roi_runtime.image_store import STORE_VARIABLE, ImageStore, Label, store_folder

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions, links and pipes")
LABEL = Label("features", "b" * 16, "1" * 64, "an engine 1.2")
BODY = np.arange(3000, dtype=np.float32)
MOST = 1 << 20


class Notes(list[str]):
    """What a person was told."""


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def store(tmp_path: Path, notes: Notes) -> ImageStore:
    return ImageStore(tmp_path / "store", MOST, notes.append)


@pytest.fixture
def kept(store: ImageStore) -> Path:
    """A good file."""
    assert store.put(LABEL, [BODY])
    return store.path_of(LABEL)


def with_key(number: int) -> Label:
    return msgspec.structs.replace(LABEL, key=f"{number:064x}")


def test_bytes_come_back_as_they_were(store: ImageStore, notes: Notes) -> None:
    more = np.array([[1, 2], [3, 4]], dtype=np.uint8)
    assert not store.holds(LABEL)
    assert store.get(LABEL, MOST) is None
    assert store.put(LABEL, [BODY, more])
    assert store.holds(LABEL)
    found = store.get(LABEL, BODY.nbytes + 4)
    assert found is not None
    np.testing.assert_array_equal(found[:-4].view(np.float32), BODY)
    assert found[-4:].tolist() == [1, 2, 3, 4]
    assert notes == []


def test_a_new_body_takes_the_place_of_the_old(store: ImageStore, kept: Path) -> None:
    assert store.put(LABEL, [BODY[:5]])
    found = store.get(LABEL, MOST)
    assert found is not None
    assert found.nbytes == 20
    assert list(kept.parent.iterdir()) == [kept]


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "prefix"},
        {"bundle_id": "c" * 16},
        {"key": "2" * 64},
        {"made_by": "an engine 1.3"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_label_has_nothing_even_under_its_name(
    store: ImageStore, kept: Path, notes: Notes, other: dict[str, str]
) -> None:
    label = msgspec.structs.replace(LABEL, **other)
    assert store.get(label, MOST) is None
    assert notes == []
    place = store.path_of(label)
    place.write_bytes(kept.read_bytes())
    assert store.get(label, MOST) is None
    assert "another image, bundle, engine" in notes[0]
    assert not place.exists()
    assert store.get(LABEL, MOST) is not None


@posix_only
def test_folder_and_files_are_their_owners_alone(store: ImageStore, kept: Path) -> None:
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


# --- damage


def _refused(store: ImageStore, path: Path, notes: Notes) -> None:
    """Nothing comes back, a person is told once, and the next bytes are kept."""
    assert store.get(LABEL, MOST) is None
    assert len(notes) == 1
    assert str(path) in notes[0]
    assert store.get(LABEL, MOST) is None
    assert store.put(LABEL, [BODY])
    found = store.get(LABEL, MOST)
    assert found is not None
    np.testing.assert_array_equal(found.view(np.float32), BODY)


@pytest.mark.parametrize("n_left", [0, 1, 15, 16, 19, 20, 21, 100, 300, 500, -BODY.nbytes, -4000, -1])
def test_a_truncated_file_is_refused_and_replaced(store: ImageStore, kept: Path, notes: Notes, n_left: int) -> None:
    kept.write_bytes(kept.read_bytes()[:n_left])
    _refused(store, kept, notes)


def test_a_longer_file_is_refused(store: ImageStore, kept: Path, notes: Notes) -> None:
    kept.write_bytes(kept.read_bytes() + b"\0")
    _refused(store, kept, notes)


def test_every_byte_of_the_header_counts(store: ImageStore, kept: Path) -> None:
    good = kept.read_bytes()
    for offset in range(len(good) - BODY.nbytes):
        for flip in (0x01, 0x20, 0x80):
            spoiled = bytearray(good)
            spoiled[offset] ^= flip
            kept.write_bytes(spoiled)
            assert store.get(LABEL, MOST) is None, offset
    kept.write_bytes(good)
    assert store.get(LABEL, MOST) is not None


@pytest.mark.parametrize("offset", [-BODY.nbytes, -5000, -1])
def test_a_flipped_bit_of_the_body_is_refused(store: ImageStore, kept: Path, notes: Notes, offset: int) -> None:
    spoiled = bytearray(kept.read_bytes())
    spoiled[offset] ^= 4
    kept.write_bytes(spoiled)
    _refused(store, kept, notes)


def _file(header: object, body: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else msgspec.json.encode(header)
    return image_store._MAGIC + len(raw).to_bytes(4, "little") + raw + body


def _header(**other: object) -> dict[str, object]:
    honest = {"version": 1, "label": msgspec.to_builtins(LABEL), "n_bytes": 1, "sha256": "0" * 64}
    return {**honest, **other}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 500,
        b"\x80\x04pickle",
        _file(_header(n_bytes=1 << 39)),
        _file(_header(n_bytes=1 << 70)),
        _file(_header(n_bytes=0)),
        _file(_header(n_bytes=-1)),
        _file(_header(n_bytes=MOST + 1), b"\0" * (MOST + 1)),
        _file(_header(version=2), b"\0"),
        _file(_header(more=1), b"\0"),
        _file(_header(sha256="0" * 63), b"\0"),
        _file(_header(label={}), b"\0"),
        _file(msgspec.json.format(msgspec.json.encode(_header()), indent=1), b"\0"),
        _file(b"[" * 16000),
        _file(b"\xff\xfe"),
        _file(b" " * 20000),
        image_store._MAGIC + b"\xff\xff\xff\xff" + b"{}",
    ],
)
def test_a_file_that_was_never_ours_is_refused(store: ImageStore, kept: Path, notes: Notes, content: bytes) -> None:
    kept.write_bytes(content)
    _refused(store, kept, notes)


@given(content=st.one_of(st.binary(max_size=400), st.binary(max_size=300).map(_file)))
def test_no_bytes_are_believed_or_raise(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    store = ImageStore(tmp_path_factory.getbasetemp() / "any", MOST)
    store.put(LABEL, [BODY])
    store.path_of(LABEL).write_bytes(content)
    assert store.get(LABEL, MOST) is None


def test_a_larger_file_than_expected_is_not_read(
    store: ImageStore, kept: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_store.np, "empty", lambda *_, **__: pytest.fail("no memory may be taken for it"))
    assert store.get(LABEL, BODY.nbytes - 1) is None
    assert f"{BODY.nbytes:,} bytes, more than the {BODY.nbytes - 1:,}" in notes[0]


def test_a_folder_in_the_place_of_a_file_is_refused(store: ImageStore, kept: Path, notes: Notes) -> None:
    kept.unlink()
    kept.mkdir()
    assert not store.holds(LABEL)
    assert store.get(LABEL, MOST) is None
    assert "regular file" in notes[0]
    assert not store.put(LABEL, [BODY])
    assert "not kept" in notes[1]
    assert list(kept.parent.iterdir()) == [kept]


@posix_only
def test_links_are_not_followed(store: ImageStore, kept: Path, notes: Notes, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    kept.rename(outside)
    kept.symlink_to(outside)
    assert not store.holds(LABEL)
    _refused(store, kept, notes)
    assert outside.exists()
    assert not kept.is_symlink()


@posix_only
def test_a_pipe_does_not_make_anybody_wait(store: ImageStore, kept: Path, notes: Notes) -> None:
    kept.unlink()
    os.mkfifo(kept)
    _refused(store, kept, notes)


@posix_only
def test_a_file_exchanged_for_a_pipe_is_refused_too(
    store: ImageStore, kept: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(kept.with_name("pipe"))
    open_file = os.open
    monkeypatch.setattr(image_store.os, "open", lambda path, flags: open_file(Path(path).with_name("pipe"), flags))
    assert store.get(LABEL, MOST) is None
    assert "regular file" in notes[0]


def _raise(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_a_file_that_cannot_be_read_is_left_alone(
    store: ImageStore, kept: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(image_store.os, "open", _raise(PermissionError(errno.EACCES, "Permission denied")))
        assert store.get(LABEL, MOST) is None
        patched.undo()
        patched.setattr(image_store.np, "empty", _raise(MemoryError()))
        assert store.get(LABEL, MOST) is None
    assert "Permission denied" in notes[0]
    assert "not enough memory" in notes[1]
    assert store.get(LABEL, MOST) is not None


# --- room


def _size(store: ImageStore, kept: Path) -> int:
    n_files, n_bytes = store.usage()
    assert (n_files, n_bytes) == (1, kept.stat().st_size)
    return n_bytes


def test_what_was_used_longest_ago_makes_room(store: ImageStore, kept: Path, notes: Notes) -> None:
    n_bytes = _size(store, kept)
    small = ImageStore(kept.parent, 3 * n_bytes, notes.append)
    kept.unlink()
    for number in range(3):
        assert small.put(with_key(number), [BODY])
        os.utime(small.path_of(with_key(number)), (1000 + number, 1000 + number))
    assert small.get(with_key(0), MOST) is not None  # used last now
    assert small.put(with_key(3), [BODY])
    assert [small.holds(with_key(number)) for number in range(4)] == [True, False, True, True]
    assert small.put(with_key(0), [BODY])  # in its own place
    assert [small.holds(with_key(number)) for number in range(4)] == [True, False, True, True]
    assert small.usage() == (3, 3 * n_bytes)
    assert notes == []


def test_all_is_forgotten_but_what_is_not_ours(store: ImageStore, kept: Path) -> None:
    mine, leftover = kept.with_name("notes.txt"), kept.with_name(f".{kept.name}.01234567.part")
    mine.write_bytes(b"mine")
    leftover.write_bytes(b"half")
    assert store.put(with_key(1), [BODY])
    assert store.forget() == (0, 0)
    assert list(kept.parent.iterdir()) == [mine]
    assert ImageStore(kept.parent / "nowhere").forget() == (0, 0)


def test_the_usual_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path))
    assert store_folder() == tmp_path
    monkeypatch.delenv(STORE_VARIABLE)
    assert store_folder().parts[-2:] == ("gpt4roi-edge", "images")


def test_bytes_beyond_the_budget_are_not_kept_and_push_nothing_out(store: ImageStore, kept: Path) -> None:
    small = ImageStore(kept.parent, _size(store, kept))
    assert not small.put(with_key(1), [BODY, BODY[:1]])
    assert small.holds(LABEL)
    assert not ImageStore(kept.parent, 0).put(with_key(1), [BODY])


def test_a_file_larger_than_the_budget_is_not_read(store: ImageStore, kept: Path, notes: Notes) -> None:
    assert ImageStore(kept.parent, 100, notes.append).get(LABEL, MOST) is None
    assert "more than the 100 expected" in notes[0]


def test_only_files_of_our_own_are_counted_or_removed(store: ImageStore, kept: Path) -> None:
    n_bytes = _size(store, kept)
    others = [kept.with_name(name) for name in ("photo.jpg", "1.kept", f"{'A' * 64}.kept", f"{'a' * 64}.kept.txt")]
    for other in others:
        other.write_bytes(b"x" * n_bytes)
        os.utime(other, (1, 1))
    ImageStore(kept.parent, n_bytes).put(with_key(1), [BODY])
    assert not kept.exists()
    assert all(other.exists() for other in others)


def test_what_a_killed_writer_left_is_removed_in_time(store: ImageStore, kept: Path) -> None:
    old, young = (kept.with_name(f".{kept.name}.{number:08x}.part") for number in range(2))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    store.put(with_key(1), [BODY])
    assert not old.exists()
    assert young.exists()


def test_a_budget_below_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="-1 bytes"):
        ImageStore(tmp_path, -1)


# --- a disk that will not


@pytest.mark.parametrize("what", ["fsync", "replace", "mkdir"])
def test_a_full_disk_costs_the_file_alone(
    tmp_path: Path, notes: Notes, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    store = ImageStore(tmp_path / "store", MOST, notes.append)
    full = _raise(OSError(errno.ENOSPC, "No space left on device"))
    with monkeypatch.context() as patched:
        if what == "fsync":
            patched.setattr(os, "fsync", full)
        else:
            patched.setattr(Path, what, full)
        assert not store.put(LABEL, [BODY])
        assert not store.put(LABEL, [BODY])
    assert len(notes) == 1  # not after every question
    assert "No space left on device" in notes[0]
    assert store.usage() == (0, 0)
    assert not list(tmp_path.glob("store/*"))
    assert store.put(LABEL, [BODY])


def test_a_folder_that_is_a_file_costs_the_files_alone(tmp_path: Path, notes: Notes) -> None:
    (tmp_path / "store").write_bytes(b"")
    store = ImageStore(tmp_path / "store", MOST, notes.append)
    assert store.get(LABEL, MOST) is None
    assert not store.put(LABEL, [BODY])
    assert store.usage() == (0, 0)
    (note,) = notes
    assert "not kept" in note


# --- several at once

CHILD = """
import sys
from pathlib import Path
import numpy as np
from gpt4roi_runtime.image_store import ImageStore, Label
notes = []
store = ImageStore(Path(sys.argv[1]), 1 << 20, notes.append)
for round in range(40):
    for number in range(3):
        label = Label("prefix", "b", f"{number:064x}", "")
        body = store.get(label, 1 << 20)
        assert body is None or (body.view(np.int32) == number).all()
        assert store.put(label, [np.full(20_000, number, dtype=np.int32)])
assert notes == [], notes
"""


def test_processes_that_write_one_file_at_once_do_no_harm(tmp_path: Path) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
    store = ImageStore(tmp_path)
    for number in range(3):
        found = store.get(Label("prefix", "b", f"{number:064x}", ""), MOST)
        assert found is not None
        assert (found.view(np.int32) == number).all()
    assert len(list(tmp_path.iterdir())) == 3


def test_threads_that_evict_each_others_files_do_no_harm(store: ImageStore, kept: Path, notes: Notes) -> None:
    small = ImageStore(kept.parent, 2 * kept.stat().st_size, notes.append)

    def work(seed: int) -> None:
        for number in np.random.default_rng(seed).integers(4, size=50):
            found = small.get(with_key(int(number)), MOST)
            assert found is None or (found.view(np.float32) == number).all()
            small.put(with_key(int(number)), [np.full_like(BODY, number)])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes == []
