"""What a number was measured on, from files."""

from pathlib import Path

import pytest

from gpt4roi_runtime.bench import machine
from gpt4roi_runtime.bench.machine import backends_of, look_at_machine

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_desktop_names_processor_and_gpu(tmp_path: Path) -> None:
    put(tmp_path / "proc/cpuinfo", "processor\t: 0\nmodel name\t: Quick CPU @ 3 GHz\nflags\t: fpu\n")
    put(tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t Some RTX\nIRQ: 1\n")
    found = look_at_machine(tmp_path)
    assert (found.cpu_info, found.gpu_info, found.board) == ("Quick CPU @ 3 GHz", "Some RTX", "")
    assert found.n_cores >= 1
    assert found.memory_bytes > 1 << 20


def test_a_jetson_names_its_board(tmp_path: Path) -> None:
    put(tmp_path / "proc/cpuinfo", "processor\t: 0\nCPU part\t: 0xd42\n")
    put(tmp_path / "proc/device-tree/model", "NVIDIA Jetson Orin Nano\0")
    found = look_at_machine(tmp_path)
    assert found.cpu_info == found.board == "NVIDIA Jetson Orin Nano"


def test_a_machine_without_such_files_still_has_a_name(tmp_path: Path) -> None:
    assert look_at_machine(tmp_path).cpu_info


@pytest.mark.parametrize(
    ("system", "backends"),
    [
        ("CPU : SSE3 = 1 | AVX = 1 | ", "CPU"),
        ("CUDA : ARCHS = 870 | USE_GRAPHS = 1 | CPU : NEON = 1 | ", "CUDA"),
        ("", "CPU"),
    ],
)
def test_backends_are_those_the_library_speaks_of(system: str, backends: str) -> None:
    assert backends_of(system) == backends


@pytest.mark.parametrize(
    ("files", "commit"),
    [
        ({"HEAD": COMMIT}, COMMIT),
        ({"HEAD": "ref: refs/heads/x", "refs/heads/x": COMMIT}, COMMIT),
        ({"HEAD": "ref: refs/heads/x", "packed-refs": f"# pack-refs\n{COMMIT} refs/heads/x\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/x", "packed-refs": f"{COMMIT} refs/heads/y\n"}, ""),
        ({"HEAD": "ref: ../../secret"}, ""),
        ({"HEAD": "nonsense"}, ""),
        ({}, ""),
    ],
)
def test_the_commit_of_a_checkout(tmp_path: Path, files: dict[str, str], commit: str) -> None:
    put(tmp_path / "pyproject.toml", "")
    for name, text in files.items():
        put(tmp_path / ".git" / name, text)
    assert machine._commit_of_checkout(tmp_path / "runtime" / "package" / "file.py") == commit


class Distribution:
    def __init__(self, noted: str | None) -> None:
        self.noted = noted

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.noted


@pytest.mark.parametrize(
    ("noted", "commit"),
    [
        ('{"vcs_info": {"vcs": "git", "commit_id": "abc"}}', "abc"),
        ('{"dir_info": {"editable": true}}', ""),
        ("[1]", ""),
        ("{", ""),
        (None, ""),
    ],
)
def test_the_commit_of_an_installation(monkeypatch: pytest.MonkeyPatch, noted: str | None, commit: str) -> None:
    monkeypatch.setattr(machine.metadata, "distribution", lambda _name: Distribution(noted))
    assert machine._commit_of_installation() == commit
