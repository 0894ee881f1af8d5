"""Every tensor of a GGUF beside the facts of its header, and what they would weigh in other types; reads no weight.

Does not know any device.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_runtime.backends.gguf_header import BLOCKS, GgufHeader, TensorPlace, inspect_gguf
from gpt4roi_runtime.errors import BundleError

QUANTISATIONS: tuple[str, ...] = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0")
"""Mixtures that llama.cpp's quantiser makes and this module can predict, the largest first."""

_LAYER = re.compile(r"blk\.(\d{1,4})\.", re.ASCII)
_UP = re.compile(r"blk\.\d{1,4}\.ffn_up\.weight", re.ASCII)
_EMBEDDINGS, _OUTPUT = "token_embd.weight", "output.weight"
_MAIN_TYPE = {"Q8_0": "Q8_0", "Q6_K": "Q6_K", "Q5_K_M": "Q5_K", "Q4_K_M": "Q4_K", "Q4_0": "Q4_0"}
_FOR_NARROW_ROWS = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_MIXED = {"Q4_K_M", "Q5_K_M"}
_BLOCK_OF = {name: (n_weights, n_bytes) for name, n_weights, n_bytes in BLOCKS.values()}


@dataclass(frozen=True)
class LanguageFile:
    """A GGUF whose header was checked.

    Attributes:
        header: Its facts.
        feed_forward_length: Width between the two halves of a layer's feed-forward part.
    """

    header: GgufHeader
    feed_forward_length: int

    @property
    def tied(self) -> bool:
        """Whether the token embeddings are the output matrix too."""
        return all(tensor.name != _OUTPUT for tensor in self.header.tensors)

    @property
    def embedding_bytes(self) -> int:
        """Bytes of the token embeddings, which stay with the processor wherever the layers are."""
        return self.header.token_embeddings.size_bytes

    @property
    def output_bytes(self) -> int:
        """Bytes of what follows the last layer: output matrix and norm; a tied matrix is the embeddings."""
        loose = sum(tensor.size_bytes for tensor in self.header.tensors if layer_of(tensor.name) is None)
        return loose if self.tied else loose - self.embedding_bytes

    def layer_bytes(self) -> tuple[int, ...]:
        """Bytes of every layer's weights."""
        sizes = [0] * self.header.block_count
        for tensor in self.header.tensors:
            if (layer := layer_of(tensor.name)) is not None and layer < len(sizes):
                sizes[layer] += tensor.size_bytes
        return tuple(sizes)

    def bytes_by_type(self) -> dict[str, int]:
        """Bytes of all weights of every type, the largest first."""
        sizes: dict[str, int] = {}
        for tensor in self.header.tensors:
            sizes[tensor.type_name] = sizes.get(tensor.type_name, 0) + tensor.size_bytes
        return dict(sorted(sizes.items(), key=lambda item: -item[1]))

    def quantised_bytes(self, quantisation: str) -> int:
        """Bytes of all weights if the file were quantised so; as llama.cpp's quantiser chooses types.

        Matrices take the mixture's main type. The output matrix takes Q6_K at least; in the mixtures ending in M a
        part of the layers' value and down matrices does too. Rows that are no multiple of 256 take a type of blocks
        of 32 instead, and norms stay float32.
        """
        return sum(self._quantised(tensor, quantisation) for tensor in self.header.tensors)

    def _quantised(self, tensor: TensorPlace, quantisation: str) -> int:
        if len(tensor.shape) < 2 or math.prod(tensor.shape[1:]) == 1:
            return tensor.size_bytes
        kind = _MAIN_TYPE[quantisation]
        is_output = tensor.name == _OUTPUT or (self.tied and tensor.name == _EMBEDDINGS)
        if (is_output and kind != "Q8_0") or (quantisation in _MIXED and self._gets_more_bits(tensor.name)):
            kind = "Q6_K"
        if tensor.shape[0] % _BLOCK_OF[kind][0]:
            kind = _FOR_NARROW_ROWS.get(kind, "F16")
        if tensor.shape[0] % _BLOCK_OF[kind][0]:
            kind = "F16"
        n_weights, n_bytes = _BLOCK_OF[kind]
        return math.prod(tensor.shape) // n_weights * n_bytes

    def _gets_more_bits(self, name: str) -> bool:
        layer, count = layer_of(name), self.header.block_count
        if layer is None or not name.endswith((".attn_v.weight", ".ffn_down.weight")):
            return False
        eighth = count // 8
        return layer < eighth or layer >= 7 * count // 8 or (layer - eighth) % 3 == 2


def layer_of(name: str) -> int | None:
    """Number of the layer a tensor belongs to, or None."""
    found = _LAYER.match(name)
    return None if found is None else int(found[1])


def read_language_file(path: Path) -> LanguageFile:
    """Read and check a GGUF's header and the list of its tensors.

    Raises:
        BundleError: The file is missing, damaged, not a GGUF, or not a LLaMA.
    """
    header = inspect_gguf(path)
    for tensor in header.tensors:
        if _UP.fullmatch(tensor.name):
            return LanguageFile(header, math.prod(tensor.shape[1:]))
    raise BundleError(f"{path} has no tensor blk.N.ffn_up.weight", "This program runs plain LLaMAs only.")
