"""A measured test as one flat row: llama-bench's fields by its names, then ours; makes rows, and no text of them."""

import os
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

import msgspec

from gpt4roi_runtime.backends.llama_cpp_library import PINNED_COMMIT
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.bench.clocks import Clocks
from gpt4roi_runtime.bench.machine import Machine, backends_of
from gpt4roi_runtime.bench.measure import Measured
from gpt4roi_runtime.bench.spread import deviation, mean
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.llm.decoder import DecoderInfo


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One test with one combination of settings.

    The first fields are llama-bench's, in its order; those of its options that we do not have hold what we do. For
    tests that llama-bench does not know, ``avg_ns`` is the time of a repetition and ``avg_ts`` the items a second. The
    fields behind ``stddev_ts`` are ours; docs/benchmarks.md says what each of them is.
    """

    build_commit: str
    build_number: int
    cpu_info: str
    gpu_info: str
    backends: str
    model_filename: str
    model_type: str
    model_size: int
    model_n_params: int
    n_batch: int
    n_ubatch: int
    n_threads: int
    cpu_mask: str
    cpu_strict: bool
    poll: int
    type_k: str
    type_v: str
    n_gpu_layers: int
    n_cpu_moe: int
    split_mode: str
    main_gpu: int
    no_kv_offload: bool
    flash_attn: int
    devices: str
    tensor_split: str
    tensor_buft_overrides: str
    load_mode: str
    lazy_mode: str
    embeddings: bool
    no_op_offload: int
    no_host: bool
    repack: bool
    fit_target: int
    fit_min_ctx: int
    n_prompt: int
    n_gen: int
    n_depth: int
    test_time: str
    avg_ns: int | None
    stddev_ns: int | None
    avg_ts: float | None
    stddev_ts: float | None
    test: str
    kind: str
    item: str
    n_items: float
    n_regions: int
    seconds_per_region: float | None
    warmed_up: bool
    n_context: int
    peak_rss_bytes: int | None
    planned_bytes: int | None
    rss_over_plan: float | None
    energy_j: float | None
    stddev_energy_j: float | None
    power_w: float | None
    tokens_per_joule: float | None
    power_source: str | None
    power_mode: str | None
    governor: str | None
    cpu_mhz: int | None
    gpu_mhz: int | None
    load_average: float
    image: str
    bundle_id: str
    bundle_name: str
    vision_engine: str
    language_engine: str
    gpt4roi_version: str
    gpt4roi_commit: str
    python: str
    os: str
    machine: str
    board: str
    n_cores: int
    memory_bytes: int
    samples_ns: tuple[int, ...]
    samples_ts: tuple[float, ...]


LLAMA_BENCH_FIELDS = Row.__struct_fields__[: Row.__struct_fields__.index("stddev_ts") + 1]
"""Names and order of llama-bench's fields."""

SAMPLES = ("samples_ns", "samples_ts")
"""Fields that only JSON has, as in llama-bench."""


@dataclass(frozen=True)
class Loaded:
    """What a test ran on.

    Attributes:
        bundle: The model.
        settings: Of its language half.
        decoder: Sizes of the language engine; None where only the vision half was loaded.
        vision_engine: Name of the vision engine, or an empty string.
        image: Size of the photo, where there was one.
        planned_bytes: What `gpt4roi plan` says that all of it takes; None where it does not know such settings.
    """

    bundle: Bundle
    settings: LlamaCppSettings
    decoder: DecoderInfo | None
    vision_engine: str
    image: str
    planned_bytes: int | None = None


@dataclass(frozen=True)
class Moment:
    """How the machine was when a test had ended."""

    clocks: Clocks
    peak_rss_bytes: int | None
    load_average: float


def as_row(measured: Measured, loaded: Loaded, machine: Machine, moment: Moment) -> Row:
    """All of it as one row."""
    fields = {
        **_engine_fields(loaded),
        **_machine_fields(machine, moment),
        **_memory_fields(measured, loaded, moment),
        **_energy_fields(measured),
        **_trial_fields(measured),
    }
    return msgspec.convert(fields, Row)


