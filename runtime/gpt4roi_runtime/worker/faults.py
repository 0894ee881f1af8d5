"""What goes wrong in another process, in words: our errors across the pipe, and a process's end. Knows no process."""

import signal

from gpt4roi_runtime import errors
from gpt4roi_runtime.errors import Gpt4RoiError, WorkerDiedError
from gpt4roi_runtime.worker import messages as m

_KINDS: dict[str, type[Gpt4RoiError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, Gpt4RoiError) and kind is not errors.Cancelled
}
"""All that may come out of a message: the tree in ``errors``, and nothing that others derive from it."""


def failed(request_id: int, error: Gpt4RoiError) -> m.Failed:
    """An error as a message; a class that is not in the tree goes as its nearest one that is."""
    name = next(kind.__name__ for kind in type(error).__mro__ if _KINDS.get(kind.__name__) is kind)
    return m.Failed(request_id, error.problem, error.advice, name)


def error_of(message: m.Failed) -> Gpt4RoiError:
    """The message as the error that it was; of an unknown class, as the tree's root."""
    return _KINDS.get(message.error, Gpt4RoiError)(message.problem, message.advice)


def death(message: m.Died, doing: str) -> WorkerDiedError:
    """The end of the process while it was ``doing`` something, such as "answering"."""
    return WorkerDiedError(
        f"the model's process {how_it_ended(message)} while {doing}",
        "Try again: it restarts by itself. If it happens again, `gpt4roi doctor` shows the state of the engines.",
        message.last_words,
    )


def how_it_ended(message: m.Died) -> str:
    """In words, with what it printed last where it had the time to say why."""
    status = message.exit_status
    if message.ended_because:
        return f"was ended because {message.ended_because}"
    if status < 0:
        name = _signal_name(-status)
        from_outside = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"was ended by signal {-status} ({name}{from_outside})"
    words = f": {message.last_words[-1]}" if message.last_words else ""
    return f"ended with exit status {status if status < 1 << 16 else hex(status)}{words}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "of the system's own"
