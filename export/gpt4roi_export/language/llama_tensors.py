"""Every tensor of a LLaMA: its name in the checkpoint, its name in a GGUF, its shape. Knows no numbers and no file."""

from collections.abc import Mapping
from dataclasses import dataclass

from gpt4roi_export.released.sizes import LanguageSizes
from gpt4roi_export.tensors import TensorFacts, missing
from gpt4roi_runtime.errors import BundleError

DTYPES = ("float16", "bfloat16", "float32")
"""What a checkpoint's tensors may be made of."""
_OURS = ("model.layers.", "model.embed_tokens.", "model.norm.", "lm_head.")
_COMPUTED = ".rotary_emb.inv_freq"  # saved by old versions of transformers, and made anew by everyone


@dataclass(frozen=True)
class LlamaTensor:
    """One tensor.

    Attributes:
        source: Name in the checkpoint, as transformers says it.
        target: Name in the GGUF.
        shape: Rows and columns, or the width of a norm.
        rotary_heads: Heads whose rows rotary positions turn in pairs, so that they change their order; else ``None``.
    """

    source: str
    target: str
    shape: tuple[int, ...]
    rotary_heads: int | None = None

    @property
    def is_norm(self) -> bool:
        """Whether it is kept in single precision."""
        return len(self.shape) == 1


def llama_tensors(sizes: LanguageSizes) -> tuple[LlamaTensor, ...]:
    """All tensors, in the order of the GGUF.

    Args:
        sizes: Of the model.
    """
    width, vocabulary = sizes.hidden_size, sizes.vocabulary_size
    return (
        LlamaTensor("model.embed_tokens.weight", "token_embd.weight", (vocabulary, width)),
        *(tensor for layer in range(sizes.n_layers) for tensor in _layer(sizes, layer)),
        LlamaTensor("model.norm.weight", "output_norm.weight", (width,)),
        LlamaTensor("lm_head.weight", "output.weight", (vocabulary, width)),
    )


def _layer(sizes: LanguageSizes, layer: int) -> tuple[LlamaTensor, ...]:
    width, inside = sizes.hidden_size, sizes.intermediate_size
    heads, heads_kv = sizes.n_heads, sizes.n_kv_heads
    width_kv = heads_kv * sizes.head_size

    def tensor(source: str, target: str, *shape: int, rotary_heads: int | None = None) -> LlamaTensor:
        return LlamaTensor(f"model.layers.{layer}.{source}.weight", f"blk.{layer}.{target}.weight", shape, rotary_heads)

    return (
        tensor("input_layernorm", "attn_norm", width),
        tensor("self_attn.q_proj", "attn_q", width, width, rotary_heads=heads),
        tensor("self_attn.k_proj", "attn_k", width_kv, width, rotary_heads=heads_kv),
        tensor("self_attn.v_proj", "attn_v", width_kv, width),
        tensor("self_attn.o_proj", "attn_output", width, width),
        tensor("post_attention_layernorm", "ffn_norm", width),
        tensor("mlp.gate_proj", "ffn_gate", inside, width),
        tensor("mlp.up_proj", "ffn_up", inside, width),
        tensor("mlp.down_proj", "ffn_down", width, inside),
    )


def found_tensors(facts: Mapping[str, TensorFacts], sizes: LanguageSizes) -> tuple[LlamaTensor, ...]:
    """The tensors of a checkpoint, held against its config.

    Args:
        facts: Of all its tensors; those of the vision side are passed over.
        sizes: Of the model.

    Raises:
        BundleError: One is missing, of another shape or dtype, or has no place in this LLaMA.
    """
    expected = llama_tensors(sizes)
    for tensor in expected:
        _check(tensor, facts.get(tensor.source))
    known = {tensor.source for tensor in expected}
    for name in facts:
        if name.startswith(_OURS) and name not in known and not name.endswith(_COMPUTED):
            raise BundleError(
                f"the checkpoint has a tensor {name!r}, for which a LLaMA of {sizes.n_layers} layers has no place",
                "Expected the weights that belong to the config.json, without biases and adapters.",
            )
    return expected


def _check(tensor: LlamaTensor, facts: TensorFacts | None) -> None:
    if facts is None:
        raise missing(tensor.source)
    if facts.shape != tensor.shape:
        raise BundleError(
            f"{tensor.source} has shape {_axes(facts.shape)}, the config.json says {_axes(tensor.shape)}",
            "Expected weights and config.json of one checkpoint.",
        )
    if facts.dtype not in DTYPES:
        raise BundleError(
            f"{tensor.source} is of dtype {facts.dtype}, expected {', '.join(DTYPES)}",
            "Expected a checkpoint that was not quantised.",
        )


def _axes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "()"
