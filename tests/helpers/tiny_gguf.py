"""A LLaMA of two layers with random weights and a real little vocabulary, and the ways it can be broken."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter, TokenType, quants

MetadataValue = bool | float | str | list[int] | list[float] | list[str]

WIDTH, HIDDEN, HEADS, LAYERS, CONTEXT_LENGTH = 64, 128, 4, 2, 2048
CONTROL_TOKENS = ("<|im_start|>", "<|im_end|>")
USER_DEFINED = "<bbox>"
PIECES = ("▁", *"abcdefghijklmnopqrstuvwxyzé?.,", "▁a", "th", "he", "the", "▁the", "re", "red", "▁red", "is", "▁is")


def vocabulary() -> list[tuple[str, TokenType, float]]:
    """Text, kind and score of every token; ids are positions."""
    return [
        ("<unk>", TokenType.UNKNOWN, 0.0),
        ("<s>", TokenType.CONTROL, 0.0),
        ("</s>", TokenType.CONTROL, 0.0),
        *((f"<0x{byte:02X}>", TokenType.BYTE, 0.0) for byte in range(256)),
        *((piece, TokenType.NORMAL, -float(index)) for index, piece in enumerate(PIECES)),
        *((token, TokenType.CONTROL, 0.0) for token in CONTROL_TOKENS),
        (USER_DEFINED, TokenType.USER_DEFINED, 0.0),
    ]


def write_tiny_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    block_count: int = LAYERS,
    embedding_type: GGMLQuantizationType = GGMLQuantizationType.Q8_0,
    n_spare_rows: int = 0,
    spoiled_weight: float | None = None,
    metadata: Mapping[str, MetadataValue] = MappingProxyType({}),
    tensors: Mapping[str, tuple[tuple[int, ...], GGMLQuantizationType]] = MappingProxyType({}),
    seed: int = 0,
) -> Path:
    """Write the model.

    Args:
        path: The new file.
        architecture: What the file says it is; the tensors stay LLaMA's.
        block_count: What the file says; there are always ``LAYERS``.
        embedding_type: Type of ``token_embd.weight``.
        n_spare_rows: Rows of ``token_embd.weight`` without a token.
        spoiled_weight: Put in the middle of the output matrix, NaN for example.
        metadata: Entries put in over the honest ones; a whole number becomes 32 bits wide if it fits.
        tensors: Shape and type of zeros put in the place of the honest weights; there may be new names.
        seed: Of the random weights.
    """
    tokens = vocabulary()
    writer = GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(block_count)
    writer.add_context_length(CONTEXT_LENGTH)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS // 2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _, _ in tokens])
    writer.add_token_types([kind for _, kind, _ in tokens])
    writer.add_token_scores([score for _, _, score in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for key, value in metadata.items():
        writer.kv_data[0].pop(key, None)
        writer.add_key_value(key, value, _kind_of(value))
    random = np.random.default_rng(seed)
    instead = dict(tensors)

    def matrix(n_rows: int, width: int) -> np.ndarray:
        return random.standard_normal((n_rows, width), dtype=np.float32) / np.float32(np.sqrt(width))

    def add(name: str, weights: np.ndarray, kind: GGMLQuantizationType = GGMLQuantizationType.F32) -> None:
        if name in instead:
            shape, kind = instead.pop(name)
            weights = np.zeros(quants.quant_shape_to_byte_shape(shape, kind), dtype=np.uint8)
        writer.add_tensor(name, weights, raw_dtype=kind)

    table = matrix(len(tokens) + n_spare_rows, WIDTH)
    add("token_embd.weight", quants.quantize(table, embedding_type), embedding_type)
    output = 4 * matrix(len(tokens) + n_spare_rows, WIDTH)
    if spoiled_weight is not None:
        output[len(tokens) // 2, WIDTH // 2] = spoiled_weight
    add("output.weight", output)
    add("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    for layer in range(LAYERS):
        for part, n_rows, width in (
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", WIDTH // 2, WIDTH),
            ("attn_v", WIDTH // 2, WIDTH),
            ("attn_output", WIDTH, WIDTH),
            ("ffn_gate", HIDDEN, WIDTH),
            ("ffn_up", HIDDEN, WIDTH),
            ("ffn_down", WIDTH, HIDDEN),
        ):
            add(f"blk.{layer}.{part}.weight", matrix(n_rows, width))
        add(f"blk.{layer}.attn_norm.weight", np.ones(WIDTH, dtype=np.float32))
        add(f"blk.{layer}.ffn_norm.weight", np.ones(WIDTH, dtype=np.float32))
    for name in tuple(instead):
        add(name, np.empty(0))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def truncated(path: Path, n_bytes: int) -> Path:
    """The file without its last ``n_bytes``."""
    cut = path.with_name(f"cut-{n_bytes}-{path.name}")
    cut.write_bytes(path.read_bytes()[:-n_bytes])
    return cut


def _kind_of(value: MetadataValue) -> GGUFValueType:
    if isinstance(value, list):
        return GGUFValueType.ARRAY
    if isinstance(value, bool | str):
        return GGUFValueType.BOOL if isinstance(value, bool) else GGUFValueType.STRING
    if isinstance(value, float):
        return GGUFValueType.FLOAT32
    if value < 0:
        return GGUFValueType.INT32
    return GGUFValueType.UINT32 if value < 1 << 32 else GGUFValueType.UINT64
