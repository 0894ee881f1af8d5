"""Small bundles on disk: a manifest that is right in every field, and the means to make one field wrong."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec

from gpt4roi_runtime.bundle.manifest import ImagePiece, Manifest, Prompt, TextPiece, TokenPiece

FILES: dict[str, bytes] = {
    "encode.onnx": bytes(range(256)),
    "regions.onnx": bytes(range(200, 0, -1)),
    "llm.gguf": b"not a language model" * 50,
}

MISSING = object()
"""As a new value: take the field out."""


def manifest_tree(files: dict[str, bytes] | None = None) -> dict[str, Any]:
    """A valid manifest as plain dicts and lists, with the sizes and hashes of ``files``.

    It describes 8 x 8 pixels, two levels of three channels, two image rows, one row a region and a width of 5.
    """
    entries = {name: entry(name, content) for name, content in (files or FILES).items()}
    return {
        "format": "gpt4roi-bundle",
        "version": 1,
        "name": "tiny",
        "summary": "Knows nothing.",
        "can": ["be opened"],
        "cannot": ["answer"],
        "vision": {
            "encode": entries["encode.onnx"],
            "regions": entries["regions.onnx"],
            "preprocessing": {
                "resize": {"to": "stretch", "side_px": 8, "filter": "bicubic"},
                "scale": 1 / 255,
                "mean": [0.5, 0.5, 0.5],
                "std": [0.25, 0.25, 0.25],
            },
            "n_image_rows": 2,
            "n_rows_per_region": 1,
            "pyramid": [{"channels": 3, "side": 4}, {"channels": 3, "side": 2}],
            "max_regions": 100,
            "dtype": "float32",
            "external_data": [value for name, value in entries.items() if name not in FILES],
        },
        "language": {
            "gguf": entries["llm.gguf"],
            "architecture": "llama",
            "embedding_length": 5,
            "vocabulary_size": 32,
            "context_length": 128,
            "special_tokens": {"<s>": 1, "<im_start>": 30, "<im_end>": 31},
        },
        "prompt": {
            "opening": [
                {"type": "token", "token": "<s>"},
                {"type": "text", "text": "Look: "},
                {"type": "token", "token": "<im_start>"},
                {"type": "image"},
                {"type": "token", "token": "<im_end>"},
            ],
            "after_question": [{"type": "text", "text": "\n### "}],
            "answer_lead": "Assistant: ",
            "lead_writer": "model",
            "after_answer": [{"type": "text", "text": "\n### Human: "}],
            "stop": ["###"],
            "reserved": ["<s>"],
        },
        "decoding": {"temperature": 0.0, "max_tokens": 16},
        "licences": [{"part": "all", "spdx": "Apache-2.0", "source": "made for a test"}],
    }


def entry(name: str, content: bytes) -> dict[str, Any]:
    """What a manifest says of one file."""
    return {"path": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def changed(tree: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy with some fields replaced; ``vision__encode__path`` is that field of that part, and MISSING removes."""
    copied = copy.deepcopy(tree)
    for where, value in changes.items():
        *parents, last = where.split("__")
        part = copied
        for parent in parents:
            part = part[parent]
        if value is MISSING:
            del part[last]
        else:
            part[last] = value
    return copied


def write_fake_bundle(folder: Path, files: dict[str, bytes] | None = None, **changes: Any) -> Path:
    """A folder with ``files`` of arbitrary bytes and a manifest whose hashes are right; see ``changed``."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {**FILES, **(files or {})}
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    write_manifest(folder, changed(manifest_tree(files), **changes))
    return folder


def write_manifest(folder: Path, tree: object) -> None:
    """Replace the manifest by any JSON."""
    (folder / "manifest.json").write_text(json.dumps(tree), encoding="utf-8")


def manifest(**changes: Any) -> Manifest:
    """A manifest without a folder."""
    return msgspec.convert(changed(manifest_tree(), **changes), Manifest)


def gpt4roi_prompt() -> Prompt:
    """The template of GPT4RoI's released checkpoints, as their authors' demo writes it."""
    return Prompt(
        opening=(
            TextPiece(
                text="A chat between a curious human and an artificial intelligence assistant. The assistant gives "
                "helpful, detailed, and polite answers to the human's questions.\n\n### Human: The "
            ),
            TokenPiece(token="<im_start>"),  # noqa: S106 - a word of the vocabulary
            ImagePiece(),
            TokenPiece(token="<im_end>"),  # noqa: S106
            TextPiece(text=" provides an overview of the picture.\n"),
        ),
        after_question=(TextPiece(text="\n### "),),
        answer_lead="Assistant: ",
        lead_writer="model",
        after_answer=(TextPiece(text="\n### Human: "),),
        stop=("###",),
        reserved=("<bbox>", "<im_patch>", "###"),
    )
