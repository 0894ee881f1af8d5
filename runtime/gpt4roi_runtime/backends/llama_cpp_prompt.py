"""The prompt's rows on their way into the KV cache, call by call; knows no answer."""

from gpt4roi_runtime.arrays import EmbeddingRows
from gpt4roi_runtime.backends.llama_cpp_cache import PROMPT
from gpt4roi_runtime.backends.llama_cpp_context import NativeContext
from gpt4roi_runtime.backends.llama_cpp_pieces import split
from gpt4roi_runtime.errors import Cancelled
from gpt4roi_runtime.llm.decoder import CancelCheck, Prefilled


def fill(
    context: NativeContext, rows: EmbeddingRows, n_prefix: int, cancel: CancelCheck, *, wants_logits: bool
) -> Prefilled:
    """Compute what of checked ``rows`` is not in the cache; for logits, the last piece is always computed.

    Raises:
        EngineError: llama.cpp could not; the KV cache is empty then.
        Cancelled: ``cancel`` said so, between two operations of a call; whole pieces stay.
    """
    cache = context.cache
    plan = split(rows, n_prefix, context.batch_size)
    n_prefix_pieces = sum(piece.end <= n_prefix for piece in plan)
    n_there = cache.begin(plan, n_prefix_pieces, len(plan) - wants_logits)
    try:
        with context.abortable(cancel):
            for piece in plan[n_there:]:
                n_wanted = int(wants_logits and piece is plan[-1])
                positions = range(piece.start, piece.end)
                places = [PROMPT] * len(positions)
                context.compute_rows(rows[piece.start : piece.end], positions, places, n_wanted=n_wanted)
                cache.add(piece)
    except Cancelled:
        cache.drop_unfinished()
        raise
    except BaseException:
        cache.forget()
        raise
    n_kept = plan[n_there - 1].end if n_there else 0
    return Prefilled(n_kept, len(rows) - n_kept)
