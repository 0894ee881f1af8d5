from pathlib import Path

import pytest

from gpt4roi_export.pictures.deb import read_deb
from gpt4roi_runtime.errors import InputError
from tests.export.pictures.packaging import deb, member


def test_only_wanted_plain_files_are_read(tmp_path: Path) -> None:
    files = {"./usr/share/x/a.png": b"picture", "./usr/bin/y": b"program"}
    package = deb(tmp_path / "x.deb", files, link="./usr/share/x/b.png")
    assert list(read_deb(package, ("usr/share/x/",))) == [("usr/share/x/a.png", b"picture")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\3\4",
        b"!<arch>\n",
        b"!<arch>\n" + member("control.tar", b"none"),
        b"!<arch>\n" + member("data.tar.xz", b"nonsense"),
        b"!<arch>\n" + member("data.tar.xz", b"12345678").replace(b"8         `", b"minus one `"),
    ],
)
def test_anything_else_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.deb cannot be read"):
        list(read_deb(path, ("usr/",)))


def test_a_cut_package_is_refused(tmp_path: Path) -> None:
    path = deb(tmp_path / "x.deb", {"./usr/a": bytes(range(256)) * 40})
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"x\.deb"):
        list(read_deb(path, ("usr/",)))


def test_a_missing_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.deb"):
        list(read_deb(tmp_path / "none.deb", ("usr/",)))
