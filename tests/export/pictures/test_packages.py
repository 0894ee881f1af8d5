import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gpt4roi_export.pictures import packages as module
from gpt4roi_export.pictures.packages import Package, fetch_missing, find_package, packages
from gpt4roi_runtime.errors import InputError

CONTENT = b"pictures"
PACKAGE = Package("x", "npm", "pics", "1.0", "pics-1.0.tgz", hashlib.sha256(CONTENT).hexdigest(), "MIT")


def test_the_list_is_complete() -> None:
    listed = packages()
    assert set(listed) == {"tuxpaint", "gcompris", "fluent", "templates", "openclipart"}
    for package in listed.values():
        assert package.registry in ("apt", "npm", "pip")
        assert len(bytes.fromhex(package.sha256)) == 32
        assert package.version.replace(":", "%3a") in package.file  # as apt-get names it
        assert package.licence


def test_another_hash_is_refused(tmp_path: Path) -> None:
    (tmp_path / PACKAGE.file).write_bytes(CONTENT)
    assert find_package(PACKAGE, tmp_path) == tmp_path / PACKAGE.file
    (tmp_path / PACKAGE.file).write_bytes(CONTENT + b"!")
    with pytest.raises(InputError, match="has sha256"):
        find_package(PACKAGE, tmp_path)


def test_a_missing_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pics-1\.0\.tgz"):
        find_package(PACKAGE, tmp_path)


def test_only_what_is_missing_is_fetched_and_all_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(PACKAGE, key="y", registry="apt", name="more", file="more_1.0.deb")
    monkeypatch.setattr(module, "packages", lambda: {"x": PACKAGE, "y": other})
    (tmp_path / PACKAGE.file).write_bytes(CONTENT)
    commands = []

    def run(command: list[str], cwd: Path, **_: object) -> "subprocess.CompletedProcess[str]":
        commands.append(command)
        (cwd / "more_1.0.deb").write_bytes(CONTENT if len(commands) == 1 else b"forged")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    fetch_missing(tmp_path)
    assert commands == [["apt-get", "download", "more=1.0"]]
    (tmp_path / "more_1.0.deb").unlink()
    with pytest.raises(InputError, match="has sha256"):
        fetch_missing(tmp_path)


def test_a_client_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "packages", lambda: {"x": PACKAGE})
    failed = subprocess.CompletedProcess(["npm"], 1, "", "some\nno such version\n\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(InputError, match=r"npm pack pics@1\.0 failed: no such version"):
        fetch_missing(tmp_path)


def test_a_missing_client_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "packages", lambda: {"x": PACKAGE})

    def run(*_: object, **__: object) -> None:
        raise FileNotFoundError("npm")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(InputError, match="npm cannot be started"):
        fetch_missing(tmp_path)
