"""Whether this llama.cpp can put layers on a GPU, and which GPUs it finds; loads no model."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpt4roi_runtime.backends.llama_cpp_library import library_folder

_MIB = 1 << 20
_CPU, _ACCELERATOR = 0, 3  # of ggml_backend_dev_type at the pinned commit; a GPU is neither


@dataclass(frozen=True)
class Offload:
    """What it says of GPUs.

    Attributes:
        is_built: Whether it was compiled for any.
        devices: Those that it finds, with their memory.
    """

    is_built: bool
    devices: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.is_built:
            return "built for the CPU only"
        if not self.devices:
            return "built for a GPU, but finds none: -ngl must stay 0"
        return f"built for a GPU (-ngl -1 puts all layers there), finds {', '.join(self.devices)}"


def find_offload(api: Any, load: Callable[[str], Any] = ctypes.CDLL) -> Offload:
    """Ask the library, whose ``api`` was loaded; ``load`` opens the part of it that lists devices."""
    if not api.llama_supports_gpu_offload():
        return Offload(is_built=False)
    try:
        ggml = load(str(library_folder() / "libggml.so"))
        return Offload(is_built=True, devices=tuple(_described(ggml)))
    except (OSError, AttributeError):  # linked in one piece, or by another name
        return Offload(is_built=True)


def _described(ggml: Any) -> list[str]:
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    ggml.ggml_backend_dev_get.restype = ctypes.c_void_p
    ggml.ggml_backend_dev_get.argtypes = (ctypes.c_size_t,)
    for name in ("ggml_backend_dev_description", "ggml_backend_dev_type"):
        getattr(ggml, name).argtypes = (ctypes.c_void_p,)
    ggml.ggml_backend_dev_description.restype = ctypes.c_char_p
    ggml.ggml_backend_dev_type.restype = ctypes.c_int
    sizes = ctypes.POINTER(ctypes.c_size_t)
    ggml.ggml_backend_dev_memory.argtypes = (ctypes.c_void_p, sizes, sizes)
    ggml.ggml_backend_dev_memory.restype = None
    found = []
    for number in range(ggml.ggml_backend_dev_count()):
        device = ggml.ggml_backend_dev_get(number)
        if ggml.ggml_backend_dev_type(device) in (_CPU, _ACCELERATOR):
            continue
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        ggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        words = ggml.ggml_backend_dev_description(device) or b"a GPU"
        found.append(f"{words.decode('utf-8', 'replace')} ({free.value // _MIB:,} of {total.value // _MIB:,} MiB free)")
    return found
