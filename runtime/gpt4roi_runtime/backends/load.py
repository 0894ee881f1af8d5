"""Chooses and loads the engines of a bundle; the only place that knows them all by name."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Event

from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_first_run import FirstRun
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.backends.vision_candidates import candidates, gave_way
from gpt4roi_runtime.backends.vision_choice import chosen_engine
from gpt4roi_runtime.backends.vision_engines import open_detector, open_encoder
from gpt4roi_runtime.backends.vision_settings import VisionSettings
from gpt4roi_runtime.bundle import manifest as nouns
from gpt4roi_runtime.bundle.folder import Bundle, check_file
from gpt4roi_runtime.errors import BundleError, EngineError, SettingsError
from gpt4roi_runtime.llm.decoder import CancelCheck, Decoder
from gpt4roi_runtime.vision.detector import Detector
from gpt4roi_runtime.vision.encoder import Encoder


@dataclass(frozen=True)
class EngineSettings:
    """What the caller chooses when a bundle is opened.

    Attributes:
        vision_threads: Threads of the vision engine; 0 takes as many as there are cores.
        language: Threads, context and memory of the language engine.
        vision: Which engine runs the vision half, and in what precision.

    Raises:
        SettingsError: A value is out of its range.
    """

    vision_threads: int = 0
    language: LlamaCppSettings = field(default_factory=LlamaCppSettings)
    vision: VisionSettings = field(default_factory=VisionSettings)

    def __post_init__(self) -> None:
        if self.vision_threads < 0:
            raise SettingsError(f"vision_threads {self.vision_threads} is negative", "Use 0 (all cores) or more.")


OnNote = Callable[[str], None]
"""Hears, in a line for a person, what they should know of the choice."""


def _say_nothing(_: str) -> None:
    pass


def load_engines(bundle: Bundle, settings: EngineSettings, on_note: OnNote = _say_nothing) -> tuple[Encoder, Decoder]:
    """Check every file and load both halves, side by side; ``on_note`` is that of ``load_encoder``.

    Raises:
        BundleError: A file was changed, or a half is not what the manifest says.
        EngineError: An engine is missing or fails.
    """
    vision = bundle.manifest.vision
    given_up = Event()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="gpt4roi-load") as pool:
        language = pool.submit(_checked_decoder, bundle, settings, given_up.is_set)
        try:
            for entry in (vision.encode, vision.regions, *vision.external_data):
                check_file(bundle, entry)
            encoder = load_encoder(bundle, settings, on_note)
            try:
                return encoder, language.result()
            except BaseException:
                encoder.close()
                raise
        except BaseException:  # Ctrl-C too: the other half must not go on loading for nobody
            given_up.set()
            if language.exception() is None:
                language.result().close()
            raise


def _checked_decoder(bundle: Bundle, settings: EngineSettings, cancel: CancelCheck) -> Decoder:
    check_file(bundle, bundle.manifest.language.gguf, cancel)
    return load_decoder(bundle, settings, cancel)


def load_encoder(bundle: Bundle, settings: EngineSettings, on_note: OnNote = _say_nothing) -> Encoder:
    """Load the two graphs of a bundle whose files were checked; what was not asked for by name may give way to another.

    Args:
        bundle: Whose graphs.
        settings: Which engine.
        on_note: Hears why the CPU runs them although a GPU and what was installed or built for it are there.

    Raises:
        BundleError: A graph is not what the manifest says.
        EngineError: The engine is missing or fails.
    """
    refused = []
    for candidate in candidates(bundle, settings.vision):
        if candidate.refused is None:
            try:
                return open_encoder(bundle, candidate.engine, settings.vision_threads)
            except EngineError as error:  # `gpt4roi doctor` tries it too, and says all of it
                refused.append(replace(candidate, refused=error.problem, advice=error.advice))
        else:
            refused.append(candidate)
    if (note := gave_way(bundle, tuple(refused))) is not None:
        on_note(note)
    return open_encoder(bundle, chosen_engine(bundle, settings.vision), settings.vision_threads)


def detector_of(bundle: Bundle) -> nouns.Detector:
    """What the manifest says of the graph that proposes boxes.

    Raises:
        BundleError: The bundle has none.
    """
    if bundle.manifest.detector is None:
        raise BundleError(
            f"the bundle {bundle.folder} has no detector, so it cannot propose boxes",
            "Give the boxes yourself (--region); `gpt4roi-export embedded --force` makes a bundle that has one.",
        )
    return bundle.manifest.detector


def load_detector(bundle: Bundle, settings: EngineSettings) -> Detector:
    """Check and load the graph that proposes boxes.

    Raises:
        BundleError: The bundle has none, its file was changed, or it is not what the manifest says.
        EngineError: The engine is missing or fails.
    """
    how = detector_of(bundle)
    check_file(bundle, how.graph)
    return open_detector(bundle.path_of(how.graph), how, settings.vision, settings.vision_threads)


def load_decoder(bundle: Bundle, settings: EngineSettings, cancel: CancelCheck = lambda: False) -> Decoder:
    """Load the language model of a bundle whose files were checked, and hold it against the manifest.

    ``cancel`` is asked while it loads.

    Raises:
        BundleError: A width, a count or a token id differs.
        EngineError: The engine is missing or fails.
        Cancelled: ``cancel`` said so.
    """
    language = bundle.manifest.language
    gguf = bundle.path_of(language.gguf)
    header = inspect_gguf(gguf)
    FirstRun().check(gguf, language.gguf.sha256, cancel)
    decoder = LlamaCppDecoder.load(
        gguf, header, settings.language, context_limit=language.context_length, cancel=cancel
    )
    try:
        _check_language(bundle, decoder)
    except BaseException:
        decoder.close()
        raise
    return decoder


def _check_language(bundle: Bundle, decoder: Decoder) -> None:
    """Hold the loaded model's sizes and token ids against the manifest.

    Raises:
        BundleError: A width, a count or an id differs.
    """
    promised, found = bundle.manifest.language, decoder.info
    for what, expected, actual in (
        ("embedding width", promised.embedding_length, found.embedding_length),
        ("vocabulary", promised.vocabulary_size, found.vocabulary_size),
    ):
        if expected != actual:
            raise BundleError(
                f"{promised.gguf.path} has {what} {actual}; the manifest says {expected}",
                "The language model and the graphs are not of the same bundle. Assemble it again.",
            )
    for token, number in promised.special_tokens.items():
        if (found_id := decoder.special_token(token)) != number:
            raise BundleError(
                f"{promised.gguf.path} gives {token!r} the id {found_id}; the manifest says {number}",
                "The language model and the prompt are not of the same bundle. Assemble it again.",
            )
