"""The child of the self-test: decodes one batch with a made-up model, plainly and with rearranged weights.

It may die by a signal at any line; its parent reads how far it came. Knows no real model.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants

from gpt4roi_runtime.arrays import EmbeddingRows
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp_context import NativeContext
from gpt4roi_runtime.backends.llama_cpp_library import load_library
from gpt4roi_runtime.backends.llama_cpp_loading import NativeSizes
from gpt4roi_runtime.backends.llama_cpp_model import NativeModel
from gpt4roi_runtime.backends.llama_cpp_selftest import NO_PLACE, PLAIN_WORKS, REPACKED_WORKS, WRONG_NUMBERS
from gpt4roi_runtime.errors import NumericError
from gpt4roi_runtime.own_python import leave_no_core_dump

_WIDTH, _HIDDEN, _HEADS, _LAYERS, _VOCABULARY = 256, 512, 4, 2, 320
_N_ROWS = 48  # a batch, so that the matrix units are used
_TOLERANCE = 0.05  # of the spread of the logits; activations are rounded differently in the two paths


def main() -> int:
    """Make the model, run it both ways and print each success."""
    leave_no_core_dump()
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gpt4roi-self-test-"))
            path = Path(folder) / "self-test.gguf"
            _write_model(path)
        except OSError as error:
            print(f"no place for its model: {error}", file=sys.stderr)  # noqa: T201
            return NO_PLACE
        return _try_both(path)


def _try_both(path: Path) -> int:
    rows = np.random.default_rng(1).standard_normal((_N_ROWS, _WIDTH), dtype=np.float32)
    plain = _logits(path, rows, repack=False)
    print(PLAIN_WORKS, flush=True)  # noqa: T201 - the answer to the parent
    try:
        repacked = _logits(path, rows, repack=True)
    except NumericError as error:
        return _wrong_numbers(error.problem)
    difference = float(np.abs(repacked - plain).max() / np.abs(plain).max())
    if difference > _TOLERANCE:
        return _wrong_numbers(f"logits differ by {difference:.3f} of their spread")
    print(REPACKED_WORKS, flush=True)  # noqa: T201
    return 0


def _wrong_numbers(words: str) -> int:
    print(WRONG_NUMBERS, flush=True)  # noqa: T201
    print(words, file=sys.stderr)  # noqa: T201
    return 1


def _logits(path: Path, rows: EmbeddingRows, *, repack: bool) -> npt.NDArray[np.float32]:
    sizes = NativeSizes(
        context_length=256, batch_size=128, n_threads=2, yields=False, flash_attention=False, repack=repack
    )
    context = NativeContext(load_library(), path, inspect_gguf(path), sizes, lambda _part: None, lambda: False)
    model = NativeModel(context)
    model.prefill(rows, lambda: False)
    logits = model.logits()
    model.free()
    return logits


def _write_model(path: Path) -> None:
    """A LLaMA of random weights in Q4_0, the type with the most special paths."""
    random = np.random.default_rng(0)
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(_LAYERS)
    writer.add_context_length(256)
    writer.add_embedding_length(_WIDTH)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"t{index}" for index in range(_VOCABULARY)])
    writer.add_token_scores([0.0] * _VOCABULARY)
    writer.add_token_types([TokenType.NORMAL] * _VOCABULARY)

    def add(name: str, n_rows: int, width: int) -> None:
        weights = random.standard_normal((n_rows, width), dtype=np.float32) / np.float32(np.sqrt(width))
        kind = GGMLQuantizationType.Q4_0
        writer.add_tensor(name, quants.quantize(weights, kind), raw_dtype=kind)

    def add_ones(name: str) -> None:
        writer.add_tensor(name, np.ones(_WIDTH, dtype=np.float32))

    add("token_embd.weight", _VOCABULARY, _WIDTH)
    add("output.weight", _VOCABULARY, _WIDTH)
    add_ones("output_norm.weight")
    for layer in range(_LAYERS):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{part}.weight", _WIDTH, _WIDTH)
        add(f"blk.{layer}.ffn_gate.weight", _HIDDEN, _WIDTH)
        add(f"blk.{layer}.ffn_up.weight", _HIDDEN, _WIDTH)
        add(f"blk.{layer}.ffn_down.weight", _WIDTH, _HIDDEN)
        add_ones(f"blk.{layer}.attn_norm.weight")
        add_ones(f"blk.{layer}.ffn_norm.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    sys.exit(main())
