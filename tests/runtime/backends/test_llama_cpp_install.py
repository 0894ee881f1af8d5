"""The install script of llama-cpp-python: when it builds, with what, and what it remembers. Nothing is compiled."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gpt4roi_runtime.backends.llama_cpp_library import PINNED_VERSION

SCRIPT = Path(__file__).resolve().parents[3] / "runtime" / "native" / "install_llama_cpp.py"
GCC = "g++ (Debian 12.2.0-14) 12.2.0"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with a package, a wheelhouse and a log of its own, and with GCC on x86-64."""
    spec = importlib.util.spec_from_file_location("install_llama_cpp", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "install_llama_cpp", module)
    spec.loader.exec_module(module)
    for name in ("CMAKE_ARGS", "CXXFLAGS", "CXX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GPT4ROI_WHEELHOUSE", str(tmp_path / "wheels"))
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "llama_cpp")
    monkeypatch.setattr(module, "RECORD", tmp_path / "llama_cpp" / "record.json")
    monkeypatch.setattr(module, "LOG", tmp_path / "build.log")
    monkeypatch.setattr(module, "compiler_version", lambda: GCC)
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    return module


class Builds:
    """Stands for the compiler and pip; counts what they are asked for."""

    def __init__(self, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.package: Path = module.PACKAGE
        self.n_built = self.n_installed = 0
        monkeypatch.setattr(module, "build", self.build)
        monkeypatch.setattr(module, "pip_install", self.pip_install)

    def build(self, recipe: object, folder: Path) -> Path:
        self.n_built += 1
        wheel = folder / "llama_cpp_python-0.whl"
        wheel.write_bytes(b"wheel")
        return wheel

    def pip_install(self, wheel: Path) -> None:
        assert wheel.read_bytes() == b"wheel"
        self.n_installed += 1
        (self.package / "lib").mkdir(parents=True, exist_ok=True)
        (self.package / "lib" / "libllama.so").write_bytes(b"library")


@pytest.fixture
def builds(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Builds:
    return Builds(script, monkeypatch)


def install(script: ModuleType, *, rebuild: bool = False) -> None:
    script.install(script.make_recipe(), rebuild=rebuild)


def test_the_right_build_is_not_built_again(script: ModuleType, builds: Builds) -> None:
    install(script)
    install(script)
    assert (builds.n_built, builds.n_installed) == (1, 1)


def test_a_fresh_environment_takes_the_kept_wheel(script: ModuleType, builds: Builds) -> None:
    install(script)
    shutil.rmtree(builds.package)
    install(script)
    assert (builds.n_built, builds.n_installed) == (1, 2)


def test_a_plain_pip_install_over_it_is_noticed(script: ModuleType, builds: Builds) -> None:
    install(script)
    (builds.package / "lib" / "libllama.so").write_bytes(b"plain")
    install(script)
    assert (builds.n_built, builds.n_installed) == (1, 2)


@pytest.mark.parametrize("damage", [b"", b"[]", b"{"])
def test_a_damaged_record_is_as_good_as_none(script: ModuleType, builds: Builds, damage: bytes) -> None:
    install(script)
    script.RECORD.write_bytes(damage)
    install(script)
    assert builds.n_installed == 2


def test_missing_libraries_are_noticed(script: ModuleType, builds: Builds) -> None:
    install(script)
    shutil.rmtree(builds.package / "lib")
    install(script)
    assert builds.n_installed == 2


def test_rebuild_compiles_whatever_is_there(script: ModuleType, builds: Builds) -> None:
    install(script)
    install(script, rebuild=True)
    assert builds.n_built == 2


def test_other_flags_are_another_build(script: ModuleType, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    install(script)
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    recipe = script.make_recipe()
    assert recipe.cmake_args.endswith(" -DGGML_CUDA=on")
    install(script)
    assert builds.n_built == 2


def test_compiler_and_processor_belong_to_the_key(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {script.make_recipe().key}
    monkeypatch.setattr(script, "compiler_version", lambda: "g++ 13.3.0")
    keys.add(script.make_recipe().key)
    monkeypatch.setattr(script, "processor", lambda: "another")
    keys.add(script.make_recipe().key)
    assert len(keys) == 3


def test_each_header_is_where_it_is_needed(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def headers() -> list[str]:
        assert all(header.is_file() for _, header in script.forced_headers(script.compiler_version()))
        flags = [one for one in script.shlex.split(script.make_recipe().cmake_args) if "-include" in one]
        return [script.shlex.split(one)[-1].rsplit("/", 1)[-1] for one in flags]

    monkeypatch.setattr(script, "compiler_version", lambda: GCC)
    monkeypatch.setattr(script.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(script.platform, "system", lambda: "Linux")
    assert headers() == ["huge_pages.h", "amx_tile_config.h"]
    monkeypatch.setattr(script, "compiler_version", lambda: "Debian clang version 19.1.7")
    assert headers() == ["huge_pages.h"]
    monkeypatch.setattr(script.platform, "machine", lambda: "aarch64")
    assert headers() == ["huge_pages.h"]
    monkeypatch.setattr(script.platform, "system", lambda: "Darwin")
    assert headers() == []


def test_a_place_with_spaces_is_quoted_twice(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = tmp_path / "a b" / "amx.h"
    header.parent.mkdir()
    header.write_text("")
    monkeypatch.setattr(script, "forced_headers", lambda _compiler: [("CXX", header)])
    monkeypatch.setenv("CXXFLAGS", "-g")
    (flags,) = (one for one in script.shlex.split(script.make_recipe().cmake_args) if "CMAKE_CXX_FLAGS" in one)
    assert script.shlex.split(flags) == ["-DCMAKE_CXX_FLAGS=-g", "-include", str(header)]


def test_two_checkouts_share_a_key_until_a_header_changes(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    for place, text in (("a", "1"), ("b", "1"), ("c", "2")):
        header = tmp_path / place
        header.write_text(text)
        monkeypatch.setattr(script, "forced_headers", lambda _compiler, header=header: [("C", header)])
        keys.append(script.make_recipe().key)
    assert keys[0] == keys[1] != keys[2]


def test_colliding_flags_are_refused(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMAKE_ARGS", "-DCMAKE_CXX_FLAGS=-O1")
    with pytest.raises(script.BuildError, match="CXXFLAGS"):
        script.make_recipe()


def test_a_failed_build_shows_the_end_of_its_log(script: ModuleType, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('[1/2] cc'); print('fatal error: x'); import sys; sys.exit(3)"]
    log: list[str] = []
    assert script.run_with_progress(command, {}, log.append) == 3
    assert log == ["[1/2] cc\n", "fatal error: x\n"]
    recipe = script.Recipe(cmake_args="", key="k")
    script.run_with_progress = lambda command, environment, write: write("fatal error: x\n") and 1
    with pytest.raises(script.BuildError, match=r"(?s)fatal error: x.*build\.log"):
        script.build(recipe, tmp_path)


def test_a_log_that_cannot_be_written_is_said(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "LOG", tmp_path / "none" / "build.log")
    with pytest.raises(script.BuildError, match=r"cannot write .*build\.log"):
        script.build(script.Recipe(cmake_args="", key="k"), tmp_path)


@pytest.mark.parametrize("stop", [OSError("disk full"), KeyboardInterrupt()], ids=["full", "interrupted"])
def test_a_copy_that_stops_half_way_leaves_nothing(
    script: ModuleType, builds: Builds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    def half(_from: Path, to: Path) -> None:
        to.write_bytes(b"wh")
        raise stop

    monkeypatch.setattr(script.shutil, "copyfile", half)
    monkeypatch.setattr(script.tempfile, "tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    if isinstance(stop, OSError):
        install(script)
        assert builds.n_installed == 1
    else:
        with pytest.raises(KeyboardInterrupt):
            install(script)
    assert [file for file in (tmp_path / "wheels").rglob("*") if file.is_file()] == []
    assert list((tmp_path / "temp").iterdir()) == []


@pytest.mark.parametrize(("stage", "words"), [("build", "nothing was installed"), ("pip_install", "half installed")])
def test_a_stop_says_what_is_true(
    script: ModuleType,
    builds: Builds,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    words: str,
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    install(script)
    monkeypatch.setattr(script, stage, stopped)
    monkeypatch.setattr(sys, "argv", ["install", "--rebuild"])
    assert script.main() == 130
    assert words in capsys.readouterr().err
    assert script.is_installed(script.make_recipe()) == (stage == "build")


def test_the_cuda_compiler_belongs_to_the_key_of_cuda_builds_only(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> set[str]:
        found = set()
        for version in ("12.6", "13.0"):
            monkeypatch.setattr(script, "cuda_compiler_version", lambda version=version: version)
            found.add(script.make_recipe().key)
        return found

    assert len(keys()) == 1
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    assert len(keys()) == 2


def test_the_cuda_compiler_is_asked(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDACXX", sys.executable)
    assert script.cuda_compiler_version().startswith("Python")
    monkeypatch.setenv("CUDACXX", "/none")
    assert script.cuda_compiler_version() == ""


def test_one_version_is_meant_everywhere(script: ModuleType) -> None:
    line = f"llama-cpp-python=={PINNED_VERSION}"
    repository = SCRIPT.parents[2]
    assert script.VERSION == PINNED_VERSION
    assert f'"{line}"' in (repository / "pyproject.toml").read_text()
    assert line in (repository / "constraints.txt").read_text().splitlines()


def test_a_wheelhouse_that_cannot_be_written_does_no_harm(
    script: ModuleType, builds: Builds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GPT4ROI_WHEELHOUSE", str(tmp_path / "file" / "wheels"))
    install(script)
    assert builds.n_installed == 1
