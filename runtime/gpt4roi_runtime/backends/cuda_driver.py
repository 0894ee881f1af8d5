"""What the TensorRT backend asks of CUDA, as a promise that a test can keep too, and the real thing; knows no plan.

The real one is ``cuda-bindings``' runtime API: it works with the device's own context, as TensorRT does, in any thread.
"""

from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from gpt4roi_runtime.errors import EngineError, EngineMissingError

INSTALL = "pip install 'gpt4roi-edge[rtx]' (on a Jetson 'gpt4roi-edge[jetson]')"
_ADVICE = "`gpt4roi doctor` shows the GPU and its memory; --vision-backend onnxruntime takes the CPU."
_NON_BLOCKING = 1
"""A stream that does not wait for the device's default one."""
_PLAIN_PINNED = 0


@runtime_checkable
class CudaDriver(Protocol):
    """Memory, copies, one stream and recorded work; addresses and handles are plain numbers.

    Every method raises EngineError with CUDA's words where CUDA refuses.
    """

    def allocate(self, n_bytes: int) -> int:
        """Memory of the GPU; its address."""
        ...

    def free(self, address: int) -> None:
        """Give it back."""
        ...

    def allocate_pinned(self, n_bytes: int) -> int:
        """Memory of the processor that the GPU copies from and to by itself; its address."""
        ...

    def free_pinned(self, address: int) -> None:
        """Give it back."""
        ...

    def copy_in(self, to: int, source: int, n_bytes: int, stream: int) -> None:
        """From the processor's memory, when the stream comes to it."""
        ...

    def copy_out(self, to: int, source: int, n_bytes: int, stream: int) -> None:
        """To the processor's memory, when the stream comes to it."""
        ...

    def new_stream(self) -> int:
        """A stream that waits for no other."""
        ...

    def end_stream(self, stream: int) -> None:
        """Give it back."""
        ...

    def wait(self, stream: int) -> None:
        """Until all that was put into it is done."""
        ...

    def begin_recording(self, stream: int) -> None:
        """From now on, what is put into the stream is noted and not done."""
        ...

    def end_recording(self, stream: int) -> int:
        """What was noted, ready to be played."""
        ...

    def play(self, recording: int, stream: int) -> None:
        """Put all that was noted into a stream at once."""
        ...

    def drop(self, recording: int) -> None:
        """Give it back."""
        ...

    def memory(self) -> tuple[int, int]:
        """Bytes of the GPU that are free, and all."""
        ...


class CudaBindings:
    """CudaDriver on ``cuda-bindings``.

    Raises:
        EngineMissingError: The package is not installed, or broken.
    """

    def __init__(self) -> None:
        try:
            self._cuda: Any = import_module("cuda.bindings.runtime")
        except ImportError as error:
            raise EngineMissingError(f"cuda-bindings cannot be imported: {error}", INSTALL) from error
        self._recordings: dict[int, Any] = {}

    def allocate(self, n_bytes: int) -> int:
        """See CudaDriver."""
        return int(self._done("cudaMalloc", n_bytes))

    def free(self, address: int) -> None:
        """See CudaDriver."""
        self._done("cudaFree", address)

    def allocate_pinned(self, n_bytes: int) -> int:
        """See CudaDriver."""
        return int(self._done("cudaHostAlloc", n_bytes, _PLAIN_PINNED))

    def free_pinned(self, address: int) -> None:
        """See CudaDriver."""
        self._done("cudaFreeHost", address)

    def copy_in(self, to: int, source: int, n_bytes: int, stream: int) -> None:
        """See CudaDriver."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._done("cudaMemcpyAsync", to, source, n_bytes, kind, stream)

    def copy_out(self, to: int, source: int, n_bytes: int, stream: int) -> None:
        """See CudaDriver."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._done("cudaMemcpyAsync", to, source, n_bytes, kind, stream)

    def new_stream(self) -> int:
        """See CudaDriver."""
        return int(self._done("cudaStreamCreateWithFlags", _NON_BLOCKING))

    def end_stream(self, stream: int) -> None:
        """See CudaDriver."""
        self._done("cudaStreamDestroy", stream)

    def wait(self, stream: int) -> None:
        """See CudaDriver."""
        self._done("cudaStreamSynchronize", stream)

    def begin_recording(self, stream: int) -> None:
        """See CudaDriver; other threads may go on using CUDA meanwhile."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._done("cudaStreamBeginCapture", stream, mode)

    def end_recording(self, stream: int) -> int:
        """See CudaDriver."""
        noted = self._done("cudaStreamEndCapture", stream)
        try:
            ready = self._done("cudaGraphInstantiate", noted, 0)
        finally:
            self._done("cudaGraphDestroy", noted)
        number = int(ready)
        self._recordings[number] = ready
        return number

    def play(self, recording: int, stream: int) -> None:
        """See CudaDriver."""
        self._done("cudaGraphLaunch", self._recordings[recording], stream)

    def drop(self, recording: int) -> None:
        """See CudaDriver."""
        self._done("cudaGraphExecDestroy", self._recordings.pop(recording))

    def memory(self) -> tuple[int, int]:
        """See CudaDriver."""
        free, total = self._done("cudaMemGetInfo")
        return int(free), int(total)

    def _done(self, name: str, *arguments: object) -> Any:
        """Call, and hold the status against success; what else it returned.

        Raises:
            EngineError: CUDA refused, or is not there.
        """
        try:
            status, *found = getattr(self._cuda, name)(*arguments)
        except (RuntimeError, TypeError, ValueError) as error:
            raise EngineError(f"{name} failed: {error}", _ADVICE) from error
        if int(status) != 0:
            self._cuda.cudaGetLastError()  # else the next launch in this thread could be blamed for it
            _, words = self._cuda.cudaGetErrorString(status)
            said = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
            raise EngineError(f"{name} failed: {said}", _ADVICE)
        return found[0] if len(found) == 1 else tuple(found)
