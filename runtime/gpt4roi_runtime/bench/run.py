"""The order of a benchmark: load once a combination of settings, test, free, go on. Yields rows; prints nothing."""

from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.backends.load import EngineSettings, load_decoder, load_encoder
from gpt4roi_runtime.bench import language, story, vision
from gpt4roi_runtime.bench.clocks import read_clocks
from gpt4roi_runtime.bench.language import SPARE_ROWS
from gpt4roi_runtime.bench.machine import Machine, look_at_machine
from gpt4roi_runtime.bench.matrix import LanguageTest
from gpt4roi_runtime.bench.measure import Kind, Measured, NotMeasured, OnStep, Trial, measure
from gpt4roi_runtime.bench.memory import begin_peak, peak_bytes
from gpt4roi_runtime.bench.power import Meter
from gpt4roi_runtime.bench.rows import Loaded, Moment, Row, as_row
from gpt4roi_runtime.bench.vision import BenchPhoto
from gpt4roi_runtime.bundle.folder import Bundle, check_file, open_bundle
from gpt4roi_runtime.llm.decoder import Decoder
from gpt4roi_runtime.pipeline import Pipeline
from gpt4roi_runtime.planning.verdict import planned_bytes
from gpt4roi_runtime.vision.encoder import Encoder

KINDS: tuple[Kind, ...] = ("language", "vision", "pipeline")
_PIPELINE_CONTEXT = 2048
_SMALLEST_CONTEXT = 64


@dataclass(frozen=True)
class Plan:
    """What shall be measured.

    Attributes:
        bundle: Folder of the model.
        kinds: Which tests.
        loads: What to load the model with, one after another.
        tests: Of the language model alone.
        photo: For the tests that need one.
        n_regions: Boxes in a call of the region graph.
        n_sequences: Answers side by side.
        context_length: Rows of the KV cache; None takes what the tests need.
        n_repetitions: Of every test.
        warm_up: Whether each begins with one that does not count.
    """

    bundle: Path
    kinds: tuple[Kind, ...]
    loads: tuple[LlamaCppSettings, ...]
    tests: tuple[LanguageTest, ...]
    photo: BenchPhoto | None
    n_regions: tuple[int, ...]
    n_sequences: tuple[int, ...]
    context_length: int | None
    n_repetitions: int
    warm_up: bool


@dataclass(frozen=True)
class Note:
    """What the user should know: a test that was left out and why, or a slow fall-back of an engine."""

    text: str


def run(plan: Plan, meter: Meter | None, on_step: OnStep) -> Generator[Row | Note, None, None]:
    """Measure everything; each row comes as soon as it is known.

    Raises:
        BundleError: The bundle is not what its manifest says.
        SettingsError: A setting does not fit the model or this build.
        EngineError: An engine failed.
    """
    bundle = open_bundle(plan.bundle)
    machine = look_at_machine()
    seen_threads: set[int] = set()
    for settings in plan.loads:
        settings = replace(settings, context_length=_context_length(plan, bundle))
        # The vision half knows only threads, so other settings would measure it again for nothing.
        kinds = tuple(kind for kind in plan.kinds if kind != "vision" or settings.threads() not in seen_threads)
        seen_threads.add(settings.threads())
        if kinds:
            yield from _Combination(replace(plan, kinds=kinds), bundle, machine, settings, meter, on_step).rows()


