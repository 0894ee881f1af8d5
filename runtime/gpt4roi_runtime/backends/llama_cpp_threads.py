"""Threads of llama.cpp that outlive one call; knows no model.

Without them llama.cpp makes its threads anew for every call, so for every token. A small model feels it: 3 % of the
embedded one's speed.
"""

import ctypes
from typing import Any

_MOST = 512  # GGML_MAX_N_THREADS at the pinned commit
_POLL = 0
"""How long an idle thread looks for work before it sleeps, in llama.cpp's measure. llama-bench takes 50, some 80 ms of
a core behind every call; here the other core has the tokens' words to write."""


class _Params(ctypes.Structure):
    """``ggml_threadpool_params`` of the pinned commit."""

    _fields_ = (
        ("cpumask", ctypes.c_bool * _MOST),
        ("n_threads", ctypes.c_int),
        ("prio", ctypes.c_int),
        ("poll", ctypes.c_uint32),
        ("strict_cpu", ctypes.c_bool),
        ("paused", ctypes.c_bool),
    )


class NativeThreads:
    """Threads for one context; attached at once, freed after the context.

    Args:
        api: The library's functions.
        context: The context's pointer.
        n_threads: Most threads of a call, the caller's own among them.
    """

    def __init__(self, api: Any, context: Any, n_threads: int) -> None:
        library = api._lib  # noqa: SLF001 - the package wraps none of these functions
        self._pool: int | None = None
        try:
            make, begin = library.ggml_threadpool_new, library.ggml_threadpool_params_init
            attach, self._free = library.llama_attach_threadpool, library.ggml_threadpool_free
        except AttributeError:  # on Windows they are in a library of their own, and each call makes its threads
            return
        make.argtypes, make.restype = [ctypes.POINTER(_Params)], ctypes.c_void_p
        begin.argtypes, begin.restype = [ctypes.POINTER(_Params), ctypes.c_int], None
        attach.argtypes, attach.restype = [ctypes.c_void_p] * 3, None
        self._free.argtypes, self._free.restype = [ctypes.c_void_p], None
        params = _Params()
        begin(ctypes.byref(params), n_threads)
        params.poll = _POLL
        self._pool = make(ctypes.byref(params))
        if self._pool:
            attach(context, self._pool, None)

    def free(self) -> None:
        """End the threads; twice is harmless."""
        pool, self._pool = self._pool, None
        if pool:
            self._free(pool)
