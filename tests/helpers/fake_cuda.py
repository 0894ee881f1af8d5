"""A GPU that is none: memory is NumPy's, a stream does at once what it is given, plans are functions, all is noted."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gpt4roi_runtime.errors import EngineError

Step = Callable[[], None]


class FakeCuda:
    """CudaDriver whose every call is noted in ``calls``; ``refuse`` names a call and why it fails.

    ``refuse_after`` has how many more calls of a name succeed.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.refuse: dict[str, str] = {}
        self.refuse_after: dict[str, int] = {}
        self.device: dict[int, np.ndarray] = {}
        self.pinned: dict[int, np.ndarray] = {}
        self.streams: set[int] = set()
        self.recordings: dict[int, list[Step]] = {}
        self.noting: list[Step] | None = None
        self._next = 1

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.refuse:
            raise EngineError(f"{name} failed: {self.refuse[name]}", "see")

    def _number(self) -> int:
        self._next += 1
        return self._next

    def do(self, name: str, step: Step) -> None:
        """Now, or when it is played."""
        if self.noting is not None:
            self.noting.append(step)
        else:
            self.calls.append(name)
            step()

    def allocate(self, n_bytes: int) -> int:
        self._called("allocate")
        block = np.full(n_bytes, 0xFF, dtype=np.uint8)
        self.device[block.ctypes.data] = block
        return block.ctypes.data

    def free(self, address: int) -> None:
        self._called("free")
        del self.device[address]

    def allocate_pinned(self, n_bytes: int) -> int:
        self._called("allocate_pinned")
        block = np.full(n_bytes, 0xFF, dtype=np.uint8)
        self.pinned[block.ctypes.data] = block
        return block.ctypes.data

    def free_pinned(self, address: int) -> None:
        self._called("free_pinned")
        del self.pinned[address]

    def copy_in(self, to: int, source: int, n_bytes: int, stream: int) -> None:
        assert n_bytes <= self.device[to].nbytes
        assert stream in self.streams
        if "copy_in" in self.refuse_after:
            self.refuse_after["copy_in"] -= 1
            if self.refuse_after["copy_in"] < 0:
                raise EngineError("copy_in failed: gone", "see")
        self.do("copy_in", lambda: _moved(to, source, n_bytes))

    def copy_out(self, to: int, source: int, n_bytes: int, stream: int) -> None:
        assert n_bytes <= self.device[source].nbytes
        assert stream in self.streams
        self.do("copy_out", lambda: _moved(to, source, n_bytes))

    def new_stream(self) -> int:
        self._called("new_stream")
        self.streams.add(number := self._number())
        return number

    def end_stream(self, stream: int) -> None:
        self._called("end_stream")
        self.streams.remove(stream)

    def wait(self, stream: int) -> None:
        assert self.noting is None, "a stream that is recorded must not be waited for"
        self._called("wait")

    def begin_recording(self, stream: int) -> None:
        self._called("begin_recording")
        assert self.noting is None
        self.noting = []

    def end_recording(self, stream: int) -> int:
        noted, self.noting = self.noting, None
        assert noted is not None, "nothing is being recorded"
        self._called("end_recording")
        self.recordings[number := self._number()] = noted
        return number

    def play(self, recording: int, stream: int) -> None:
        self._called("play")
        for step in self.recordings[recording]:
            step()

    def drop(self, recording: int) -> None:
        self._called("drop")
        del self.recordings[recording]

    def memory(self) -> tuple[int, int]:
        return 1 << 30, 2 << 30

    @property
    def is_empty(self) -> bool:
        return not (self.device or self.pinned or self.streams or self.recordings)


def _moved(to: int, source: int, n_bytes: int) -> None:
    ctypes.memmove(to, source, n_bytes)


@dataclass
class FakePlan:
    """LoadedPlan that computes by a function of (cuda, addresses, shapes).

    Attributes:
        cuda: Whose memory it computes in.
        names: Of its inputs and outputs.
        compute: What a run does.
        refuse: Why a run fails, if it does.
        refuse_recording: Why it cannot be recorded, if it cannot.
    """

    cuda: FakeCuda
    names: tuple[str, ...]
    compute: Callable[[dict[str, int], dict[str, tuple[int, ...]]], None]
    working_bytes: int = 1000
    weight_bytes: int = 5000
    refuse: str = ""
    refuse_recording: str = ""
    is_closed: bool = False
    contexts: list["FakeContext"] = field(default_factory=list)

    def tensor_names(self) -> tuple[str, ...]:
        return self.names

    def new_context(self, working_memory: int) -> "FakeContext":
        assert self.cuda.device[working_memory].nbytes >= self.working_bytes
        self.cuda.calls.append("new_context")
        self.contexts.append(context := FakeContext(self))
        return context

    def close(self) -> None:
        self.is_closed = True
        self.contexts.clear()


class FakeContext:
    def __init__(self, plan: FakePlan) -> None:
        self.plan = plan
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_shape(self, name: str, shape: Sequence[int]) -> None:
        assert self.plan.cuda.noting is None, "a shape is no step of a recording"
        self.shapes[name] = tuple(shape)

    def set_address(self, name: str, address: int) -> None:
        assert name in self.plan.names
        assert address in self.plan.cuda.device
        self.addresses[name] = address

    def enqueue(self, stream: int) -> None:
        assert not self.plan.is_closed
        assert set(self.addresses) == set(self.plan.names)
        if self.plan.refuse:
            raise EngineError(f"refuses a run: {self.plan.refuse}", "see")
        if self.plan.refuse_recording and self.plan.cuda.noting is not None:
            raise EngineError(self.plan.refuse_recording, "see")
        shapes = dict(self.shapes)
        self.plan.cuda.do("enqueue", lambda: self.plan.compute(self.addresses, shapes))
