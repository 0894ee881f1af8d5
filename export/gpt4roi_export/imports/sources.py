"""The folders that an import reads, opened, recognised and found to belong together.

Reads headers and small files; of the weights only what tells a right pair from a wrong one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpt4roi_export.language.vocabulary import Vocabulary, read_vocabulary
from gpt4roi_export.modules.gpt4roi import VisionSizes
from gpt4roi_export.released.clip_release import ClipRelease
from gpt4roi_export.released.language_release import LanguageRelease
from gpt4roi_export.released.pairing import check_clip, check_pairing, pair
from gpt4roi_export.released.read_release import read_clip, read_language
from gpt4roi_export.released.sizes import ClipSizes, RegionSizes
from gpt4roi_runtime.errors import BundleError, SettingsError

_NORM_EPS = 1e-5


@dataclass(frozen=True)
class Folders:
    """What the user named.

    Attributes:
        clip: CLIP ViT-L/14.
        checkpoint: A merged GPT4RoI; or, instead of it:
        base: LLaMA.
        delta: GPT4RoI's delta to it.
    """

    clip: Path
    checkpoint: Path | None = None
    base: Path | None = None
    delta: Path | None = None


@dataclass(frozen=True)
class Sources:
    """What is to be imported.

    Attributes:
        gpt4roi: Language model and region module, base and delta added up as they are read.
        clip: The vision tower.
        vocabulary: Its tokens.
        sizes: Of the vision side.
        files: Every file that is read, by what it was taken for.
        doubts: Why the pair would have been refused, had it not been forced.
    """

    gpt4roi: LanguageRelease
    clip: ClipRelease
    vocabulary: Vocabulary
    sizes: VisionSizes
    files: Mapping[str, tuple[Path, ...]]
    doubts: tuple[str, ...] = ()


def open_sources(folders: Folders, *, forced: bool = False) -> Sources:
    """Open and check everything.

    Args:
        folders: See there.
        forced: Go on with a base that seems not to be the delta's.

    Raises:
        SettingsError: Neither a checkpoint nor base and delta were named, or both were.
        BundleError: A folder is not what it was taken for, is damaged, or does not go with the others.
    """
    clip = read_clip(folders.clip)
    gpt4roi, files, doubts = _gpt4roi(folders, forced=forced)
    check_clip(gpt4roi, clip)  # also that there is a region module
    tokenizer = gpt4roi.tokenizer
    return Sources(
        gpt4roi=gpt4roi,
        clip=clip,
        vocabulary=read_vocabulary(gpt4roi.folder, gpt4roi.sizes.vocabulary_size, pieces=tokenizer.model),
        sizes=_vision_sizes(clip.sizes, gpt4roi.region),
        files={**files, "clip": clip.files},
        doubts=doubts,
    )


_Files = Mapping[str, tuple[Path, ...]]


def _gpt4roi(folders: Folders, *, forced: bool) -> tuple[LanguageRelease, _Files, tuple[str, ...]]:
    match folders:
        case Folders(checkpoint=Path() as path, base=None, delta=None):
            merged = read_language(path, "merged")
            return merged, {"checkpoint": merged.files}, ()
        case Folders(checkpoint=None, base=Path() as base_path, delta=Path() as delta_path):
            base, delta = read_language(base_path, "base"), read_language(delta_path, "delta")
            report = check_pairing(base, delta, forced=forced)
            return pair(base, delta), {"base": base.files, "delta": delta.files}, report.doubts
        case _:
            named = [f"--{part}" for part in ("checkpoint", "base", "delta") if getattr(folders, part) is not None]
            raise SettingsError(
                f"{' and '.join(named) or 'neither --checkpoint nor --base and --delta'} given",
                "Give --base and --delta, or --checkpoint alone.",
            )


def _vision_sizes(clip: ClipSizes, region: RegionSizes | None) -> VisionSizes:
    if region is None or clip.norm_eps != _NORM_EPS:
        raise BundleError(
            f"CLIP's layer norms add {clip.norm_eps:g}, expected {_NORM_EPS:g}", "Fetch openai/clip-vit-large-patch14."
        )
    return VisionSizes(
        width=clip.width,
        n_layers=clip.n_layers,
        n_heads=clip.n_heads,
        mlp_width=clip.mlp_width,
        side_px=clip.side_px,
        patch_px=clip.patch_px,
        box_hidden=region.box_hidden,
        feature_width=region.feature_width,
        embedding_length=region.embedding_length,
    )
