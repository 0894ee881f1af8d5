"""`gpt4roi app`, up to the window."""

from tests.helpers.child import REPOSITORY, run_child

APP = f"import sys; sys.path.insert(0, {str(REPOSITORY / 'desktop_app')!r})\n"
MAIN = "from gpt4roi_runtime.__main__ import main; sys.argv[1:] = ['app']; main()"


def test_without_qt_it_says_what_to_install() -> None:
    child = run_child(f"{APP}sys.modules['PySide6'] = None\n{MAIN}")
    assert child.returncode == 2
    assert "PySide6 is not installed" in child.stderr
    assert "pip install 'gpt4roi-edge[app]'" in child.stderr
    assert "Traceback" not in child.stderr


def test_a_library_of_the_system_that_is_missing_is_named() -> None:
    broken = (
        "import importlib\n"
        "def broken(name): raise ImportError('libEGL.so.1: cannot open shared object file')\n"
        "importlib.import_module, real = (lambda name: broken(name) if name == 'gpt4roi_desktop.app' else real(name)),"
        " importlib.import_module\n"
    )
    child = run_child(f"{APP}{broken}{MAIN}")
    assert child.returncode == 2
    assert "libEGL.so.1" in child.stderr
    assert "apt install" in child.stderr


def test_help_needs_no_qt() -> None:
    child = run_child(f"{APP}sys.modules['PySide6'] = None\n{MAIN.replace('app', 'app.py')}")
    assert child.returncode == 2
    child = run_child(f"{APP}sys.modules['PySide6'] = None\n{MAIN.replace(repr(['app']), repr(['app', '--help']))}")
    assert child.returncode == 0
    assert "--bundle" in child.stdout