def _trial_fields(measured: Measured) -> dict[str, object]:
    trial, samples = measured.trial, measured.samples
    times, speeds = [sample.ns for sample in samples], [sample.items_a_second for sample in samples]
    return {
        "n_prompt": trial.n_prompt,
        "n_gen": trial.n_gen,
        "n_depth": trial.n_depth,
        "test_time": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "avg_ns": round(mean(times)) if times else None,
        "stddev_ns": round(deviation(times)) if times else None,
        "avg_ts": mean(speeds) if times else None,
        "stddev_ts": deviation(speeds) if times else None,
        "test": trial.name,
        "kind": trial.kind,
        "item": trial.item,
        "n_items": mean([sample.n_items for sample in samples]),
        "n_regions": trial.n_regions,
        "seconds_per_region": mean(times) / 1e9 / trial.n_regions if times and trial.n_regions else None,
        "warmed_up": measured.warmed_up,
        "samples_ns": tuple(times),
        "samples_ts": tuple(speeds),
    }


def _engine_fields(loaded: Loaded) -> dict[str, object]:
    """Of the language engine; where none was loaded, what it would have been loaded with."""
    settings, info, language = loaded.settings, loaded.decoder, loaded.bundle.manifest.language
    width = info.embedding_length if info else language.embedding_length
    return {
        "build_commit": PINNED_COMMIT,
        "build_number": 0,
        "backends": backends_of(info.system) if info else "CPU",
        "model_filename": os.fsencode(loaded.bundle.path_of(language.gguf)).decode("utf-8", "replace"),
        "model_type": info.model if info else "",
        "model_size": info.model_bytes if info else 0,
        "model_n_params": info.n_weights if info else 0,
        "n_batch": settings.batch_size,
        "n_ubatch": settings.rows_at_once(),
        "n_threads": settings.threads(),
        "cpu_mask": "0x0",
        "cpu_strict": False,
        "poll": 50,
        "type_k": settings.type_k,
        "type_v": settings.type_v,
        "n_gpu_layers": settings.n_gpu_layers,
        "n_cpu_moe": 0,
        "split_mode": "layer",
        "main_gpu": 0,
        "no_kv_offload": False,
        "flash_attn": int(settings.wants_flash_attention(width)),
        "devices": "auto",
        "tensor_split": "0.00",
        "tensor_buft_overrides": "none",
        "load_mode": "none",
        "lazy_mode": "auto",
        "embeddings": False,
        "no_op_offload": 0,
        "no_host": False,
        "repack": settings.repack != "off",
        "fit_target": 0,
        "fit_min_ctx": 0,
        "n_context": info.context_length if info else 0,
        "bundle_id": loaded.bundle.id,
        "bundle_name": loaded.bundle.manifest.name,
        "language_engine": info.engine if info else "",
        "vision_engine": loaded.vision_engine,
        "image": loaded.image,
    }


def _machine_fields(machine: Machine, moment: Moment) -> dict[str, object]:
    facts = asdict(machine)
    names = (
        "cpu_info",
        "gpu_info",
        "gpt4roi_version",
        "gpt4roi_commit",
        "python",
        "os",
        "machine",
        "board",
        "n_cores",
        "memory_bytes",
    )
    return {
        **{name: facts[name] for name in names},
        **asdict(moment.clocks),
        "load_average": moment.load_average,
    }


def _memory_fields(measured: Measured, loaded: Loaded, moment: Moment) -> dict[str, object]:
    """The peak, and beside it the arithmetic, where the peak itself is the row: only then all has run."""
    peak, planned = moment.peak_rss_bytes, loaded.planned_bytes if measured.trial.item == "byte" else None
    return {
        "peak_rss_bytes": peak,
        "planned_bytes": planned,
        "rss_over_plan": peak / planned if peak and planned else None,
    }


def _energy_fields(measured: Measured) -> dict[str, object]:
    """Joules of a repetition, and what follows from them; all None where any is not known."""
    samples = measured.samples
    energies = [sample.energy_j for sample in samples if sample.energy_j is not None]
    if not energies or len(energies) < len(samples):
        names = ("energy_j", "stddev_energy_j", "power_w", "tokens_per_joule", "power_source")
        return dict.fromkeys(names)
    joules, seconds = sum(energies), sum(sample.ns for sample in samples) / 1e9
    counts_tokens = measured.trial.item == "token" and joules > 0
    return {
        "energy_j": mean(energies),
        "stddev_energy_j": deviation(energies),
        "power_w": joules / seconds if seconds > 0 else None,
        "tokens_per_joule": sum(sample.n_items for sample in samples) / joules if counts_tokens else None,
        "power_source": measured.power_source,
    }
