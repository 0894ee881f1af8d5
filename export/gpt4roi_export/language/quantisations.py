"""Which type llama.cpp's quantiser gives to every tensor of a LLaMA, and so how large the file becomes; has no numbers.

The rules are those of the pinned llama.cpp for this one architecture: most matrices take the type that the file is
named after, and a few that matter more take a finer one. A type of blocks of 256 does not fit every width; llama.cpp
then takes a coarser-grained one of its own accord, which costs some more bytes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gguf import GGMLQuantizationType as Type
from gguf import LlamaFileType

from gpt4roi_export.gguf_layout import padded_bytes, read_layout, size_bytes
from gpt4roi_export.language.f16_gguf import vocabulary_bytes
from gpt4roi_export.language.llama_tensors import llama_tensors
from gpt4roi_export.language.vocabulary import Vocabulary
from gpt4roi_export.released.sizes import LanguageSizes
from gpt4roi_runtime.backends.gguf_header import BLOCKS, inspect_gguf
from gpt4roi_runtime.errors import SettingsError

AUTO = "auto"
BASES: Mapping[str, Type] = {
    "F16": Type.F16,
    "Q8_0": Type.Q8_0,
    "Q6_K": Type.Q6_K,
    "Q5_K_M": Type.Q5_K,
    "Q5_K_S": Type.Q5_K,
    "Q5_1": Type.Q5_1,
    "Q5_0": Type.Q5_0,
    "Q4_K_M": Type.Q4_K,
    "Q4_K_S": Type.Q4_K,
    "Q4_1": Type.Q4_1,
    "Q4_0": Type.Q4_0,
    "IQ4_NL": Type.IQ4_NL,
    "IQ4_XS": Type.IQ4_XS,
    "Q3_K_L": Type.Q3_K,
    "Q3_K_M": Type.Q3_K,
    "Q3_K_S": Type.Q3_K,
    "Q2_K": Type.Q2_K,
}
"""Quantisations on offer -> the type of most matrices."""
NEED_IMPORTANCE = (
    *("IQ3_XXS", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S", "Q2_K_S"),
    *("IQ3_XS", "IQ3_S", "IQ3_M", "TQ1_0", "TQ2_0"),
)
"""Known to llama.cpp, but garbage, or nearly, without a matrix of measured importance, which this program has not."""

_ALIGNMENT = 32
_METADATA_BYTES = 1200  # keys and values beside the tokens, and padding
_TENSOR_BYTES = 8 + 4 + 2 * 8 + 4 + 8  # of the header's entry for a matrix, without its name
_BLOCK_256 = 256
_SHARED_HEADS = 4  # query heads on one key head, from which keys and values are worth more bits
_LARGEST_LAYERS = 80

Choice = Callable[[int, int], bool]
"""Whether a layer, of so many, takes a finer type."""


@dataclass(frozen=True)
class ModelShape:
    """All that the size of a file depends on.

    Attributes:
        tensors: Name in the GGUF -> axes, the one whose neighbours touch first.
        n_layers: Layers.
        n_heads: Query heads.
        n_heads_kv: Key and value heads.
        header_bytes: What stands before the weights.
    """

    tensors: Mapping[str, tuple[int, ...]]
    n_layers: int
    n_heads: int
    n_heads_kv: int
    header_bytes: int


def shape_of_checkpoint(sizes: LanguageSizes, vocabulary: Vocabulary) -> ModelShape:
    """The shape of what ``write_f16`` would write; the header's size to within a kilobyte."""
    tensors = {tensor.target: tensor.shape[::-1] for tensor in llama_tensors(sizes)}
    entries = sum(len(name) + _TENSOR_BYTES for name in tensors)
    return ModelShape(
        tensors=tensors,
        n_layers=sizes.n_layers,
        n_heads=sizes.n_heads,
        n_heads_kv=sizes.n_kv_heads,
        header_bytes=vocabulary_bytes(vocabulary) + entries + _METADATA_BYTES,
    )


def shape_of_gguf(path: Path) -> ModelShape:
    """The shape of a file.

    Raises:
        BundleError: It is no usable GGUF.
    """
    header, layout = inspect_gguf(path), read_layout(path)
    return ModelShape(
        tensors={tensor.name: tensor.shape for tensor in layout.tensors},
        n_layers=header.block_count,
        n_heads=header.head_count,
        n_heads_kv=header.head_count_kv,
        header_bytes=min(tensor.offset_bytes for tensor in layout.tensors),
    )


def predicted_bytes(shape: ModelShape, quantisation: str) -> int:
    """Size of the quantised file, before it is written.

    Raises:
        SettingsError: There is no such quantisation.
    """
    types = stored_types(shape, quantisation)
    weights = sum(padded_bytes(size_bytes(axes, types[name]), _ALIGNMENT) for name, axes in shape.tensors.items())
    return shape.header_bytes + weights


def stored_types(shape: ModelShape, quantisation: str) -> Mapping[str, Type]:
    """The type of every tensor of the quantised file.

    Raises:
        SettingsError: There is no such quantisation.
    """
    check_quantisation(quantisation)
    return {name: _stored_type(name, axes, shape, quantisation) for name, axes in shape.tensors.items()}


def fallbacks(shape: ModelShape, quantisation: str) -> tuple[str, ...]:
    """Names of the matrices whose width does not fit the type that the quantisation means for them."""
    return tuple(
        name
        for name, axes in shape.tensors.items()
        if _is_matrix(name, axes) and axes[0] % BLOCKS[_meant_type(name, shape, quantisation)][1]
    )


