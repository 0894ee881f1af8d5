"""A little sentencepiece model, a little LLaMA with random weights, and the files of a checkpoint's tokenizer."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from sentencepiece import sentencepiece_model_pb2

from gpt4roi_export.language.llama_tensors import llama_tensors
from gpt4roi_export.released.sizes import LanguageSizes

PROTO: Any = sentencepiece_model_pb2
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
ADDED = {"<im_patch>": 0, "<im_start>": 1, "<im_end>": 2, "<bbox>": 3, "<point>": 4}
"""The five, and how far behind the pieces each stands."""
WORDS = ("▁", *"abcdefghijklmnopqrstuvwxyz?.,#:\n", "▁a", "th", "the", "▁the", "re", "red", "▁red", "is", "▁is", "##")
N_PIECES = 3 + 256 + len(WORDS)
N_ROWS = N_PIECES + len(ADDED) + 2
"""Of the little model: two rows more than it has tokens."""


def model_proto() -> Any:
    """A model that is like LLaMA's in everything but size."""
    model = PROTO.ModelProto()
    for text, kind in (("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)):
        model.pieces.add(piece=text, score=0.0, type=kind)
    for byte in range(256):
        model.pieces.add(piece=f"<0x{byte:02X}>", score=0.0, type=BYTE)
    for index, text in enumerate(WORDS):
        model.pieces.add(piece=text, score=-float(index), type=NORMAL)
    model.trainer_spec.model_type = PROTO.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.remove_extra_whitespaces = False
    return model


def write_tokenizer(folder: Path, model: Any = None, **files: object) -> Path:
    """The tokenizer's files in a folder, which is made.

    Args:
        folder: The new folder.
        model: Instead of ``model_proto()``.
        **files: Content by the name before ``.json``; by default the five tokens in ``added_tokens``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes((model_proto() if model is None else model).SerializeToString())
    added = {text: N_PIECES + place for text, place in ADDED.items()}
    for name, content in {"added_tokens": added, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def little_sizes(**changes: Any) -> LanguageSizes:
    """A LLaMA of two layers, 256 wide."""
    sizes: dict[str, Any] = {
        "hidden_size": 256,
        "intermediate_size": 512,
        "n_layers": 2,
        "n_heads": 4,
        "vocabulary_size": N_ROWS,
        "rms_eps": 1e-6,
        "context_length": 2048,
        "rope_theta": 10000.0,
    }
    sizes.update(changes)
    return LanguageSizes(**{"n_kv_heads": sizes["n_heads"], **sizes})


def little_arrays(
    sizes: LanguageSizes, *, dtype: type = np.float32, leave_out: Iterable[str] = (), seed: int = 0
) -> dict[str, np.ndarray]:
    """Random weights that half floats hold exactly, by the names of transformers."""
    random = np.random.default_rng(seed)
    arrays = {}
    for tensor in llama_tensors(sizes):
        numbers = random.standard_normal(tensor.shape, dtype=np.float32)
        spread = 1 + 0.1 * numbers if tensor.is_norm else numbers / np.float32(np.sqrt(tensor.shape[-1]))
        if tensor.source == "lm_head.weight":
            spread *= 8  # likely tokens stand out
        if tensor.source not in leave_out:
            arrays[tensor.source] = spread.astype(np.float16).astype(dtype)
    return arrays


def with_one(arrays: Mapping[str, np.ndarray], name: str, array: np.ndarray) -> Mapping[str, np.ndarray]:
    """The arrays with one replaced or put in."""
    return MappingProxyType({**arrays, name: array})


def silent(doing: str, done: float) -> None:
    pass
