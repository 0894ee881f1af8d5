"""A GGUF of half floats -> a smaller one, by llama.cpp's own quantiser in a child process. Does not know its blocks.

The same file and the same build of llama.cpp give the same bytes, with any number of threads.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_export.gguf_layout import read_layout
from gpt4roi_export.language.aside import renamed_when_whole
from gpt4roi_export.language.quantisations import (
    AUTO,
    check_quantisation,
    fallbacks,
    file_type,
    predicted_bytes,
    shape_of_gguf,
)
from gpt4roi_export.weights import Progress
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp_child import ChildEnd, TookTooLong, run_child
from gpt4roi_runtime.backends.llama_cpp_library import load_library
from gpt4roi_runtime.backends.llama_cpp_selftest import SelfTest
from gpt4roi_runtime.errors import BundleError, EngineError, OutputError
from gpt4roi_runtime.llm.decoder import CancelCheck
from gpt4roi_runtime.own_python import command_of

TIME_LIMIT_S = 6 * 3600.0
REFUSED = 3
"""Exit status of a child whose quantiser said no; the last line of its errors is why."""
EXACT_ENOUGH = ("F32", "F16", "BF16", "Q8_0")
"""Types to quantise from. Weights that were stored more coarsely before would be rounded twice."""

_CHILD = command_of("gpt4roi_export.language.quantise_child")
_FAST_PLAIN = ("AMX_INT8 = 1", "DOTPROD = 1")


@dataclass(frozen=True)
class Quantised:
    """What was written.

    Attributes:
        quantisation: Its name, never ``auto``.
        size_bytes: Of the file.
        fallbacks: Matrices that were stored as another type, because rows of their width do not fit blocks of 256.
    """

    quantisation: str
    size_bytes: int
    fallbacks: tuple[str, ...]


def quantisation_for_this_machine(system: str | None = None, *, repack_works: bool | None = None) -> str:
    """What ``auto`` means here: ``Q4_0`` where the processor multiplies its blocks in hardware, else ``Q4_K_M``.

    Args:
        system: What llama.cpp says of the machine; by default it is asked.
        repack_works: Whether it may rearrange weights for that hardware; by default the self-test is asked.

    Raises:
        EngineMissingError: llama-cpp-python is not installed.
        EngineError: It does not run here.
    """
    words = load_library().system if system is None else system
    if not any(feature in words for feature in _FAST_PLAIN):
        return "Q4_K_M"
    works = SelfTest().verdict().repack_works if repack_works is None else repack_works
    return "Q4_0" if works else "Q4_K_M"


def quantise(
    source: Path,
    out: Path,
    quantisation: str,
    threads: int,
    progress: Progress,
    *,
    cancel: CancelCheck = lambda: False,
    child: Sequence[str] = _CHILD,
) -> Quantised:
    """Write the quantised file.

    Args:
        source: GGUF of ``write_f16``, or any other of a type in ``EXACT_ENOUGH``.
        out: The new file; may be ``source``.
        quantisation: A key of ``quantisations.BASES``, or ``auto``.
        threads: How many to use.
        progress: Told what is being done.
        cancel: Asked ten times a second.
        child: Command of the child process; it hears source, target, file type and threads.

    Raises:
        SettingsError: There is no such quantisation, or it needs an importance matrix.
        BundleError: The source is no usable GGUF, or was quantised too coarsely before.
        OutputError: There is no room for the file, or it cannot be written.
        EngineError: The quantiser failed.
        Cancelled: ``cancel`` said so.
    """
    chosen = quantisation_for_this_machine() if quantisation == AUTO else quantisation
    check_quantisation(chosen)
    shape = shape_of_gguf(source)
    _check_source(source)
    n_bytes = predicted_bytes(shape, chosen)
    with renamed_when_whole(out, n_bytes) as aside:

        def watch() -> bool:
            progress(f"quantising the language model as {chosen}", min(_size_of(aside) / n_bytes, 1.0))
            return cancel()

        command = (*child, str(source.absolute()), str(aside.absolute()), str(int(file_type(chosen))), str(threads))
        try:
            end = run_child(command, TIME_LIMIT_S, watch)
        except TookTooLong as late:
            raise EngineError(f"quantising took longer than {TIME_LIMIT_S / 3600:.0f} hours") from late
        _judge(end, out)
        inspect_gguf(aside)
        size_bytes = aside.stat().st_size
    progress(f"quantising the language model as {chosen}", 1.0)
    return Quantised(chosen, size_bytes, fallbacks(shape, chosen))


def _check_source(source: Path) -> None:
    for tensor in read_layout(source).tensors:
        if tensor.type_name not in EXACT_ENOUGH:
            raise BundleError(
                f"{source} stores {tensor.name} as {tensor.type_name}; quantised again, it would be rounded twice",
                f"Start from a file whose weights are {', '.join(EXACT_ENOUGH)}: import the checkpoint again.",
            )


def _judge(end: ChildEnd, out: Path) -> None:
    """Raise what the child's end means, unless it is well."""
    if end.status == 0:
        return
    if end.status == REFUSED and "iostream error" in end.last_words:  # llama.cpp's only words for a full disk
        raise OutputError(f"cannot write {out}: {end.last_words}", "Free some space, or choose another place.")
    if end.status == REFUSED:
        raise EngineError(f"llama.cpp could not quantise: {end.last_words}")
    raise EngineError(
        f"llama.cpp's quantiser {end}", "If the system killed it, there was too little memory: close other programs."
    )


def _size_of(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
