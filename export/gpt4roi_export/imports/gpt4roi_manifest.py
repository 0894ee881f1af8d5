"""What a GPT4RoI bundle's manifest says; reads the files that are in the folder already, and makes none."""

from collections.abc import Sequence
from pathlib import Path

from gpt4roi_export.gpt4roi_prompt import IMAGE_END, IMAGE_START, MOST_NEW_TOKENS, TEMPERATURE, gpt4roi_prompt
from gpt4roi_export.language.vocabulary import Vocabulary
from gpt4roi_export.modules.gpt4roi import VisionSizes
from gpt4roi_export.modules.pyramid import N_LEVELS
from gpt4roi_export.released.sizes import LanguageSizes
from gpt4roi_export.vision_graphs.write import WrittenGraphs
from gpt4roi_export.write_bundle import file_entry
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.bundle import manifest as nouns

GGUF = "llm.gguf"
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Of red, green and blue in 0..1: the numbers that CLIP was trained with."""
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


def gpt4roi_manifest(
    folder: Path, sizes: VisionSizes, language: LanguageSizes, vocabulary: Vocabulary, provenance: nouns.Provenance
) -> nouns.Manifest:
    """The manifest of a folder that holds the graphs and the language model.

    Args:
        folder: The future bundle.
        sizes: Of the vision side.
        language: Sizes of the language model.
        vocabulary: Its tokens.
        provenance: What it was made from.

    Raises:
        BundleError: The language model's file is not what it should be, or the tokenizer lacks a token.
    """
    bos = vocabulary.text_of(vocabulary.bos) if vocabulary.add_bos else None
    size = _common_size(language.n_layers, language.hidden_size)
    return nouns.Manifest(
        format="gpt4roi-bundle",
        version=nouns.VERSION,
        name=f"gpt4roi-{size}" if size else "gpt4roi",
        summary="GPT4RoI (arXiv 2307.03601): CLIP ViT features, a pyramid, RoIAlign on every level, LLaMA.",
        can=(
            "Describe what is in a region, name it, tell its attributes and what it does.",
            "Reason about several regions, and explain answers, over several turns.",
            "Run offline: on a CPU, or with the language model's layers on a GPU.",
        ),
        cannot=(
            f"See more than {sizes.side_px} x {sizes.side_px} pixels of the whole image.",
            "Find regions by itself: the boxes are yours.",
            "Speak well of anything but English, or of what its authors' data lacks.",
        ),
        vision=_vision(folder, sizes),
        language=_language(folder, vocabulary, [*([bos] if bos else []), IMAGE_START, IMAGE_END]),
        prompt=gpt4roi_prompt(bos),
        decoding=nouns.Decoding(temperature=TEMPERATURE, max_tokens=MOST_NEW_TOKENS),
        licences=_LICENCES,
        provenance=provenance,
    )


def clip_preprocessing(side_px: int) -> nouns.Preprocessing:
    """A photo's way to the encoder, as in the authors' demo.

    Args:
        side_px: Of the square that the encoder reads.
    """
    return nouns.Preprocessing(
        resize=nouns.Resize(to="shortest_edge", side_px=side_px, filter="bicubic"),
        scale=1.0 / 255.0,
        mean=PIXEL_MEAN,
        std=PIXEL_STD,
        stretch=nouns.Resize(to="stretch", side_px=side_px, filter="bilinear"),
    )


_LICENCES = (
    nouns.Licence(part="vision encoder", spdx="MIT", source="openai/clip-vit-large-patch14"),
    nouns.Licence(
        part="language model",
        spdx="LicenseRef-LLaMA-1-non-commercial",
        source="Meta's LLaMA, under the agreement that its user accepted, changed by GPT4RoI's delta",
    ),
    nouns.Licence(part="region module, projector and delta", spdx="Apache-2.0", source="jshilong/GPT4RoI"),
)


def _common_size(n_layers: int, width: int) -> str | None:
    return {(32, 4096): "7b", (40, 5120): "13b"}.get((n_layers, width))


def _vision(folder: Path, sizes: VisionSizes) -> nouns.Vision:
    graphs = WrittenGraphs.in_folder(folder)
    cells = sizes.side_px // sizes.patch_px
    return nouns.Vision(
        encode=file_entry(folder, graphs.encode.name),
        regions=file_entry(folder, graphs.regions.name),
        preprocessing=clip_preprocessing(sizes.side_px),
        n_image_rows=cells * cells,
        n_rows_per_region=1,
        pyramid=tuple(
            nouns.PyramidLevel(channels=sizes.width, side=cells << level) for level in reversed(range(N_LEVELS))
        ),
        max_regions=nouns.MAX_REGIONS,
        dtype="float32",
        external_data=_entries(folder, (graphs.encode_weights, graphs.regions_weights)),
    )


def _entries(folder: Path, files: Sequence[Path]) -> tuple[nouns.FileEntry, ...]:
    return tuple(file_entry(folder, file.name) for file in files)


def _language(folder: Path, vocabulary: Vocabulary, special_tokens: Sequence[str]) -> nouns.Language:
    header = inspect_gguf(folder / GGUF)
    return nouns.Language(
        gguf=file_entry(folder, GGUF),
        architecture="llama",
        embedding_length=header.embedding_length,
        vocabulary_size=header.vocabulary_size,
        context_length=header.context_length,
        special_tokens={text: vocabulary.id_of(text) for text in special_tokens},
    )
