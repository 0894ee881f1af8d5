import errno
from pathlib import Path

import pytest
import torch
from torch import nn

from gpt4roi_export.tuning import checkpoints
from gpt4roi_export.tuning.checkpoints import Checkpoint, CheckpointFolder, Position, restore
from gpt4roi_runtime.errors import BundleError, OutputError


def checkpoint(total_steps: int) -> Checkpoint:
    return Checkpoint(Position(1, 2, total_steps, "run"), {"a": torch.full((2,), float(total_steps))})


def test_the_last_one_is_read_back(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    assert folder.last() is None
    for total in (9, 10, 100):
        folder.write(checkpoint(total))
    last = folder.last()
    assert last is not None
    assert last.position == Position(1, 2, 100, "run")
    assert last.tensors["a"].tolist() == [100.0, 100.0]


def test_two_are_kept_and_nothing_is_left_behind(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for total in range(5):
        folder.write(checkpoint(total))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["00000003.safetensors", "00000004.safetensors"]


def test_a_full_disk_keeps_the_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CheckpointFolder(tmp_path)
    for total in (1, 2):
        folder.write(checkpoint(total))

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gpt4roi_runtime.storage.os.fsync", refuse)
    with pytest.raises(OutputError, match="No space left"):
        folder.write(checkpoint(3))
    monkeypatch.undo()
    last = folder.last()
    assert last is not None
    assert last.position.total_steps == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"\xff" * 100])
def test_a_damaged_one_is_said_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "00000001.safetensors").write_bytes(content)
    with pytest.raises(BundleError, match="cannot be read"):
        CheckpointFolder(tmp_path).last()


def test_one_without_a_position_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "00000001.safetensors")
    with pytest.raises(BundleError, match="cannot be read"):
        CheckpointFolder(tmp_path).last()


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"")
    assert CheckpointFolder(tmp_path).last() is None


@pytest.mark.parametrize("tensors", [{}, {"a": torch.ones(3)}])
def test_parameters_of_another_run_are_refused(tensors: dict[str, torch.Tensor]) -> None:
    with pytest.raises(BundleError, match="'a'"):
        restore({"a": nn.Parameter(torch.zeros(2))}, Checkpoint(Position(0, 0, 0, ""), tensors))


def test_it_holds_no_pickle() -> None:
    assert not {"pickle", "save_file"} & set(dir(checkpoints))
