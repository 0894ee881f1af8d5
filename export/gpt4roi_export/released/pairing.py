"""Whether a base, a delta and a CLIP belong together, and the GPT4RoI that base and delta make.

Knows sizes, vocabularies and configs; whether the numbers belong together is told by ``delta_numbers``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gpt4roi_export.released.clip_release import ClipRelease
from gpt4roi_export.released.delta_numbers import compare_numbers
from gpt4roi_export.released.language_release import LanguageRelease, check_vocabulary
from gpt4roi_export.released.sizes import CLIP_LAYERS, GRID, LanguageSizes
from gpt4roi_export.released.summed import Summed
from gpt4roi_runtime.errors import BundleError

_CONTEXT_LENGTH = 2048
_RMS_EPS = 1e-6


@dataclass(frozen=True)
class PairingReport:
    """What was found where a delta meets its base.

    Attributes:
        delta_share: Root mean square of the delta against the base's, the largest of the sampled matrices.
        off_grid: Share of sampled weights where base plus delta lies between two float16 numbers, the largest of the
            sampled matrices; 0 for the right base. ``None`` where the delta is not float16, so that it says nothing.
        doubts: Why the pair would be refused; empty unless it was forced.
    """

    delta_share: float
    off_grid: float | None
    doubts: tuple[str, ...]


def pair(base: LanguageRelease, delta: LanguageRelease) -> LanguageRelease:
    """The GPT4RoI that a delta makes of its base; check the pairing first.

    Args:
        base: A LLaMA.
        delta: What to add to it.

    Returns:
        A release of kind ``merged``, which adds up tensors as they are read. Config and tokenizer are the delta's; the
        tokenizer's pieces are the base's where the delta has none.

    Raises:
        BundleError: The tokenizers and the vocabulary do not match.
    """
    tokenizer = delta.tokenizer
    if tokenizer.model is None and base.tokenizer.model is not None:
        added = {token: id_ for token, id_ in tokenizer.added_tokens.items() if id_ >= base.tokenizer.n_pieces}
        files = (*tokenizer.files, base.tokenizer.model)
        tokenizer = replace(base.tokenizer, added_tokens=added, files=files)
    merged = replace(
        delta,
        kind="merged",
        tensors=Summed(base.tensors, delta.tensors),
        tokenizer=tokenizer,
        licence=delta.licence or base.licence,
        files=(*base.files, *delta.files),
    )
    check_vocabulary(merged)
    return merged


def check_pairing(base: LanguageRelease, delta: LanguageRelease, *, forced: bool = False) -> PairingReport:
    """Refuse a base that the delta was not made from.

    Args:
        base: Read as a base.
        delta: Read as a delta.
        forced: Report doubts instead of refusing; sizes that differ are refused all the same.

    Raises:
        BundleError: They do not belong together; says what was found, what was expected and what to do.
    """
    _check_kinds(base, delta)
    _check_sizes(base.sizes, delta.sizes)
    _check_rows(base, delta)
    numbers = compare_numbers(base.tensors, delta.tensors, base.sizes)
    doubts = [*_doubts_about_config(base, delta.sizes), *numbers.doubts]
    if doubts and not forced:
        problem, advice = doubts[0]
        raise BundleError(f"{base.folder}: {problem}", advice)
    return PairingReport(numbers.delta_share, numbers.off_grid, tuple(problem for problem, _ in doubts))


def check_clip(gpt4roi: LanguageRelease, clip: ClipRelease) -> None:
    """Refuse a CLIP that is not the one GPT4RoI was trained on; weights of the same sizes cannot be told apart.

    Args:
        gpt4roi: Delta or merged.
        clip: The vision tower.

    Raises:
        BundleError: Width, layers or number of patches differ.
    """
    if gpt4roi.region is None:
        raise BundleError(f"{gpt4roi.folder} has no region module", "Expected a delta or a merged GPT4RoI.")
    sizes = clip.sizes
    found = (sizes.width, sizes.n_layers, sizes.grid, sizes.grid)
    expected = (gpt4roi.region.width, CLIP_LAYERS, GRID, GRID)
    if found != expected:
        raise BundleError(
            f"{clip.folder} is a tower of width {found[0]}, {found[1]} layers and {found[2]} x {found[3]} patches "
            f"({sizes.side_px} pixels, patches of {sizes.patch_px}); expected width {expected[0]}, {expected[1]} "
            f"layers and {expected[2]} x {expected[3]} patches",
            f"Fetch {gpt4roi.vision_tower or 'openai/clip-vit-large-patch14'}, the one for images of 224 pixels.",
        )


def _check_kinds(base: LanguageRelease, delta: LanguageRelease) -> None:
    if base.kind != "base" or delta.kind != "delta":
        raise BundleError(
            f"{base.folder} is of kind {base.kind!r}, {delta.folder} of kind {delta.kind!r}; expected base and delta",
            "Give LLaMA-7B as --base and GPT4RoI-7B-delta-V0 as --delta; a merged checkpoint goes to --checkpoint.",
        )


def _check_sizes(base: LanguageSizes, delta: LanguageSizes) -> None:
    for what in ("hidden_size", "intermediate_size", "n_layers", "n_heads", "n_kv_heads"):
        found, expected = getattr(base, what), getattr(delta, what)
        if found != expected:
            raise BundleError(
                f"the base has {what} {found}, but the delta {expected}",
                "Take the LLaMA of the delta's size: LLaMA-7B (4096 wide, 32 layers) for GPT4RoI-7B.",
            )


def _check_rows(base: LanguageRelease, delta: LanguageRelease) -> None:
    n_base, n_delta = base.sizes.vocabulary_size, delta.sizes.vocabulary_size
    n_pieces = delta.tokenizer.n_pieces or n_base
    if n_base != n_pieces or n_base > n_delta:
        raise BundleError(
            f"the base's vocabulary has {n_base} rows, the delta's {n_delta}, of which {n_pieces} are LLaMA's own",
            f"Expected a base of {n_pieces} rows: the first LLaMA itself, not a model that others tuned or extended.",
        )


def _doubts_about_config(base: LanguageRelease, delta: LanguageSizes) -> Iterator[tuple[str, str]]:
    sizes = base.sizes
    advice = "Take the first LLaMA: context 2048, rms_norm_eps 1e-06. A LLaMA 2 has other weights under the same names."
    if sizes.context_length != _CONTEXT_LENGTH:
        yield f"a context of {sizes.context_length}, expected {_CONTEXT_LENGTH}", advice
    if sizes.rms_eps not in (delta.rms_eps, _RMS_EPS):
        yield f"rms_norm_eps {sizes.rms_eps:g}, expected {delta.rms_eps:g}", advice
    if sizes.rope_theta != delta.rope_theta:
        yield f"rope_theta {sizes.rope_theta:g}, expected {delta.rope_theta:g}", advice
