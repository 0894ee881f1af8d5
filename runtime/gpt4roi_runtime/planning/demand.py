"""What a bundle takes on a device, part by part, at its fullest moment; does not judge whether that is too much.

The parts are added up as if they were all full at once: engines keep the memory of a run for the next one.
"""

from dataclasses import dataclass
from typing import Literal

from gpt4roi_runtime.backends.gguf_header import GgufHeader
from gpt4roi_runtime.backends.llama_cpp_memory import (
    ContextSizes,
    KvType,
    compute_buffer_bytes,
    kv_cache_bytes,
    output_buffer_bytes,
    scratch_bytes,
    vocabulary_bytes,
)
from gpt4roi_runtime.backends.llama_cpp_settings import MAX_ANSWERS, LlamaCppSettings
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.errors import RegionError, SettingsError
from gpt4roi_runtime.planning.devices import MIB, Device
from gpt4roi_runtime.planning.language_file import LanguageFile, read_language_file
from gpt4roi_runtime.planning.vision import VisionFiles, read_vision_files

Place = Literal["host", "gpu"]
Half = Literal["program", "vision", "language"]

_PYTHON_BYTES = 92 * MIB
_CUDA_LIBRARIES_BYTES = 250 * MIB
_CUDA_CONTEXT_BYTES = 400 * MIB
_FLOAT_BYTES = 4
_ROW_COPIES = 2
MAX_SEQUENCES = 256
"""Most that llama.cpp takes."""


@dataclass(frozen=True)
class Usage:
    """How the model is to be used.

    Attributes:
        context_length: Rows of prompt and answer together.
        n_regions: Boxes in one call.
        n_sequences: Answers that are written side by side; they share the context's rows.
        kv_type: Type of the KV cache's numbers.
        quantisation: Type the language model is thought to be quantised to; None takes the file as it is.
        gpu_layers: Layers on a GPU with memory of its own; None puts all of them there.
        vision_first: Whether the vision graphs are released before the language model is loaded.
    """

    context_length: int
    n_regions: int = 16
    n_sequences: int = 1
    kv_type: KvType = "f16"
    quantisation: str | None = None
    gpu_layers: int | None = None
    vision_first: bool = False


@dataclass(frozen=True)
class Part:
    """Bytes with one purpose.

    Attributes:
        name: What for.
        size_bytes: How many.
        place: In whose memory; one and the same where they share it.
        half: Of which half of the program.
        how: How they were found.
    """

    name: str
    size_bytes: int
    place: Place
    half: Half
    how: str


@dataclass(frozen=True)
class BundleFacts:
    """What a bundle's headers tell.

    Attributes:
        bundle: The opened folder.
        language: The GGUF's header and tensors.
        vision: The graphs' structure.
    """

    bundle: Bundle
    language: LanguageFile
    vision: VisionFiles

    @property
    def context_limit(self) -> int:
        """Positions the model is good for."""
        return min(self.language.header.context_length, self.bundle.manifest.language.context_length)

    def n_given_rows(self, n_regions: int) -> int:
        """Rows of a prompt that an image and its regions take, without any word."""
        vision = self.bundle.manifest.vision
        return vision.n_image_rows + n_regions * vision.n_rows_per_region


def read_bundle_facts(bundle: Bundle) -> BundleFacts:
    """Read the headers of a bundle's files; no hash is checked.

    Raises:
        BundleError: A file is missing or not what the manifest says it is.
    """
    return BundleFacts(
        bundle, read_language_file(bundle.path_of(bundle.manifest.language.gguf)), read_vision_files(bundle)
    )


def check_usage(facts: BundleFacts, usage: Usage) -> None:
    """Refuse a use that the bundle is not made for.

    Raises:
        SettingsError: More context than the model was trained for, too many sequences, or too little context for the
            image and the regions.
        RegionError: More regions than the bundle takes.
    """
    LlamaCppSettings(context_length=usage.context_length).context_for(facts.context_limit)
    vision = facts.bundle.manifest.vision
    if not 1 <= usage.n_regions <= vision.max_regions:
        raise RegionError(f"{usage.n_regions} regions at once", f"This bundle takes 1 to {vision.max_regions}.")
    if not 1 <= usage.n_sequences <= MAX_SEQUENCES:
        raise SettingsError(f"{usage.n_sequences} sequences are out of range", f"Use 1 to {MAX_SEQUENCES}.")
    rows = facts.n_given_rows(usage.n_regions)
    if rows >= usage.context_length:
        raise SettingsError(
            f"the image and {usage.n_regions} regions take {rows} rows; the context holds {usage.context_length}",
            "Choose a larger context (--ctx) or fewer regions (--regions).",
        )


def demand(facts: BundleFacts, device: Device, usage: Usage) -> tuple[Part, ...]:
    """All parts of a use on a device."""
    vision = _engines(facts, usage) if device.nvidia else _graphs(facts, usage)
    return (*_program(device), *vision, *_language(facts.language, device, usage))


def _program(device: Device) -> tuple[Part, ...]:
    python = Part("Python and libraries", _PYTHON_BYTES, "host", "program", "measured with both engines imported")
    if not device.nvidia:
        return (python,)
    return (
        python,
        Part("CUDA and TensorRT libraries", _CUDA_LIBRARIES_BYTES, "host", "program", "size of TensorRT's library"),
        Part("CUDA context", _CUDA_CONTEXT_BYTES, "gpu", "program", "an estimate, not measured"),
    )


