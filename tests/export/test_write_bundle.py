import errno
from pathlib import Path

import pytest

from gpt4roi_export.write_bundle import file_entry, new_bundle
from gpt4roi_runtime.bundle.folder import MANIFEST_NAME
from gpt4roi_runtime.errors import OutputError


def fill(folder: Path, text: str = "new") -> None:
    (folder / MANIFEST_NAME).write_text(text)


def test_the_folder_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "bundle"
    with new_bundle(out) as folder:
        fill(folder)
        assert not out.exists()
    assert (out / MANIFEST_NAME).read_text() == "new"
    assert [path.name for path in out.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(errno.ENOSPC, "No space left on device"), OutputError),
        (ValueError("a bug"), ValueError),
    ],
    ids=["ctrl-c", "disk full", "bug"],
)
def test_nothing_is_left_when_it_fails(failure: BaseException, raised: type[BaseException], tmp_path: Path) -> None:
    def work() -> None:
        with new_bundle(tmp_path / "bundle") as folder:
            fill(folder)
            raise failure

    with pytest.raises(raised):
        work()
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    fill(tmp_path, "old")
    with pytest.raises(OutputError, match="already there"), new_bundle(tmp_path):
        pass
    assert (tmp_path / MANIFEST_NAME).read_text() == "old"


def test_force_replaces_a_bundle(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    for text in ("old", "new"):
        with new_bundle(out, replace=True) as folder:
            fill(folder, text)
    assert (out / MANIFEST_NAME).read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_failed_replacement_keeps_the_old_bundle(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with new_bundle(out) as folder:
        fill(folder, "old")

    def work() -> None:
        with new_bundle(out, replace=True) as folder:
            fill(folder, "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert (out / MANIFEST_NAME).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_force_replaces_nothing_but_a_bundle(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("precious")
    elif kind == "folder":
        out.mkdir()
        (out / "precious").write_text("precious")
    else:
        out.symlink_to(tmp_path)
    with pytest.raises(OutputError, match="already there"), new_bundle(out, replace=True):
        pass
    assert out.exists()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write the bundle"), new_bundle(tmp_path / "file" / "bundle"):
        pass


def test_an_entry_tells_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    entry = file_entry(tmp_path, "abc")
    assert (entry.path, entry.size_bytes) == ("abc", 3)
    assert entry.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
