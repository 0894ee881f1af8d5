"""A folder with a LLaMA in it: a base, a delta or a merged GPT4RoI, told apart by its tensors.

A delta has the names and shapes of a merged checkpoint; only the numbers differ. The last norm's weights decide:
LLaMA's lie around 1 or above, their differences around 0. Does not know how a delta is paired with its base.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gpt4roi_export.released.configs import CONFIG_NAME, LanguageConfig, read_language_config
from gpt4roi_export.released.expected import check_holds
from gpt4roi_export.released.licence import find_licence
from gpt4roi_export.released.selected import Selected
from gpt4roi_export.released.sizes import (
    LAYER_PREFIX,
    PROJECTOR_PREFIX,
    REGION_PREFIX,
    VOCABULARY_TENSORS,
    LanguageSizes,
    RegionSizes,
)
from gpt4roi_export.released.tokenizer_files import TokenizerFiles, read_tokenizer_files
from gpt4roi_export.tensor_files.open_tensors import CheckpointFiles
from gpt4roi_export.tensors import TensorFacts, Tensors
from gpt4roi_runtime.errors import BundleError

LanguageKind = Literal["base", "delta", "merged"]
SELECTED_LAYER = -2
NEEDED_TOKENS = ("<im_patch>", "<im_start>", "<im_end>", "<bbox>")
_BUFFER_SUFFIXES = (".rotary_emb.inv_freq",)
"""Computed from the sizes wherever they are needed."""
_DELTA_NORM = 0.1
_LAST_NORM = "model.norm.weight"
_CONTEXT_LENGTH = 2048
_ROPE_THETA = 10000.0
_PADDED_TO = 64


@dataclass(frozen=True)
class LanguageRelease:
    """A LLaMA, with or without GPT4RoI's region module.

    Attributes:
        folder: Where it is.
        kind: ``base``: a LLaMA; ``delta``: what is to be added to one; ``merged``: a whole GPT4RoI.
        sizes: Of the language model.
        region: Of region module and projector; ``None`` for a base.
        tensors: Those of the model by their released names; buffers are left out.
        tokenizer: Files and ids.
        vision_tower: Name of the CLIP that the config asks for, if it says one.
        licence: Licence file in the folder, if there is one.
        files: Everything that was read or will be.
    """

    folder: Path
    kind: LanguageKind
    sizes: LanguageSizes
    region: RegionSizes | None
    tensors: Tensors
    tokenizer: TokenizerFiles
    vision_tower: str | None
    licence: Path | None
    files: tuple[Path, ...]

    @property
    def n_padding_rows(self) -> int:
        """Rows of the vocabulary without a token, at its end."""
        tokenizer = self.tokenizer
        return self.sizes.vocabulary_size - tokenizer.n_pieces - len(tokenizer.added_tokens) if tokenizer.model else 0


def read_language_release(folder: Path, opened: CheckpointFiles) -> LanguageRelease:
    """Recognise and check a LLaMA's folder.

    Args:
        folder: With ``config.json``.
        opened: Its tensors.

    Raises:
        BundleError: Something is missing, damaged, does not match, or is no LLaMA that this project can import.
    """
    config = read_language_config(folder)
    facts = {name: fact for name, fact in opened.facts.items() if not name.endswith(_BUFFER_SUFFIXES)}
    _check_config(config, folder)
    has_regions = any(name.startswith(REGION_PREFIX) for name in facts)
    if not has_regions and any(name.startswith(PROJECTOR_PREFIX) for name in facts):
        raise BundleError(
            f"{folder} has a projector but no {REGION_PREFIX}*: a LLaVA, not a GPT4RoI",
            "Fetch GPT4RoI-7B-delta-V0, or a checkpoint merged from it.",
        )
    sizes = _language_sizes(config, facts, folder)
    region = _region_sizes(facts, folder) if has_regions else None
    check_holds(facts, {**sizes.shapes(), **(region.shapes() if region else {})}, folder)
    tensors = Selected(opened, {name: name for name in facts})
    release = LanguageRelease(
        folder=folder,
        kind=_kind(tensors, folder, has_regions=has_regions),
        sizes=sizes,
        region=region,
        tensors=tensors,
        tokenizer=(tokenizer := read_tokenizer_files(folder)),
        vision_tower=config.mm_vision_tower,
        licence=find_licence(folder),
        files=(folder / CONFIG_NAME, *tokenizer.files, *opened.files),
    )
    if region is not None:  # of a base only the pieces are used
        check_vocabulary(release)
    return release


def check_vocabulary(release: LanguageRelease) -> None:
    """Compare a GPT4RoI's tokenizer with the rows of its vocabulary; silent where there is no tokenizer.

    Raises:
        BundleError: A token has no row, a row no token (padding to a multiple of 64 excepted), or GPT4RoI's own tokens
            are missing.
    """
    tokenizer, n_rows = release.tokenizer, release.sizes.vocabulary_size
    if tokenizer.model is None:
        return
    n_tokens = tokenizer.n_pieces + len(tokenizer.added_tokens)
    absent = [token for token in NEEDED_TOKENS if token not in tokenizer.added_tokens]
    if absent:
        raise BundleError(
            f"{release.folder}: the tokenizer lacks {', '.join(absent)}",
            "Expected added_tokens.json of GPT4RoI in the same folder; take the tokenizer from the delta.",
        )
    if list(tokenizer.added_tokens.values()) != list(range(tokenizer.n_pieces, n_tokens)):
        raise BundleError(
            f"{release.folder}: added tokens {dict(tokenizer.added_tokens)} do not follow the {tokenizer.n_pieces} "
            "pieces without a gap",
            "Take tokenizer.model and added_tokens.json from one release.",
        )
    padding = n_rows - n_tokens
    if padding < 0 or (padding and (n_rows % _PADDED_TO or padding >= _PADDED_TO)):
        raise BundleError(
            f"{release.folder}: {n_rows} rows for {n_tokens} tokens "
            f"({tokenizer.n_pieces} pieces and {len(tokenizer.added_tokens)} added)",
            f"Expected a row for every token, padded at most to a multiple of {_PADDED_TO}; take the tokenizer from "
            "the same release as the weights.",
        )


def _check_config(config: LanguageConfig, folder: Path) -> None:
    if config.rope_scaling or config.rope_parameters.rope_type != "default":
        raise BundleError(f"{folder}: config.json scales the rotary positions", "GPT4RoI stands on the first LLaMA.")
    if config.hidden_act not in (None, "silu"):
        raise BundleError(f"{folder}: activation {config.hidden_act!r}, expected 'silu'", "Is this a LLaMA?")
    if config.mm_vision_select_layer not in (None, SELECTED_LAYER):
        raise BundleError(
            f"{folder}: mm_vision_select_layer is {config.mm_vision_select_layer}, expected {SELECTED_LAYER}",
            "GPT4RoI reads the last but one hidden state; another layer's projector would be fed the wrong features.",
        )
    if config.mm_use_im_start_end is False:
        raise BundleError(
            f"{folder}: mm_use_im_start_end is false, expected true",
            "GPT4RoI's prompt wraps the image in <im_start> and <im_end>; this checkpoint was trained on another one.",
        )


def _language_sizes(config: LanguageConfig, facts: Mapping[str, TensorFacts], folder: Path) -> LanguageSizes:
    n_heads, n_kv_heads = config.num_attention_heads, config.num_key_value_heads or config.num_attention_heads
    if min(config.hidden_size, config.num_hidden_layers, n_heads, n_kv_heads) < 1 or config.hidden_size % (2 * n_heads):
        raise BundleError(
            f"{folder}: config.json says {config.hidden_size} wide, {config.num_hidden_layers} layers, "
            f"{n_heads} heads, {n_kv_heads} for keys and values",
            "Expected at least one layer, and heads of an even width; fetch config.json again.",
        )
    if config.num_hidden_layers > len(facts):
        raise BundleError(
            f"{folder}: config.json counts {config.num_hidden_layers} layers, but there are {len(facts)} tensors",
            "Take config.json and weights from one release.",
        )
    gate = facts.get(f"{LAYER_PREFIX}0.mlp.gate_proj.weight")
    return LanguageSizes(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size or (gate.shape[0] if gate and gate.shape else 0),
        n_layers=config.num_hidden_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        vocabulary_size=_axis(facts, VOCABULARY_TENSORS[0], 0, folder),
        rms_eps=config.rms_norm_eps,
        context_length=config.max_position_embeddings or config.max_sequence_length or _CONTEXT_LENGTH,
        rope_theta=config.rope_theta or config.rope_parameters.rope_theta or _ROPE_THETA,
    )


def _region_sizes(facts: Mapping[str, TensorFacts], folder: Path) -> RegionSizes:
    head = REGION_PREFIX + "roi_align."
    return RegionSizes(
        width=_axis(facts, PROJECTOR_PREFIX + "weight", 1, folder),
        box_hidden=_axis(facts, head + "pos_embedd.0.weight", 0, folder),
        feature_width=_axis(facts, head + "flatten_linear.weight", 0, folder),
        embedding_length=_axis(facts, VOCABULARY_TENSORS[0], 1, folder),
    )


def _axis(facts: Mapping[str, TensorFacts], name: str, axis: int, folder: Path) -> int:
    fact = facts.get(name)
    if fact is None or len(fact.shape) <= axis:
        raise BundleError(f"{folder} lacks {name}", "Finish the download, or fetch the checkpoint again.")
    return fact.shape[axis]


def _kind(tensors: Tensors, folder: Path, *, has_regions: bool) -> LanguageKind:
    norm = float(np.abs(tensors.read(_LAST_NORM).astype(np.float32)).mean())
    if not has_regions and norm < _DELTA_NORM:
        raise BundleError(
            f"{folder}: {_LAST_NORM} is {norm:.2g} on average, so this is another model's delta, without regions",
            "Expected a whole LLaMA as the base, and GPT4RoI-7B-delta-V0 as the delta.",
        )
    if not has_regions:
        return "base"
    return "delta" if norm < _DELTA_NORM else "merged"
