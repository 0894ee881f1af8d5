"""Steps on a stream that are noted once and then played as one (a CUDA graph); knows no step by name."""

from collections.abc import Callable
from contextlib import suppress

from gpt4roi_runtime.backends.cuda_driver import CudaDriver
from gpt4roi_runtime.errors import EngineError


class RecordedWork:
    """Goes step by step the first time, since an engine prepares itself then; is recorded at the second, then played.

    Where it cannot be recorded it goes on step by step, with the same results.

    Args:
        driver: Of the stream.
        stream: Where the steps go.
        steps: Puts them there; must use the same addresses and shapes every time.

    Attributes:
        refused: Why it cannot be recorded, or None.
    """

    def __init__(self, driver: CudaDriver, stream: int, steps: Callable[[], None]) -> None:
        self._driver = driver
        self._stream = stream
        self._steps = steps
        self._recording: int | None = None
        self._has_run = False
        self.refused: str | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether it is played as one."""
        return self._recording is not None

    def run(self) -> None:
        """Put the work into the stream.

        Raises:
            EngineError: The driver or a step refused.
        """
        if self._has_run and self._recording is None and self.refused is None:
            self._record()
        if self._recording is not None:
            self._driver.play(self._recording, self._stream)
            return
        self._steps()
        self._has_run = True

    def close(self) -> None:
        """Free the recording; closing twice is harmless."""
        if self._recording is not None:
            with suppress(EngineError):
                self._driver.drop(self._recording)
        self._recording = None

    def _record(self) -> None:
        try:
            self._driver.begin_recording(self._stream)
            try:
                self._steps()
            except BaseException:
                with suppress(EngineError):  # the stream must leave the recording, whatever it says
                    self._driver.drop(self._driver.end_recording(self._stream))
                raise
            self._recording = self._driver.end_recording(self._stream)
        except EngineError as error:
            self.refused = error.problem
