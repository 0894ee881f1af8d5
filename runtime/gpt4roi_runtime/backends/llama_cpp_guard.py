"""Python called from native code, where no exception may come out; knows no model."""

from collections.abc import Callable

from gpt4roi_runtime.errors import Cancelled
from gpt4roi_runtime.llm.decoder import CancelCheck


class CallbackGuard:
    """Asks whether to go on: an exception must not get lost in native code, so it is kept and raised afterwards."""

    def __init__(self, cancel: CancelCheck) -> None:
        self._cancel = cancel
        self._stopped = False
        self._error: BaseException | None = None

    def goes_on(self, also: Callable[[], None] | None = None) -> bool:
        """Whether native code may go on; never raises."""
        if self._stopped:
            return False
        try:
            if also is not None:
                also()
            self._stopped = self._cancel()
        except BaseException as error:  # noqa: BLE001 - raised again by raise_if_stopped, outside of native code
            self._error = error
            self._stopped = True
        return not self._stopped

    def raise_if_stopped(self) -> None:
        """Raise what stopped native code, if anything did."""
        if self._error is not None:
            raise self._error
        if self._stopped:
            raise Cancelled
