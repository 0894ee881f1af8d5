"""The sizes that checkpoints are made in. Knows no files and no numbers."""

from dataclasses import dataclass
from typing import Literal

from gpt4roi_export.released.sizes import ClipSizes, LanguageSizes, RegionSizes

Size = Literal["tiny", "7b", "13b"]
ADDED_TOKENS = ("[PAD]", "<im_patch>", "<bbox>", "<point>", "<im_start>", "<im_end>")
"""In the order in which the authors' training adds them."""


@dataclass(frozen=True)
class Preset:
    """A model's sizes.

    Attributes:
        language: The LLaMA, added tokens included in its vocabulary.
        region: Region module and projector.
        clip: The vision tower.
        n_pieces: Of the sentencepiece vocabulary; 0 for as many as it takes.
        shard_bytes: Most bytes of a file.
    """

    language: LanguageSizes
    region: RegionSizes
    clip: ClipSizes
    n_pieces: int
    shard_bytes: int


def preset(size: Size, n_pieces: int) -> Preset:
    """The sizes by name.

    Args:
        size: ``tiny`` keeps everything that a reader could stumble over and is small in all else.
        n_pieces: Pieces of the vocabulary that a tiny model gets; the others have LLaMA's 32000.
    """
    if size == "tiny":
        # 256 wide: every quantisation of llama.cpp fits. 64 channels: the pyramid's norms have 64 groups.
        return Preset(
            language=_language(256, 512, 2, 4, n_pieces),
            region=RegionSizes(width=64, box_hidden=32, feature_width=64, embedding_length=256),
            clip=_clip(64, 4, 128),
            n_pieces=n_pieces,
            shard_bytes=4_000_000,
        )
    hidden, intermediate, layers = (4096, 11008, 32) if size == "7b" else (5120, 13824, 40)
    return Preset(
        language=_language(hidden, intermediate, layers, layers, 32000),
        region=RegionSizes(width=1024, box_hidden=256, feature_width=1024, embedding_length=hidden),
        clip=_clip(1024, 16, 4096),
        n_pieces=32000,
        shard_bytes=9_900_000_000,
    )


def _language(hidden: int, intermediate: int, layers: int, heads: int, n_pieces: int) -> LanguageSizes:
    return LanguageSizes(
        hidden_size=hidden,
        intermediate_size=intermediate,
        n_layers=layers,
        n_heads=heads,
        n_kv_heads=heads,
        vocabulary_size=n_pieces + len(ADDED_TOKENS),
        rms_eps=1e-6,
        context_length=2048,
        rope_theta=10000.0,
    )


def _clip(width: int, heads: int, mlp_width: int) -> ClipSizes:
    return ClipSizes(
        width=width, n_layers=24, n_heads=heads, mlp_width=mlp_width, side_px=224, patch_px=14, norm_eps=1e-5
    )
