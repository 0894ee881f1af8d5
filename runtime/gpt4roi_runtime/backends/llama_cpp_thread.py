"""One thread that does all work of an engine, job after job; does not know what the jobs are.

llama.cpp loses speed when a model is loaded in one thread and used in another, and two threads in one context crash
it. So everything that touches a native pointer is a job for one thread, and callers wait for their job.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from gpt4roi_runtime.errors import EngineError

T = TypeVar("T")
Abandoned = Callable[[], bool]
"""Asked by a job from time to time; True means that nobody waits for its result any more."""

_POLL_S = 0.2  # a wait without a limit cannot be interrupted by Ctrl-C on Windows
_LAST_JOB_LIMIT_S = 30.0


class Job(Generic[T]):
    """A piece of work and, later, its result."""

    __slots__ = ("_abandoned", "_done", "_error", "_result", "_work")

    def __init__(self, work: Callable[[Abandoned], T]) -> None:
        self._work: Callable[[Abandoned], T] | None = work
        self._done = threading.Event()
        self._abandoned = False
        self._result: T | None = None
        self._error: BaseException | None = None

    def abandon(self) -> None:
        """Nobody waits any more: do not begin, or end soon."""
        self._abandoned = True

    def result(self) -> T:
        """Wait for the end of the work; an interrupt while waiting abandons it.

        Raises:
            BaseException: Whatever the work raised.
        """
        try:
            while not self._done.wait(_POLL_S):
                pass
        except BaseException:  # Ctrl-C above all; it goes on to the caller
            self.abandon()
            raise
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value] # None is a T where the work returns None

    def perform(self, stopping: Abandoned) -> None:
        """Do the work; called in the engine's thread."""
        work, self._work = self._work, None
        try:
            if work is None or self._abandoned or stopping():
                self._error = closed_error()
            else:
                self._result = work(lambda: self._abandoned or stopping())
        except BaseException as error:  # noqa: BLE001 - the boundary of the thread: the waiting caller raises it again
            self._error = error
        finally:
            del work  # a finished job must not keep the caller's arrays alive
            self._done.set()


class EngineThread:
    """The thread. It starts at once and ends with ``stop``."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Job[object] | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._stopping = False
        self._last_work: Callable[[], None] | None = None
        # A daemon, because Python waits for other threads before it calls the finalizers that would stop this one.
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Abandoned], T]) -> Job[T]:
        """Queue ``work`` behind everything submitted before.

        Raises:
            EngineError: The thread has been stopped.
        """
        job: Job[T] = Job(work)
        with self._gate:
            if self._stopping:
                raise closed_error()
            self._jobs.put(job)  # type: ignore[arg-type] # the queue never looks at a result
        return job

    def run(self, work: Callable[[Abandoned], T]) -> T:
        """Submit ``work`` and wait for it.

        Raises:
            EngineError: The thread has been stopped, or the work failed so.
        """
        return self.submit(work).result()

    def stop(self, last_work: Callable[[], None]) -> None:
        """End the running job soon, refuse the waiting ones, do ``last_work`` and end the thread; twice is harmless."""
        with self._gate:
            if not self._stopping:
                self._stopping = True
                self._last_work = last_work
                self._jobs.put(None)
        if threading.current_thread() is not self._thread:  # garbage is sometimes collected in the engine's thread
            self._thread.join(_LAST_JOB_LIMIT_S)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.perform(lambda: self._stopping)
            del job
        last_work, self._last_work = self._last_work, None
        if last_work is not None:
            last_work()


def closed_error() -> EngineError:
    """What every call on a closed engine raises."""
    return EngineError("the language model is closed", "Load it again.")
