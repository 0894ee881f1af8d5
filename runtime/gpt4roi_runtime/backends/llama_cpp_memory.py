"""Does a model fit the free memory? Asked before llama.cpp is: the system kills a process that takes too much."""

import psutil

from gpt4roi_runtime.backends.gguf_header import GgufHeader
from gpt4roi_runtime.errors import EngineError


def check_memory(header: GgufHeader, context_length: int) -> None:
    """Refuse before the call what the system would kill the process for.

    Raises:
        EngineError: Weights and KV cache do not fit the free memory.
    """
    weights, cache = header.tensor_bytes, header.kv_cache_bytes(context_length)
    free = psutil.virtual_memory().available
    if weights + cache > free:
        raise EngineError(
            f"the model needs {_mib(weights)} for weights and {_mib(cache)} for a context of {context_length} rows, "
            f"but {_mib(free)} are free",
            "Close other programs, choose a smaller context, or a smaller model.",
        )


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.0f} MiB"
