"""Between threads and the window: calls from anywhere run on the window's thread. Knows nothing of what they do."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from PySide6.QtCore import QObject, Qt, Signal, Slot

from gpt4roi_runtime.errors import Gpt4RoiError

T = TypeVar("T")


class Bridge(QObject):
    """The controller's ``Threads``, and its changes as a signal."""

    changed = Signal(str)
    _called = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._called.connect(self._run, Qt.ConnectionType.QueuedConnection)
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")  # one: what is kept stays in order
        self._closed = False
        # Held from the look at _closed to the emission: after close() no thread touches what Qt may delete. It may be
        # taken twice, as Python may collect rubbish, and so call anything, in the midst of it.
        self._closing = threading.RLock()

    def post(self, call: Callable[[], None]) -> None:
        """Run a call on the window's thread, soon; not at all where that is closed."""
        with self._closing:
            if not self._closed:
                self._called.emit(call)

    def aside(self, work: Callable[[], T], then: Callable[[T], None], failed: Callable[[Gpt4RoiError], None]) -> None:
        """Run ``work`` on another thread, then ``then`` or ``failed`` on the window's; nothing where that is closed."""

        def run() -> None:
            try:
                result = work()
            except Gpt4RoiError as error:
                reason = error  # the name `error` ends with this block
                self.post(lambda: failed(reason))
            except Exception as error:  # noqa: BLE001 - a bug must become a message, not a silence
                bug = Gpt4RoiError(f"unexpected {type(error).__name__}: {error}", "Please report it.")
                self.post(lambda: failed(bug))
            else:
                self.post(lambda: then(result))

        if not self._closed:
            self._aside.submit(run)

    def close(self) -> None:
        """Hear no more of what was begun; it goes on aside. Does not wait."""
        with self._closing:
            self._closed = True
        self._aside.shutdown(wait=False)

    def join(self) -> None:
        """Wait for what was begun before ``close``: what is kept is written, the model's process has ended."""
        self._aside.shutdown(wait=True)

    @Slot(object)
    def _run(self, call: Callable[[], None]) -> None:
        if not self._closed:
            call()
