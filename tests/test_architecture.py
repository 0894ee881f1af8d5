"""The house keeps its own rules: imports point downward, engines stay in their room, nothing names a machine."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("runtime/gpt4roi_runtime", "export/gpt4roi_export", "desktop_app/gpt4roi_desktop")
MODULES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
RUNTIME = REPOSITORY / "runtime" / "gpt4roi_runtime"
ENGINES = {"onnxruntime", "llama_cpp", "tensorrt", "openvino"}


def _name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def _imports(path: Path) -> Iterator[str]:
    """Top-level names of everything a module imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("import_module", "importlib.import_module"):
            yield from (arg.value.partition(".")[0] for arg in node.args[:1] if _is_text(arg))  # type: ignore[attr-defined]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_there_are_modules_to_look_at() -> None:
    assert len(MODULES) > 30
    assert "onnxruntime" in set(_imports(RUNTIME / "backends" / "onnx_graph.py"))


def test_imports_point_downward() -> None:
    cli = pytest.importorskip("importlinter.cli")
    assert cli.lint_imports(config_filename=str(REPOSITORY / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_each_module_begins_by_saying_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", [path for path in MODULES if path.is_relative_to(RUNTIME)], ids=_name)
def test_the_runtime_imports_engines_in_one_room_and_torch_and_qt_nowhere(path: Path) -> None:
    imported = set(_imports(path))
    assert not imported & {"torch", "torchvision", "transformers", "PySide6", "PyQt6", "pickle"}
    if not path.is_relative_to(RUNTIME / "backends"):
        assert not imported & ENGINES


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_no_module_is_a_drawer_for_anything(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}


def _tracked() -> Iterator[tuple[str, str]]:
    """Name and text of every text file that is, or would be, in the repository."""
    git = shutil.which("git")
    if git is None or not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        [git, "-C", str(REPOSITORY), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = REPOSITORY / name
        content = path.read_bytes() if path.is_file() else b""
        if b"\0" not in content:  # a graph begins with its operators' names, and its weights come late
            yield name, content.decode("utf-8")


# A package index by its address, a file by its URL, a home folder. Written in pieces, so as not to find itself.
FOREIGN = re.compile(
    r"\w://[^\s/]+/" + r"simple\b|index[-_]url\W{1,4}\w+://|file:" + r"//|(?<![\w.:/])/(?:home|root|Users)" + r"/\w"
)


@pytest.mark.parametrize(
    "pieces",
    [
        ("--extra-index-url=", "https://x.org/"),
        ("https://x.org/", "simple"),
        ("file:", "///x"),
        ("cd /home", "/me"),
        ('"/root', '/x"'),
        ("/Users", "/me"),
    ],
)
def test_the_search_finds_what_it_looks_for(pieces: tuple[str, str]) -> None:
    assert FOREIGN.search("".join(pieces))


def test_no_file_names_a_machine_or_a_package_index() -> None:
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in _tracked()
        for number, line in enumerate(text.splitlines(), 1)
        if FOREIGN.search(line)
    ]
    assert not found
