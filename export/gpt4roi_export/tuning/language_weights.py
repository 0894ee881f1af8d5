"""A GGUF's LLaMA as plain float32 arrays, by the names that the file gives them.

Does not know torch, nor what the arrays are used for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize
from numpy.typing import NDArray

from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.errors import BundleError

LAYER_MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
"""What a layer multiplies with, in the order of use; all of them can have a low-rank addition."""
LAYER_NORMS = ("attn_norm", "ffn_norm")
_ROPE_BASE, _DEFAULT_ROPE_BASE = "llama.rope.freq_base", 10000.0
_EPSILON = "llama.attention.layer_norm_rms_epsilon"


@dataclass(frozen=True)
class LanguageWeights:
    """Everything needed to compute with the model.

    Attributes:
        tensors: Float32 by GGUF name, a matrix as ``[out, in]``; a tied output matrix is missing.
        n_layers: Transformer layers.
        n_heads: Query heads.
        n_heads_kv: Key and value heads.
        head_width: Width of one head.
        width: Width of a row.
        epsilon: Of the norms.
        rope_base: Of the rotary positions.
        vocabulary_size: Tokens.
    """

    tensors: Mapping[str, NDArray[np.float32]]
    n_layers: int
    n_heads: int
    n_heads_kv: int
    head_width: int
    width: int
    epsilon: float
    rope_base: float
    vocabulary_size: int


def read_language_weights(gguf: Path) -> LanguageWeights:
    """Dequantise a model.

    Args:
        gguf: A file of the LLaMA architecture.

    Returns:
        Its weights, in the file's own order of rows.

    Raises:
        BundleError: The file is damaged, of another architecture, or of a kind that is not computed here.
    """
    header = inspect_gguf(gguf)  # first, because the package's reader can be made to hang
    reader = GGUFReader(gguf)
    rows = {"token_embd.weight", "output_norm.weight", "output.weight"}
    for layer in range(header.block_count):
        rows |= {matrix_name(layer, part) for part in (*LAYER_MATRICES, *LAYER_NORMS)}
    unknown = sorted(str(tensor.name) for tensor in reader.tensors if tensor.name not in rows)
    if unknown:
        raise BundleError(
            f"{gguf} has a tensor {unknown[0]!r}, which plain LLaMAs do not have",
            "Tune a model without biases, scaled positions or experts.",
        )
    tensors = {str(tensor.name): _float32(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    missing = sorted(rows - {"output.weight"} - set(tensors))
    if missing:
        raise BundleError(f"{gguf} has no tensor {missing[0]!r}", "Fetch or convert it again.")
    return LanguageWeights(
        tensors=tensors,
        n_layers=header.block_count,
        n_heads=header.head_count,
        n_heads_kv=header.head_count_kv,
        head_width=header.key_length,
        width=header.embedding_length,
        epsilon=_number(reader, _EPSILON, 1e-5),
        rope_base=_number(reader, _ROPE_BASE, _DEFAULT_ROPE_BASE),
        vocabulary_size=header.vocabulary_size,
    )


def matrix_name(layer: int, part: str) -> str:
    """Name of a layer's tensor in the file."""
    return f"blk.{layer}.{part}.weight"


def _float32(data: NDArray[np.generic], kind: GGMLQuantizationType) -> NDArray[np.float32]:
    return np.array(dequantize(data, kind), dtype=np.float32)  # a copy: the file is mapped read-only


def _number(reader: GGUFReader, key: str, default: float) -> float:
    field = reader.get_field(key)
    return default if field is None else float(field.contents())
