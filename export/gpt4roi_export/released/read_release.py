"""A downloaded folder, recognised by its tensors' names and handed to the module that knows its kind.

Says what a folder is and what was expected instead; does not pair a base with a delta.
"""

from pathlib import Path
from typing import Literal

from gpt4roi_export.released.clip_release import CLASS_EMBEDDING, ClipRelease, read_clip_release
from gpt4roi_export.released.configs import CONFIG_NAME
from gpt4roi_export.released.language_release import LanguageKind, LanguageRelease, read_language_release
from gpt4roi_export.released.sizes import VISION_PREFIX, VOCABULARY_TENSORS
from gpt4roi_export.tensor_files.open_tensors import CheckpointFiles, open_tensors
from gpt4roi_runtime.errors import BundleError

Release = LanguageRelease | ClipRelease
Kind = LanguageKind | Literal["clip"]

_META_TENSOR = "tok_embeddings.weight"
_META_FILES = ("params.json", "consolidated.*.pth")
_WORDS: dict[Kind, str] = {
    "base": "a LLaMA without GPT4RoI's region module",
    "delta": "a delta, to be added to LLaMA-7B",
    "merged": "a whole GPT4RoI",
    "clip": "a CLIP",
}
_ADVICE: dict[Kind, str] = {
    "base": "Expected the first LLaMA-7B in Hugging Face's format as --base.",
    "delta": "Expected GPT4RoI-7B-delta-V0 as --delta; a checkpoint that is merged already goes to --checkpoint.",
    "merged": "Expected a merged GPT4RoI as --checkpoint; an unmerged delta goes to --delta, with its LLaMA as --base.",
    "clip": "Expected openai/clip-vit-large-patch14 as --clip.",
}


def read_release(folder: Path) -> Release:
    """Recognise a folder.

    Args:
        folder: As it was downloaded.

    Raises:
        BundleError: It is no LLaMA, GPT4RoI or CLIP, or not whole.
    """
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise BundleError(f"{folder} {problem}", "Expected the folder of a checkpoint, with its config.json.")
    if any(any(folder.glob(pattern)) for pattern in _META_FILES) and not (folder / CONFIG_NAME).is_file():
        raise _meta_format(folder)
    opened = open_tensors(folder)
    if VISION_PREFIX + CLASS_EMBEDDING in opened.facts or CLASS_EMBEDDING in opened.facts:
        return read_clip_release(folder, opened)
    if VOCABULARY_TENSORS[0] in opened.facts:
        return read_language_release(folder, opened)
    raise _unknown(folder, opened)


def read_language(folder: Path, kind: LanguageKind) -> LanguageRelease:
    """A folder that has to be of one kind.

    Raises:
        BundleError: It is of another, or cannot be read.
    """
    release = read_release(folder)
    if isinstance(release, ClipRelease):
        raise _other(folder, "clip", kind)
    if release.kind != kind:
        raise _other(folder, release.kind, kind)
    return release


def read_clip(folder: Path) -> ClipRelease:
    """A folder that has to be a CLIP.

    Raises:
        BundleError: It is something else, or cannot be read.
    """
    release = read_release(folder)
    if isinstance(release, LanguageRelease):
        raise _other(folder, release.kind, "clip")
    return release


def _other(folder: Path, found: Kind, expected: Kind) -> BundleError:
    return BundleError(f"{folder} is {_WORDS[found]}, not {_WORDS[expected]}", _ADVICE[expected])


def _unknown(folder: Path, opened: CheckpointFiles) -> BundleError:
    if any(name.endswith(_META_TENSOR) for name in opened.facts):
        return _meta_format(folder)
    names = ", ".join(list(opened.facts)[:3])
    return BundleError(
        f"{folder} is neither a LLaMA nor a CLIP: its tensors begin with {names}",
        f"Expected {VOCABULARY_TENSORS[0]} or {VISION_PREFIX}{CLASS_EMBEDDING} among them.",
    )


def _meta_format(folder: Path) -> BundleError:
    return BundleError(
        f"{folder} is a LLaMA in Meta's own format (params.json, consolidated.*.pth)",
        "Expected Hugging Face's format, which orders the rows of q_proj and k_proj differently; convert it with "
        "convert_llama_weights_to_hf.py of transformers.",
    )