def _graphs(facts: BundleFacts, usage: Usage) -> tuple[Part, ...]:
    """Both graphs in ONNX Runtime."""
    encode, regions = facts.vision.encode_needs, facts.vision.regions_needs(usage.n_regions)
    kept = encode.values_bytes + regions.values_bytes + facts.vision.pyramid_bytes
    loading = max(0, max(encode.loading_bytes, regions.loading_bytes) - kept)
    weights = "the file's, half floats as float32"
    return (
        Part("encode graph: weights", encode.weights_bytes, "host", "vision", weights),
        Part("region graph: weights", regions.weights_bytes, "host", "vision", weights),
        Part(
            "encode graph: values",
            encode.values_bytes,
            "host",
            "vision",
            f"from the shapes of {encode.seen.n_known} of {encode.seen.n_operators} operators",
        ),
        Part(
            f"region graph: values of {usage.n_regions}",
            regions.values_bytes,
            "host",
            "vision",
            f"from the shapes of {regions.seen.n_known} of {regions.seen.n_operators} operators",
        ),
        Part("pyramid kept for an image", facts.vision.pyramid_bytes, "host", "vision", "the manifest's levels"),
        Part("graphs: while loading", loading, "host", "vision", "copies that are gone once they are loaded"),
    )


def _engines(facts: BundleFacts, usage: Usage) -> tuple[Part, ...]:
    """Both graphs as TensorRT engines."""
    encode, regions = facts.vision.engine_weights_bytes()
    values = facts.vision.engine_values_bytes(usage.n_regions)
    how = "measured on engines of GPT4RoI's size, scaled by pyramid and regions"
    return (
        Part("encode engine: weights", encode, "gpu", "vision", "floats as half floats"),
        Part("region engine: weights", regions, "gpu", "vision", "floats as half floats"),
        Part(f"engines: values, {usage.n_regions} regions", values, "gpu", "vision", how),
        Part("pyramid kept for an image", facts.vision.pyramid_bytes, "gpu", "vision", "the manifest's levels"),
    )


def _language(file: LanguageFile, device: Device, usage: Usage) -> tuple[Part, ...]:
    header, sizes = file.header, context_sizes(file, device, usage)
    weights = _weights(file, device, usage)
    cells = f"{sizes.n_cells} rows x {header.block_count} layers x {header.head_count_kv} heads, {usage.kv_type}"
    cache = kv_cache_bytes(header, sizes)
    compute: Place = "gpu" if device.separate and usage.gpu_layers != 0 else "host"
    gpu_share = _gpu_layers(header, device, usage) / header.block_count
    on_gpu = round(cache * gpu_share)
    parts = [
        *weights,
        Part("KV cache", cache - on_gpu, "host", "language", cells),
        Part("KV cache", on_gpu, "gpu", "language", cells),
        Part(
            "llama.cpp: compute buffer",
            compute_buffer_bytes(header, sizes),
            compute,
            "language",
            f"{sizes.n_batch_rows} rows at once, flash attention {'on' if sizes.flash_attention else 'off'}",
        ),
        Part(
            "llama.cpp: vocabulary, logits, scratch",
            vocabulary_bytes(header) + output_buffer_bytes(header, sizes) + scratch_bytes(header, sizes),
            "host",
            "language",
            f"{header.vocabulary_size} tokens, {usage.n_sequences} sequences",
        ),
        Part(
            "rows of a prompt",
            _ROW_COPIES * sizes.n_batch_rows * header.embedding_length * _FLOAT_BYTES,
            "host",
            "language",
            "float32, as parts and as one array",
        ),
    ]
    return tuple(part for part in parts if part.size_bytes > 0)


def context_sizes(file: LanguageFile, device: Device, usage: Usage) -> ContextSizes:
    """What llama.cpp would be asked for; a quantised cache needs fused attention, and a GPU always has it."""
    settings = LlamaCppSettings(context_length=usage.context_length)
    return ContextSizes(
        context_length=usage.context_length,
        batch_size=settings.batch_size,
        feed_forward_length=file.feed_forward_length,
        flash_attention=device.nvidia
        or usage.kv_type != "f16"
        or settings.wants_flash_attention(file.header.embedding_length),
        kv_type=usage.kv_type,
        n_sequences=max(usage.n_sequences, 1 + MAX_ANSWERS),  # what the runtime reserves: the prompt and its answers
    )


def _gpu_layers(header: GgufHeader, device: Device, usage: Usage) -> int:
    if not device.separate:
        return 0
    return header.block_count if usage.gpu_layers is None else min(usage.gpu_layers, header.block_count)


def _weights(file: LanguageFile, device: Device, usage: Usage) -> tuple[Part, ...]:
    """Weights by the memory they lie in: with all layers, the output matrix goes to the GPU too."""
    total = file.header.tensor_bytes
    if usage.quantisation is None:
        share, how = 1.0, ", ".join(f"{kind} {size // MIB} MiB" for kind, size in file.bytes_by_type().items())
    else:
        share = file.quantised_bytes(usage.quantisation) / total
        how = f"as {usage.quantisation}"
    n_layers = _gpu_layers(file.header, device, usage)
    on_gpu = sum(file.layer_bytes()[file.header.block_count - n_layers :])
    on_host = total - on_gpu
    if n_layers == file.header.block_count:
        on_gpu += file.output_bytes
        on_host = file.embedding_bytes
    return (
        Part("language model: weights", round(on_host * share), "host", "language", how),
        Part(f"language model: {n_layers} layers", round(on_gpu * share), "gpu", "language", how),
    )