class _Combination:
    """One load and its tests."""

    def __init__(
        self,
        plan: Plan,
        bundle: Bundle,
        machine: Machine,
        settings: LlamaCppSettings,
        meter: Meter | None,
        on_step: OnStep,
    ) -> None:
        self._plan = plan
        self._bundle = bundle
        self._machine = machine
        self._engines = EngineSettings(vision_threads=settings.threads(), language=settings)
        self._meter = meter
        self._on_step = on_step

    def rows(self) -> Generator[Row | Note, None, None]:
        """Load, test, free."""
        begin_peak()
        loading: list[Measured] = []
        if "pipeline" in self._plan.kinds:
            loading.append(self._measure(story.load_trial(self._plan.bundle, self._engines)))
        with ExitStack() as stack:
            self._on_step("loading")
            encoder, decoder, trials = self._load(stack)
            loaded = Loaded(
                bundle=self._bundle,
                settings=self._engines.language,
                decoder=None if decoder is None else decoder.info,
                vision_engine="" if encoder is None else encoder.engine,
                image="" if self._plan.photo is None else "{}x{}".format(*self._plan.photo.size),
                planned_bytes=self._planned_bytes() if "pipeline" in self._plan.kinds else None,
            )
            if decoder is not None:
                yield from map(Note, decoder.info.notes)
            yield from (self._row(measured, loaded) for measured in loading)
            for trial in trials:
                yield self._tried(trial, loaded)
            if "pipeline" in self._plan.kinds:
                yield self._row(Measured(_PEAK, (), warmed_up=False), loaded)

    def _load(self, stack: ExitStack) -> tuple[Encoder | None, Decoder | None, tuple[Trial, ...]]:
        """What the tests need, freed by the stack, and the tests."""
        plan, bundle = self._plan, self._bundle
        encoder: Encoder | None = None
        decoder: Decoder | None = None
        trials: tuple[Trial, ...] = ()
        pipeline = stack.enter_context(Pipeline.open(plan.bundle, self._engines)) if "pipeline" in plan.kinds else None
        if "vision" in plan.kinds and plan.photo is not None:
            encoder = pipeline.encoder if pipeline else stack.enter_context(closing(self._load_encoder()))
            trials += vision.as_trials(bundle, encoder, plan.photo, plan.n_regions)
        if "language" in plan.kinds:
            decoder = pipeline.decoder if pipeline else stack.enter_context(closing(self._load_decoder()))
            trials += language.as_trials(decoder, plan.tests)
        if pipeline is not None and plan.photo is not None:
            encoder, decoder = pipeline.encoder, pipeline.decoder
            trials += story.as_trials(pipeline, plan.photo, plan.n_sequences)
        return encoder, decoder, trials

    def _planned_bytes(self) -> int | None:
        """Weights, KV cache and activations of this combination by `gpt4roi plan`, where it knows its settings."""
        language, most = self._engines.language, self._bundle.manifest.vision.max_regions
        if language.context_length is None:
            return None
        n_regions = max(n for n in (*self._plan.n_regions, *self._plan.n_sequences, 1) if n <= most)
        return planned_bytes(self._bundle, language, n_regions)

    def _load_encoder(self) -> Encoder:
        files = self._bundle.manifest.vision
        for entry in (files.encode, files.regions, *files.external_data):
            check_file(self._bundle, entry)
        return load_encoder(self._bundle, self._engines)

    def _load_decoder(self) -> Decoder:
        check_file(self._bundle, self._bundle.manifest.language.gguf)
        return load_decoder(self._bundle, self._engines)

    def _measure(self, trial: Trial) -> Measured:
        return measure(
            trial, self._plan.n_repetitions, warm_up=self._plan.warm_up, meter=self._meter, on_step=self._on_step
        )

    def _tried(self, trial: Trial, loaded: Loaded) -> Row | Note:
        try:
            return self._row(self._measure(trial), loaded)
        except NotMeasured as error:
            return Note(error.problem)

    def _row(self, measured: Measured, loaded: Loaded) -> Row:
        moment = Moment(read_clocks(), peak_bytes(), psutil.getloadavg()[0])
        return as_row(measured, loaded, self._machine, moment)


def _nothing(_clock: object) -> None:
    """The peak of memory is read, not timed."""


_PEAK = Trial("peak rss", "pipeline", "byte", _nothing)


def _context_length(plan: Plan, bundle: Bundle) -> int:
    """Rows that every test fits in; the model's own limit is checked when it is loaded."""
    if plan.context_length is not None:
        return plan.context_length
    needed = [_SMALLEST_CONTEXT]
    if "language" in plan.kinds:
        needed += [test.n_depth + test.n_prompt + test.n_gen + SPARE_ROWS for test in plan.tests]
    if "pipeline" in plan.kinds:
        needed.append(min(_PIPELINE_CONTEXT, bundle.manifest.language.context_length))
    return max(needed)
