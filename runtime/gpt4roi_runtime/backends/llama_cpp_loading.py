"""A model's file and its context as pointers of llama.cpp: made and checked here, owned elsewhere.

Every call is checked before it is made, because llama.cpp answers many mistakes with abort().
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt4roi_runtime.backends.llama_cpp_guard import CallbackGuard
from gpt4roi_runtime.backends.llama_cpp_library import NativeLibrary
from gpt4roi_runtime.backends.llama_cpp_settings import CacheType
from gpt4roi_runtime.errors import EngineError, SettingsError
from gpt4roi_runtime.llm.decoder import CancelCheck

OnProgress = Callable[[float], None]
"""Hears the part of a load that is done, 0 to 1."""


@dataclass(frozen=True)
class NativeSizes:
    """What to ask of llama.cpp for one model.

    Attributes:
        context_length: Rows of the KV cache.
        batch_size: Most rows in one call.
        n_threads: Most threads of prefill and decode.
        yields: Use fewer threads while other processes are busy.
        flash_attention: Fuse the attention of a batch.
        repack: Rearrange weights for the CPU's matrix units.
        max_answers: Most answers written side by side.
        kept_bytes: Most bytes of other images' prefixes.
        ubatch_size: Most rows computed at once; 0 takes ``batch_size``.
        type_k: Type of the cache's keys.
        type_v: Type of its values.
        n_gpu_layers: Layers for a GPU; -1 takes all.
    """

    context_length: int
    batch_size: int
    n_threads: int
    yields: bool
    flash_attention: bool
    repack: bool
    max_answers: int = 1
    kept_bytes: int = 0
    ubatch_size: int = 0
    type_k: CacheType = "f16"
    type_v: CacheType = "f16"
    n_gpu_layers: int = 0


def load_model(
    library: NativeLibrary, path: Path, sizes: NativeSizes, on_progress: OnProgress, cancel: CancelCheck
) -> Any:
    """The weights in memory; whoever asked frees them.

    Raises:
        SettingsError: Layers for a GPU, and a build without one.
        EngineError: llama.cpp refused the file; its own words are in the message.
        Cancelled: ``cancel`` said so while loading.
    """
    api, guard = library.api, CallbackGuard(cancel)

    def progress(part: float, _user_data: object) -> bool:
        return guard.goes_on(lambda: on_progress(part))

    if sizes.n_gpu_layers and not api.llama_supports_gpu_offload():
        raise SettingsError(
            f"{sizes.n_gpu_layers} layers for a GPU, but this llama.cpp was built without one",
            "Use 0 layers (-ngl 0), or build it for the GPU: CMAKE_ARGS=-DGGML_CUDA=on make llama.",
        )
    callback = api.llama_progress_callback(progress)
    params = api.llama_model_default_params()
    params.n_gpu_layers = sizes.n_gpu_layers
    params.load_mode = api.LLAMA_LOAD_MODE_NONE  # mapped, a repacked model takes twice the memory
    params.use_extra_bufts = sizes.repack
    params.progress_callback = callback
    library.log.clear()
    model = api.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        guard.raise_if_stopped()
        raise failure(library, f"cannot load {path}")
    return model


def make_context(library: NativeLibrary, model: Any, sizes: NativeSizes) -> Any:
    """A context with its KV cache; whoever asked frees it, before the model.

    Raises:
        EngineError: llama.cpp refused the sizes; its own words are in the message.
    """
    api = library.api
    params = api.llama_context_default_params()
    params.n_ctx = sizes.context_length
    params.n_batch = min(sizes.batch_size, sizes.context_length)
    params.n_ubatch = min(sizes.ubatch_size or sizes.batch_size, params.n_batch)
    params.type_k = getattr(api, f"GGML_TYPE_{sizes.type_k.upper()}")
    params.type_v = getattr(api, f"GGML_TYPE_{sizes.type_v.upper()}")
    params.n_seq_max = n_sequences = 1 + (sizes.max_answers if sizes.max_answers > 1 else 0)
    params.kv_unified = True  # sequences share rows, so that a prompt can be forked
    # Logits of a row for every sequence; the default reserves a vocabulary for every row, and less is an abort.
    params.n_outputs_max = n_sequences
    params.n_threads = params.n_threads_batch = sizes.n_threads
    params.flash_attn_type = (
        api.LLAMA_FLASH_ATTN_TYPE_ENABLED if sizes.flash_attention else api.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    params.no_perf = True
    library.log.clear()
    context = api.llama_init_from_model(model, params)
    if not context:
        raise failure(library, f"cannot make a context of {sizes.context_length} rows")
    return context


def failure(library: NativeLibrary, problem: str) -> EngineError:
    """What went wrong, with llama.cpp's own words."""
    return EngineError(f"{problem}: {library.log.complaints()}")
