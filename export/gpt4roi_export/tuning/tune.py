"""The story of ``gpt4roi-export tune``: read everything, go through the stages, leave what was learned.

Decides order; how a step is computed, and what is written where, is other modules' work.
"""

import hashlib
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

from gpt4roi_export import plain_paths
from gpt4roi_export.embedded_prompt import embedded_prompt
from gpt4roi_export.modules.tuned import TunedVision
from gpt4roi_export.published import published_encoder, published_language
from gpt4roi_export.tuned_part import ADAPTER
from gpt4roi_export.tuning.checkpoints import Checkpoint, CheckpointFolder
from gpt4roi_export.tuning.imagined import Vocabulary
from gpt4roi_export.tuning.language_weights import read_language_weights
from gpt4roi_export.tuning.learner import Learner, Models, frozen_copy
from gpt4roi_export.tuning.llama import Llama
from gpt4roi_export.tuning.lora import LoraMatrices
from gpt4roi_export.tuning.maps import MapsCache, state_id
from gpt4roi_export.tuning.recipe import DataFile, Recipe, read_recipe
from gpt4roi_export.tuning.report import Log, Report
from gpt4roi_export.tuning.results import StageStory, Story, save_tuned, versions
from gpt4roi_export.tuning.run import Leg, Run, Surroundings
from gpt4roi_export.tuning.sequences import SequenceMaker
from gpt4roi_export.tuning.stage_data import StageData, fingerprint, read_stage
from gpt4roi_export.tuning.start import put_in_earlier_run, starting_vision
from gpt4roi_export.weights import WeightSources
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.backends.processor import usable_cores
from gpt4roi_runtime.errors import OutputError, SettingsError
from gpt4roi_runtime.llm.decoder import Decoder
from gpt4roi_runtime.storage import sha256_of, written_aside

CHECKPOINTS, LOG, SKIPPED, CACHE = "checkpoints", "log.jsonl", "skipped.txt", "cache"
_SHOWN_COMPLAINTS = 10
_BUNDLE_GGUF = "llm.gguf"
_LONGEST_DIALOGUE = 1024

StartingVision = Callable[[Decoder], tuple[TunedVision, Vocabulary]]
"""Makes the untrained vision side and its names, for a language model."""


def tune(recipe_path: Path, out: Path, sources: WeightSources, report: Report, *, resume: bool = False) -> bool:
    """Run a recipe on the embedded model.

    Args:
        recipe_path: TOML.
        out: Folder for checkpoints, log and results; made if missing.
        sources: The published weights.
        report: Hears what happens.
        resume: Go on from the last checkpoint in ``out``, if there is one.

    Returns:
        Whether the end was reached; False after Ctrl-C or SIGTERM, with a checkpoint saved.

    Raises:
        SettingsError: The recipe or its data cannot be used, or ``out`` holds another run.
        BundleError: The weights or the checkpoint cannot be used.
        NumericError: The loss became NaN or infinite.
        OutputError: The disk refused.
    """
    recipe = read_recipe(recipe_path)
    if recipe.base is None:
        base = published_language(sources.language, _made(recipe.cache or out / CACHE))
        recipe = msgspec.structs.replace(recipe, base=base)

    def start(language: Decoder) -> tuple[TunedVision, Vocabulary]:
        return starting_vision(published_encoder(sources.encoder), language)

    return run_recipe(recipe, out, start, report, resume=resume)


def run_recipe(recipe: Recipe, out: Path, start: StartingVision, report: Report, *, resume: bool = False) -> bool:
    """The same for any model: ``start`` makes what is tuned, and ``recipe.base`` names the language model."""
    folder = CheckpointFolder(_made(out / CHECKPOINTS))
    resumed = folder.last()
    if resumed is not None and not resume:
        raise SettingsError(f"{out} already holds a run's checkpoints", "Resume it, or choose another folder.")
    torch.set_num_threads(recipe.threads or usable_cores())
    prepared = _prepare(recipe, out, start, report)
    _tell_complaints(prepared.data, out, report)
    with _stop_signals() as stop:
        around = Surroundings(
            out=out,
            checkpoints=folder,
            checkpoint_s=recipe.checkpoint_s,
            log=Log(out / LOG),
            report=report,
            fingerprint=_run_hash(recipe, prepared),
            stop=stop,
        )
        if not _run(prepared, around, resumed):
            return False
    report.note(f"wrote {out}")
    return True


@dataclass(frozen=True)
class _Prepared:
    """Everything that was read.

    Attributes:
        recipe: As read.
        base: SHA-256 of the language model's file.
        models: What learns.
        data: Of every stage.
        device: Where to compute.
    """

    recipe: Recipe
    base: str
    models: Models
    data: Sequence[StageData]
    device: torch.device


def _prepare(recipe: Recipe, out: Path, start: StartingVision, report: Report) -> _Prepared:
    gguf = _gguf(recipe)
    device = torch.device(_device(recipe))
    header = inspect_gguf(gguf)
    settings = LlamaCppSettings(n_threads=1, context_length=min(header.context_length, _LONGEST_DIALOGUE))
    with closing(LlamaCppDecoder.load(gguf, header, settings)) as language:
        vision, vocabulary = start(language)
        vision.to(device)
        cache = _maps_cache(recipe, out, vision, device, report)
        maker = SequenceMaker(embedded_prompt(), language, vision.sizes.n_rows)
        data = []
        for stage in recipe.stage:
            report.note(f"reading the data of stage {stage.name}")
            data.append(read_stage(stage, vocabulary, maker if stage.answer_weight else None, cache))
    models = _models(recipe, gguf, vision, vocabulary, device)
    _mark_shown(models, recipe, data)
    return _Prepared(recipe, sha256_of(gguf), models, data, device)


