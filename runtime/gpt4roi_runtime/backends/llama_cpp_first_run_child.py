"""The child of a first run: loads the file it is told, and does with it once whatever is done with a model.

It may die by a signal at any line. Knows no bundle.
"""

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp_context import NativeContext
from gpt4roi_runtime.backends.llama_cpp_first_run import CONTEXT_LENGTH, REFUSED, WORKS
from gpt4roi_runtime.backends.llama_cpp_library import load_library
from gpt4roi_runtime.backends.llama_cpp_loading import NativeSizes
from gpt4roi_runtime.backends.llama_cpp_model import NativeModel
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.backends.processor import usable_cores
from gpt4roi_runtime.errors import EngineError, Gpt4RoiError, QuestionError
from gpt4roi_runtime.llm.decoder import Allowed, Sampling
from gpt4roi_runtime.own_python import leave_no_core_dump

_N_ROWS = 8  # more than one row and a single one take different paths
_EVERY_BYTE = "".join(map(chr, (*range(0x801), *range(0x1000, 0xE000, 0x1000), *range(0xE000, 0x110000, 0x1000))))
"""Text with every byte that UTF-8 has: llama.cpp ends the process over one that the vocabulary cannot spell."""


def main(path: Path, *, repack: bool) -> int:
    """Load the model, feed it rows, draw tokens, feed and score some; prints the success."""
    leave_no_core_dump()
    try:
        _run(path, repack=repack)
    except Gpt4RoiError as error:
        print(" ".join(error.problem.split()), file=sys.stderr)  # noqa: T201 - the answer to the parent
        return REFUSED
    print(WORKS, flush=True)  # noqa: T201
    return 0


def _run(path: Path, *, repack: bool) -> None:
    header = inspect_gguf(path)
    sizes = NativeSizes(
        context_length=CONTEXT_LENGTH,
        batch_size=_N_ROWS,
        n_threads=usable_cores(),
        yields=True,
        flash_attention=LlamaCppSettings().wants_flash_attention(header.embedding_length),
        repack=repack,
    )
    context = NativeContext(load_library(), path, header, sizes, lambda _part: None, lambda: False)
    model = NativeModel(context)
    with suppress(QuestionError):  # the vocabulary may call it special
        model.vocabulary.tokenize(_EVERY_BYTE)
    rows = np.random.default_rng(0).standard_normal((_N_ROWS, header.embedding_length), dtype=np.float32)
    model.prefill(rows, lambda: False)
    model.step(model.begin_answer(Sampling()), lambda: False)
    model.feed(header.vocabulary_size - 1)  # whatever was drawn, which may be the end of the answer
    model.logits()
    model.score(rows, [(0, header.vocabulary_size - 1, 0)], lambda: False)
    model.prefill(rows, lambda: False)
    with suppress(EngineError):  # the vocabulary may lack the letter
        model.step(model.begin_answer(Sampling(), Allowed(("a",)), n_top=1), lambda: False)
    model.free()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), repack=sys.argv[2] == "repack"))