def check_quantisation(quantisation: str) -> None:
    """Refuse what is not on offer.

    Raises:
        SettingsError: With the reason.
    """
    if quantisation in NEED_IMPORTANCE:
        raise SettingsError(
            f"quantisation {quantisation!r} needs an importance matrix, measured by running the model on much text",
            f"This program does not make one. Use one of {', '.join(BASES)}; the smallest is Q2_K.",
        )
    if quantisation not in BASES:
        raise SettingsError(f"quantisation {quantisation!r} is unknown", f"Use {AUTO} or one of {', '.join(BASES)}.")


def file_type(quantisation: str) -> LlamaFileType:
    """The number that llama.cpp knows a quantisation by."""
    return LlamaFileType[f"MOSTLY_{quantisation}"]


def _is_matrix(name: str, axes: tuple[int, ...]) -> bool:
    return len(axes) > 1 and name.endswith(".weight")


def _stored_type(name: str, axes: tuple[int, ...], shape: ModelShape, quantisation: str) -> Type:
    if not _is_matrix(name, axes):
        return Type.F32
    return _fitting(_meant_type(name, shape, quantisation), axes[0])


def _meant_type(name: str, shape: ModelShape, quantisation: str) -> Type:
    """What the quantisation means for a matrix, whether it fits or not."""
    base = BASES[quantisation]
    if base is Type.F16:
        return base
    tied = "output.weight" not in shape.tensors
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        fits = shape.tensors[name][0] % BLOCKS[base][1] == 0
        return Type.Q6_K if fits and base is not Type.Q8_0 else Type.Q8_0
    if not name.startswith("blk."):
        return base
    _, layer, part, _ = name.split(".")
    kind = next(
        (kind for kind, chosen in _FINER.get((quantisation, part), ()) if chosen(int(layer), shape.n_layers)), base
    )
    return _finer_values(kind, shape, quantisation) if part == "attn_v" else kind


def _finer_values(kind: Type, shape: ModelShape, quantisation: str) -> Type:
    """Values are small and matter much where several query heads share them."""
    if shape.n_heads >= _SHARED_HEADS * shape.n_heads_kv:
        kind = {"Q2_K": Type.Q4_K, "IQ4_NL": Type.Q5_K, "IQ4_XS": Type.Q5_K}.get(quantisation, kind)
    if shape.n_layers == _LARGEST_LAYERS and shape.n_heads != shape.n_heads_kv and kind in (Type.Q3_K, Type.Q4_K):
        return Type.Q5_K
    return kind


def _fitting(kind: Type, width: int) -> Type:
    if width % BLOCKS[kind][1]:
        kind = _SMALLER_BLOCKS.get(kind, kind)
    return Type.F16 if width % BLOCKS[kind][1] else kind


_SMALLER_BLOCKS = {
    Type.Q2_K: Type.Q4_0,
    Type.Q3_K: Type.Q4_0,
    Type.IQ4_XS: Type.IQ4_NL,
    Type.Q4_K: Type.Q5_0,
    Type.Q5_K: Type.Q5_1,
    Type.Q6_K: Type.Q8_0,
}


def _first(n: int) -> Choice:
    return lambda layer, _n_layers: layer < n


def _first_part(divisor: int) -> Choice:
    return lambda layer, n_layers: layer < n_layers // divisor


def _every(_layer: int, _n_layers: int) -> bool:
    return True


def _outer_and_every_third(layer: int, n_layers: int) -> bool:
    eighth = n_layers // 8
    return layer < eighth or layer >= 7 * n_layers // 8 or (layer - eighth) % 3 == 2


_FINER: Mapping[tuple[str, str], tuple[tuple[Type, Choice], ...]] = {
    ("Q2_K", "attn_v"): ((Type.Q3_K, _every),),
    ("Q2_K", "attn_output"): ((Type.Q3_K, _every),),
    ("Q2_K", "ffn_down"): ((Type.Q3_K, _every),),
    ("Q3_K_M", "attn_v"): ((Type.Q5_K, _first(2)), (Type.Q4_K, _every)),
    ("Q3_K_M", "attn_output"): ((Type.Q4_K, _every),),
    ("Q3_K_M", "ffn_down"): ((Type.Q5_K, _first_part(16)), (Type.Q4_K, _every)),
    ("Q3_K_L", "attn_v"): ((Type.Q5_K, _every),),
    ("Q3_K_L", "attn_output"): ((Type.Q5_K, _every),),
    ("Q3_K_L", "ffn_down"): ((Type.Q5_K, _every),),
    ("Q4_K_S", "attn_v"): ((Type.Q5_K, _first(4)),),
    ("Q4_K_S", "ffn_down"): ((Type.Q5_K, _first_part(8)),),
    ("Q4_K_M", "attn_v"): ((Type.Q6_K, _outer_and_every_third),),
    ("Q4_K_M", "ffn_down"): ((Type.Q6_K, _outer_and_every_third),),
    ("Q5_K_M", "attn_v"): ((Type.Q6_K, _outer_and_every_third),),
    ("Q5_K_M", "ffn_down"): ((Type.Q6_K, _outer_and_every_third),),
    ("IQ4_NL", "ffn_down"): ((Type.Q5_K, _first_part(8)),),
    ("IQ4_XS", "ffn_down"): ((Type.Q5_K, _first_part(8)),),
}
"""Quantisation and part of a layer -> finer types, and the layers that take them; the first that says yes."""
