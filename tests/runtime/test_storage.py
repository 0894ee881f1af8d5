import errno
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from gpt4roi_runtime.errors import OutputError
from gpt4roi_runtime.storage import sha256_of, written_aside

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits and permissions")
if sys.platform != "win32":
    import resource


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file that is there already."""
    path = tmp_path / "answer.bin"
    path.write_bytes(b"old")
    return path


def _write(target: Path, content: bytes = b"new") -> None:
    with written_aside(target) as file:
        file.write(content)


def _write_half_and_raise(target: Path, error: type[BaseException]) -> NoReturn:
    with written_aside(target) as file:
        file.write(b"half")
        raise error


def _only_the_old_is_left(target: Path) -> bool:
    return target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]


def test_the_file_appears_with_all_its_content(tmp_path: Path) -> None:
    _write(tmp_path / "new.bin", b"x" * 3_000_000)
    assert (tmp_path / "new.bin").read_bytes() == b"x" * 3_000_000
    assert list(tmp_path.iterdir()) == [tmp_path / "new.bin"]


def test_an_older_file_is_replaced(target: Path) -> None:
    _write(target)
    assert target.read_bytes() == b"new"


def test_readers_see_the_old_content_until_the_end(target: Path) -> None:
    with written_aside(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_any_error_leaves_the_old_and_goes_on_unchanged(target: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        _write_half_and_raise(target, error)
    assert _only_the_old_is_left(target)


def test_an_error_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _write_half_and_raise(tmp_path / "new.bin", KeyboardInterrupt)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond a kilobyte: the kernel itself refuses the write. Pytest's own files too: be brief."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@posix_only
@pytest.mark.parametrize("n_bytes", [2_000, 100_000], ids=["at the flush", "at the write"])
def test_a_write_the_kernel_refuses_leaves_the_old(target: Path, n_bytes: int) -> None:
    with pytest.raises(OutputError) as refused, full_disk():
        _write(target, bytes(n_bytes))
    assert str(target) in refused.value.problem
    assert _only_the_old_is_left(target)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fills_up_at_the_end_leaves_the_old(
    target: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((os, "fsync", full) if step == "fsync" else (Path, "replace", full)))
    with pytest.raises(OutputError, match="No space left on device") as refused:
        _write(target)
    assert "free some space" in refused.value.advice
    assert _only_the_old_is_left(target)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"none.+new\.bin.+No such file"):
        _write(tmp_path / "none" / "new.bin")


def test_a_file_as_a_folder_is_refused(target: Path) -> None:
    with pytest.raises(OutputError, match=r"answer\.bin"):
        _write(target / "new.bin")
    assert _only_the_old_is_left(target)


def test_a_folder_as_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder"):
        _write(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_a_name_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="too long"):
        _write(tmp_path / ("x" * 300))


@posix_only
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        _write(tmp_path / "new.bin")
        assert (tmp_path / "new.bin").stat().st_mode & 0o777 == 0o666 & ~umask
        assert os.umask(umask) == umask
    finally:
        os.umask(before)


@pytest.mark.parametrize("n_bytes", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_the_hash_is_that_of_the_whole_file(tmp_path: Path, n_bytes: int) -> None:
    path, heard = tmp_path / "file.bin", list[int]()
    path.write_bytes(bytes(n_bytes))
    assert sha256_of(path, heard.append) == hashlib.sha256(bytes(n_bytes)).hexdigest()
    assert sum(heard) == n_bytes
    assert max(heard, default=0) <= 1 << 20


def test_the_hash_of_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "none")
