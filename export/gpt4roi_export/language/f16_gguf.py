"""A LLaMA's GGUF of half floats, written tensor by tensor: the most in memory is one tensor as it is read and written.

A run that was killed is started again from the first tensor: for 7B that is a minute or two of reading and writing,
and the file of the killed run is written over. Does not know llama.cpp or where the tensors come from.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, LlamaFileType
from jaxtyping import Float16, Float32, Shaped

from gpt4roi_export.adapter import permute_rows
from gpt4roi_export.language.aside import renamed_when_whole
from gpt4roi_export.language.llama_tensors import LlamaTensor, found_tensors
from gpt4roi_export.language.vocabulary import Vocabulary
from gpt4roi_export.released.sizes import LanguageSizes
from gpt4roi_export.tensors import Tensors
from gpt4roi_export.weights import Progress
from gpt4roi_runtime.errors import BundleError

_LARGEST_HALF = 65504.0
_PIECE_NUMBERS = 1 << 22
_DOING = "writing the language model in half precision"
_QUANTISATION_VERSION = 2  # of the blocks' layouts; llama.cpp writes it into every file of its own


def write_f16(
    tensors: Tensors,
    sizes: LanguageSizes,
    vocabulary: Vocabulary,
    out: Path,
    progress: Progress,
    *,
    name: str = "GPT4RoI",
) -> None:
    """Write the GGUF. The same input gives the same bytes.

    Args:
        tensors: The checkpoint; tensors of the vision side in it are passed over.
        sizes: Its sizes.
        vocabulary: Its tokens, one for every row of ``embed_tokens``.
        out: The new file.
        progress: Told what is being done.
        name: What the model is called.

    Raises:
        BundleError: Tensors are missing, do not fit the sizes, or hold numbers that a half float cannot.
        OutputError: There is no room for the file, or it cannot be written.
    """
    if len(vocabulary.tokens) != sizes.vocabulary_size:
        raise BundleError(
            f"the vocabulary has {len(vocabulary.tokens)} tokens, config.json says {sizes.vocabulary_size}",
            "Expected the tokenizer files that belong to the weights.",
        )
    steps = found_tensors(tensors.facts, sizes)
    n_bytes, n_written = sum(map(stored_bytes, steps)), 0
    with (
        renamed_when_whole(out, n_bytes + vocabulary_bytes(vocabulary)) as aside,
        _opened(aside, steps, sizes, vocabulary, name) as writer,
    ):
        for step in steps:
            progress(_DOING, n_written / n_bytes)
            writer.write_tensor_data(_converted(step, tensors.read(step.source)))
            n_written += stored_bytes(step)
    progress(_DOING, 1.0)


def stored_bytes(tensor: LlamaTensor) -> int:
    """Bytes of a tensor in the file."""
    return int(np.prod(tensor.shape)) * (4 if tensor.is_norm else 2)


def vocabulary_bytes(vocabulary: Vocabulary) -> int:
    """Bytes that the tokens take in the file: length and text, score and type."""
    return sum(8 + len(token.text.encode()) + 4 + 4 for token in vocabulary.tokens)


@contextmanager
def _opened(
    path: Path, steps: Sequence[LlamaTensor], sizes: LanguageSizes, vocabulary: Vocabulary, name: str
) -> Iterator[GGUFWriter]:
    """A writer behind everything that stands before the weights."""
    writer = GGUFWriter(path, "llama")
    _add_sizes(writer, sizes, name)
    _add_vocabulary(writer, vocabulary)
    for step in steps:
        kind = np.float32 if step.is_norm else np.float16
        writer.add_tensor_info(step.target, step.shape, np.dtype(kind), stored_bytes(step))
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        yield writer
    finally:
        writer.close()


def _add_sizes(writer: GGUFWriter, sizes: LanguageSizes, name: str) -> None:
    writer.add_name(name)
    writer.add_context_length(sizes.context_length)
    writer.add_embedding_length(sizes.hidden_size)
    writer.add_block_count(sizes.n_layers)
    writer.add_feed_forward_length(sizes.intermediate_size)
    writer.add_rope_dimension_count(sizes.head_size)
    writer.add_rope_freq_base(sizes.rope_theta)
    writer.add_head_count(sizes.n_heads)
    writer.add_head_count_kv(sizes.n_kv_heads)
    writer.add_layer_norm_rms_eps(sizes.rms_eps)
    writer.add_vocab_size(sizes.vocabulary_size)
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(_QUANTISATION_VERSION)


def _add_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([token.text for token in vocabulary.tokens])
    writer.add_token_scores([token.score for token in vocabulary.tokens])
    writer.add_token_types([token.kind for token in vocabulary.tokens])
    writer.add_bos_token_id(vocabulary.bos)
    writer.add_eos_token_id(vocabulary.eos)
    writer.add_unk_token_id(vocabulary.unknown)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_eos_token(False)  # noqa: FBT003 - the package's own signature
    writer.add_add_space_prefix(vocabulary.add_space_prefix)


def _converted(step: LlamaTensor, array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Numbers in the dtype and the order of the GGUF."""
    if array.shape != step.shape:
        raise BundleError(
            f"{step.source} was announced as {step.shape} and read as {array.shape}", "Fetch the checkpoint again."
        )
    if step.is_norm:
        return _single(step.source, array)
    half = _half(step.source, array)
    return half if step.rotary_heads is None else permute_rows(half, step.rotary_heads)


def _single(name: str, array: Shaped[np.ndarray, " width"]) -> Float32[np.ndarray, " width"]:
    if not np.isfinite(array).all():
        raise _unusable(name, array)
    return np.ascontiguousarray(array, dtype=np.float32)


def _half(name: str, array: Shaped[np.ndarray, "n_rows width"]) -> Float16[np.ndarray, "n_rows width"]:
    """The array itself where it is of half floats already; else a copy, made in pieces to keep the memory small."""
    same = array.dtype == np.float16
    half = np.ascontiguousarray(array) if same else np.empty(array.shape, dtype=np.float16)
    rows_at_once = max(1, _PIECE_NUMBERS // array.shape[1])
    for start in range(0, array.shape[0], rows_at_once):
        rows = slice(start, start + rows_at_once)
        if not same:
            with np.errstate(over="ignore"):  # looked for below, and named
                half[rows] = array[rows]
        if not np.isfinite(half[rows]).all():
            raise _unusable(name, array[rows])
    return half


def _unusable(name: str, array: Shaped[np.ndarray, "..."]) -> BundleError:
    advice = "The checkpoint is damaged, or base and delta do not belong together."
    if not np.isfinite(array).all():
        return BundleError(f"{name} holds NaN or infinity", advice)
    return BundleError(f"{name} holds {np.abs(array).max():g}, expected at most {_LARGEST_HALF:g}", advice)
