"""Where a run stands, as one safetensors file that is written aside and renamed; the last two are kept.

Does not know what the tensors mean. There is no pickle: who can write a checkpoint can change numbers, not run code.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.storage import written_aside

_KEPT = 2
_SUFFIX = ".safetensors"
_STATE = "state"


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a run has come.

    Attributes:
        stage: Index of the stage.
        step: Steps of it that are done.
        total_steps: Steps done in all stages.
        run: Fingerprint of recipe and data; another run's checkpoint is refused.
    """

    stage: int
    step: int
    total_steps: int
    run: str


@dataclass(frozen=True)
class Checkpoint:
    """A position and all numbers that belong to it.

    Attributes:
        position: How far.
        tensors: Parameters and the optimiser's state, by name.
    """

    position: Position
    tensors: Mapping[str, Tensor]


class CheckpointFolder:
    """The checkpoints of one run.

    Args:
        folder: Made at the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint and drop all but the last two; if that fails, the older ones stay.

        Raises:
            OutputError: The disk refused.
        """
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
        state = msgspec.json.encode(checkpoint.position).decode()
        target = self._folder / f"{checkpoint.position.total_steps:08d}{_SUFFIX}"
        with written_aside(target) as file:
            file.write(save(tensors, {_STATE: state}))
        for old in self._all()[:-_KEPT]:
            with suppress(OSError):  # one too many does no harm
                old.unlink()
        return target

    def last(self) -> Checkpoint | None:
        """The newest checkpoint, or None.

        Raises:
            BundleError: It is damaged.
        """
        files = self._all()
        return None if not files else _read(files[-1])

    def _all(self) -> list[Path]:
        return sorted(path for path in self._folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal())


def _read(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            position = msgspec.json.decode((file.metadata() or {}).get(_STATE, ""), type=Position)
            return Checkpoint(position, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, msgspec.DecodeError, OSError) as damaged:
        raise BundleError(
            f"the checkpoint {path} cannot be read: {damaged}", "Delete it; the one before it will be used."
        ) from damaged


def restore(parameters: Mapping[str, torch.nn.Parameter], checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's parameters into a model.

    Raises:
        BundleError: One is missing or of another shape.
    """
    for name, parameter in parameters.items():
        tensor = checkpoint.tensors.get(name)
        if tensor is None or tensor.shape != parameter.shape:
            raise BundleError(
                f"the checkpoint has {'no' if tensor is None else 'another shape of'} {name!r}",
                "It belongs to another recipe; begin anew in another folder.",
            )
        with torch.no_grad():
            parameter.copy_(tensor)
