import sys

import pytest

from gpt4roi_runtime.own_python import command_of, ran_own_module


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """Modules that were run, with the arguments as they saw them."""
    modules: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(sys, "argv", ["app"])
    monkeypatch.setattr("runpy.run_module", lambda name, run_name: modules.append((name, sys.argv)))
    return modules


def test_a_frozen_program_starts_itself_and_knows_itself_again(
    ran: list[tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    program, *arguments = (*command_of("gpt4roi_runtime.worker.child"), "model.gguf", "7")
    assert program == sys.executable
    assert ran_own_module(arguments)
    assert ran == [("gpt4roi_runtime.worker.child", ["app", "model.gguf", "7"])]


@pytest.mark.parametrize(
    "arguments", [[], ["photo.jpg"], ["-m"], ["-m", "http.server"], ["-m", "gpt4roi_runtimes"], ["photo.jpg", "-m"]]
)
def test_what_a_user_says_is_the_apps(arguments: list[str], ran: list[tuple[str, list[str]]]) -> None:
    assert not ran_own_module(arguments)
    assert ran == []
