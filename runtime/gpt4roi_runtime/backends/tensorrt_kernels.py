"""Kernels that TensorRT for RTX compiled for one plan on one GPU, in a file beside the plan, for the next start.

The engine looks itself whether kernels are of its version, its CUDA and its GPU; the file only has to be whole, and of
this very plan. Nothing here raises: kernels that are not there are compiled again.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gpt4roi_runtime.bundle.plans import Plan
from gpt4roi_runtime.errors import OutputError
from gpt4roi_runtime.storage import written_aside

MOST_BYTES = 256 << 20
_SEAL_BYTES = hashlib.sha256().digest_size


@dataclass
class KeptKernels:
    """One file: a seal of plan and kernels, then the kernels.

    Attributes:
        path: Of the file.
        plan_sha256: Of the plan that they belong to.
    """

    path: Path
    plan_sha256: str
    _on_disk: bytes = field(default=b"", init=False, repr=False)

    @classmethod
    def of(cls, plan: Plan, compute_capability: int) -> "KeptKernels":
        """Those of a plan on a GPU, 89 for 8.9."""
        return cls(plan.path.with_name(f"{plan.path.stem}-sm{compute_capability}.kernels"), plan.record.sha256)

    def read(self) -> bytes:
        """The kernels, or nothing: there are none, or they are damaged, of another plan, or too many."""
        try:
            if self.path.is_symlink() or not self.path.is_file():
                return b""
            with self.path.open("rb") as file:
                whole = file.read(_SEAL_BYTES + MOST_BYTES + 1)
        except OSError:
            return b""
        seal, kernels = whole[:_SEAL_BYTES], whole[_SEAL_BYTES:]
        if len(kernels) > MOST_BYTES or seal != self._seal(kernels):
            return b""
        self._on_disk = seal
        return kernels

    def write(self, kernels: bytes) -> None:
        """Keep them, unless they are those that were read or written last, too many, or cannot be written."""
        seal = self._seal(kernels)
        if not kernels or len(kernels) > MOST_BYTES or seal == self._on_disk:
            return
        with suppress(OutputError):
            with written_aside(self.path) as file:
                file.write(seal)
                file.write(kernels)
            self._on_disk = seal  # now that it has its name

    def _seal(self, kernels: bytes) -> bytes:
        return hashlib.sha256(self.plan_sha256.encode() + kernels).digest()