def _gguf(recipe: Recipe) -> Path:
    if recipe.base is None:
        raise SettingsError("the recipe names no base", "Name the GGUF of a language model.")
    return recipe.base / _BUNDLE_GGUF if recipe.base.is_dir() else recipe.base


def _maps_cache(recipe: Recipe, out: Path, vision: TunedVision, device: torch.device, report: Report) -> MapsCache:
    return MapsCache(
        recipe.cache or out / CACHE,
        vision.maps,
        state_id(vision.encoder.front_parts()),
        vision.sizes.side_px,
        device,
        report.note,
    )


def _models(recipe: Recipe, gguf: Path, vision: TunedVision, names: Vocabulary, device: torch.device) -> Models:
    llama, lora, published = None, None, frozen_copy(vision.encoder)
    if any(stage.answer_weight for stage in recipe.stage):
        weights = read_language_weights(gguf)
        llama = Llama(weights, _dtype(recipe, device)).to(device)
        if any(stage.rates.lora for stage in recipe.stage) or _earlier_adapter(recipe) is not None:
            lora = LoraMatrices(weights, recipe.lora).to(device)
    if recipe.begin_with is not None:
        put_in_earlier_run(recipe.begin_with, vision, lora)
    return Models(vision, names, llama, lora, published)


def _earlier_adapter(recipe: Recipe) -> Path | None:
    path = None if recipe.begin_with is None else recipe.begin_with / ADAPTER
    return path if path is not None and path.is_file() else None


def _mark_shown(models: Models, recipe: Recipe, data: Sequence[StageData]) -> None:
    """Let the names that will be shown be learned; what was shown in an earlier run stays so."""
    for stage, read in zip(recipe.stage, data, strict=True):
        if stage.concept_weight and stage.rates.learns_to_read:
            for name in read.shown_names():
                models.vision.reader.name.shown[models.vocabulary.index[name]] = 1.0


def _run(prepared: _Prepared, around: Surroundings, resumed: Checkpoint | None) -> bool:
    """Run all stages, and write the results if the end is reached."""
    models, recipe = prepared.models, prepared.recipe
    legs = [
        Leg(stage, data, Learner(models, stage, data, prepared.device))
        for stage, data in zip(recipe.stage, prepared.data, strict=True)
    ]
    run = Run(legs, models.parts(), around)
    if not run.go(resumed):
        return False
    save_tuned(around.out, models.vision, models.lora, models.published, _story(prepared, run))
    adapter = _earlier_adapter(recipe)
    if models.lora is None and adapter is not None:
        shutil.copyfile(adapter, around.out / ADAPTER)  # untouched, but what was tuned beside it belongs to it
    return True


def _story(prepared: _Prepared, run: Run) -> Story:
    stages = [
        StageStory(stage.name, n_steps, data.hashes, len(data.complaints), losses)
        for stage, data, (n_steps, losses) in zip(prepared.recipe.stage, prepared.data, run.history(), strict=True)
    ]
    return Story(prepared.recipe, stages, prepared.base, versions())


def _device(recipe: Recipe) -> str:
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("the recipe asks for cuda, and torch has none", 'Use device = "auto".')
    return "cuda" if recipe.device != "cpu" and torch.cuda.is_available() else "cpu"


def _dtype(recipe: Recipe, device: torch.device) -> torch.dtype:
    if recipe.dtype == "auto":
        native = device.type == "cuda" or _multiplies_bfloat16()
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if recipe.dtype == "bfloat16" else torch.float32


def _multiplies_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("bf16"))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failed:
        raise OutputError(f"cannot make the folder {folder}: {failed.strerror}", "Choose another one.") from failed
    return folder


def _tell_complaints(data: Sequence[StageData], out: Path, report: Report) -> None:
    """List all that was skipped in a file, and the first of it on the terminal."""
    complaints = list(dict.fromkeys(str(complaint) for stage in data for complaint in stage.complaints))
    if not complaints:
        return
    with written_aside(out / SKIPPED) as file:
        file.write(("\n".join(complaints) + "\n").encode("utf-8", "replace"))
    report.note(f"{len(complaints)} lines were skipped; all are listed in {out / SKIPPED}")
    for complaint in complaints[:_SHOWN_COMPLAINTS]:
        report.note(f"  {complaint}")


def _run_hash(recipe: Recipe, prepared: _Prepared) -> str:
    """Changes with everything that changes the numbers; the clock, the threads and the places of files do not."""
    stages = tuple(
        msgspec.structs.replace(stage, data=tuple(DataFile(path=Path(), weight=file.weight) for file in stage.data))
        for stage in recipe.stage
    )
    numbers = msgspec.structs.replace(
        recipe, stage=stages, base=None, begin_with=None, threads=None, checkpoint_s=1.0, cache=None
    )
    text = msgspec.json.encode(numbers, enc_hook=plain_paths.encoded)
    return hashlib.sha256(text + fingerprint(prepared.data).encode() + prepared.base.encode()).hexdigest()


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask for an end after the step; a second one is as usual."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, _frame: object) -> None:
        asked.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
