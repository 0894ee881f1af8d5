"""The story of ``gpt4roi-export import``: open, check, write the graphs, hold them against the model, write the GGUF.

Every step leaves whole files in a work folder; the last one turns it into the bundle.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gpt4roi_export.certificate.certify import Checkpoint
from gpt4roi_export.certificate.samples import BOXES, PHOTO, PHOTOS
from gpt4roi_export.certificate.vision import VisionModel, check_vision
from gpt4roi_export.imports.gpt4roi_manifest import GGUF, clip_preprocessing, gpt4roi_manifest
from gpt4roi_export.imports.provenance import identity, provenance, read_inputs
from gpt4roi_export.imports.room import check_room, predicted_room
from gpt4roi_export.imports.sources import Sources
from gpt4roi_export.imports.work_folder import WorkFolder
from gpt4roi_export.language.f16_gguf import write_f16
from gpt4roi_export.language.quantisations import AUTO
from gpt4roi_export.language.quantise import quantisation_for_this_machine, quantise
from gpt4roi_export.parity import ParityReport
from gpt4roi_export.vision_graphs.calibration import calibrate
from gpt4roi_export.vision_graphs.write import Precision, VisionFormat, write_graphs
from gpt4roi_export.weights import Progress
from gpt4roi_export.write_bundle import require_free, write_manifest
from gpt4roi_runtime.bundle.manifest import Input

HALF = "F16"
_HALF_GGUF, _INPUTS = "half.gguf", "inputs.json"
_SHARES = {"inputs": 0.05, "vision": 0.25, "check": 0.3, "half": 0.6, "language": 0.99}
"""Of the whole work, at the end of each step, as it was on a laptop's processor."""


@dataclass(frozen=True)
class ImportSettings:
    """What was asked for.

    Attributes:
        language: Quantisation of the language model, or ``auto``.
        vision: Precision of the graphs.
        winograd: Of graphs in fp32: convolutions for processors, see ``VisionFormat``.
        pictures: To calibrate ``int8`` with; sample photos if there are none.
        threads: Of the quantiser.
        forced: Write the bundle even if the graphs are off.
    """

    language: str = AUTO
    vision: Precision = "fp32"
    winograd: bool = False
    pictures: tuple[Path, ...] = ()
    threads: int = 1
    forced: bool = False


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        out: The bundle.
        quantisation: Of its language model.
        parity: Of its graphs; None where they were checked by the import that this one went on from.
        seconds: How long it took.
        read_bytes: Size of the checkpoint's files.
        went_on: Whether an earlier import had begun it.
    """

    out: Path
    quantisation: str
    parity: ParityReport | None
    seconds: float
    read_bytes: int
    went_on: bool


def import_release(
    sources: Sources, settings: ImportSettings, out: Path, progress: Progress, *, replace: bool = False
) -> Imported:
    """Make the bundle, or go on making it.

    Args:
        sources: As ``open_sources`` found them.
        settings: See there.
        out: The folder to make.
        progress: Told what is being done.
        replace: Whether a bundle that is there may go.

    Raises:
        BundleError: The checkpoint is damaged, or holds what a bundle cannot.
        OutputError: The folder is taken, or the disk is too small or refuses.
        SettingsError: A setting is out of its range, or the memory too small.
        NumericError: The graphs are farther from the model than their precision allows.
    """
    started = time.monotonic()
    out = out.absolute()
    require_free(out, replace=replace)
    language = quantisation_for_this_machine() if settings.language == AUTO else settings.language
    check_room(predicted_room(sources, language, VisionFormat(settings.vision, winograd=settings.winograd)), out)
    words = _in_words(settings, language)
    work = WorkFolder(out, identity({**sources.files, "calibration": settings.pictures}, words))
    went_on = work.open()
    steps = _Steps(sources, settings, language, work.path, progress)
    work.step("inputs", steps.hash_inputs)
    work.step("vision", steps.write_vision)
    work.step("check", steps.check_vision)
    if language == HALF:
        work.step("half", lambda: steps.write_half(GGUF))
    else:
        work.step("half", lambda: steps.write_half(_HALF_GGUF))
        work.step("language", steps.quantise)
        (work.path / _HALF_GGUF).unlink(missing_ok=True)
    inputs = steps.inputs()
    progress("hashing the bundle", _SHARES["language"])
    record = provenance(inputs, words)
    manifest = gpt4roi_manifest(work.path, sources.sizes, sources.gpt4roi.sizes, sources.vocabulary, record)
    write_manifest(work.path, manifest)
    work.become(out, without=(_INPUTS,), replace=replace)
    progress("done", 1.0)
    return Imported(
        out, language, steps.parity, time.monotonic() - started, sum(entry.size_bytes for entry in inputs), went_on
    )


def checkpoint_of(sources: Sources) -> Checkpoint:
    """What a bundle of these sources is held against."""
    return Checkpoint(vision_model(sources), sources.gpt4roi.sizes, sources.gpt4roi.tensors)


def vision_model(sources: Sources) -> VisionModel:
    """The vision side of what is imported."""
    how = clip_preprocessing(sources.sizes.side_px)
    return VisionModel(sources.sizes, sources.clip.tensors, sources.gpt4roi.tensors, how)


def _in_words(settings: ImportSettings, language: str) -> dict[str, str]:
    words = {"language": language, "vision": settings.vision}
    if settings.vision == "int8":
        words["calibration"] = ", ".join(path.name for path in settings.pictures) or "sample photos"
    if settings.winograd:
        words["winograd"] = "yes"
    if settings.forced:
        words["forced"] = "yes"
    return words


class _Steps:
    """The steps of one import; each leaves its files in the folder."""

    def __init__(
        self, sources: Sources, settings: ImportSettings, language: str, folder: Path, progress: Progress
    ) -> None:
        self._sources, self._settings, self._language = sources, settings, language
        self._folder = folder
        self._progress = progress
        self._vision = vision_model(sources)
        self.parity: ParityReport | None = None

    def hash_inputs(self) -> None:
        """Say what goes in."""
        n_all = sum(path.stat().st_size for paths in self._sources.files.values() for path in set(paths))
        n_read = 0
        report = self._part("inputs")

        def on_bytes(n_new: int) -> None:
            nonlocal n_read
            n_read += n_new
            report("hashing the checkpoint", n_read / n_all)

        (self._folder / _INPUTS).write_bytes(msgspec.json.encode(read_inputs(self._sources.files, on_bytes)))

    def inputs(self) -> tuple[Input, ...]:
        """What went in."""
        return msgspec.json.decode((self._folder / _INPUTS).read_bytes(), type=tuple[Input, ...])

    def write_vision(self) -> None:
        """The two graphs."""
        model, report = self._vision, self._part("vision")
        ranges = None
        if self._settings.vision == "int8":
            pictures = self._settings.pictures or PHOTOS
            ranges = calibrate(model.sizes, model.clip, model.release, pictures, model.preprocessing, report)
        stored = VisionFormat(self._settings.vision, ranges, winograd=self._settings.winograd)
        write_graphs(model.sizes, model.clip, model.release, self._folder, stored, report)

    def check_vision(self) -> None:
        """Hold them against the model."""
        self._part("check")("checking the graphs", 0.0)
        self.parity = check_vision(self._vision, self._folder, self._settings.vision, PHOTO, BOXES).checks[0].report
        if not self._settings.forced:
            self.parity.require()

    def write_half(self, name: str) -> None:
        """The language model, whole."""
        model, vocabulary = self._sources.gpt4roi, self._sources.vocabulary
        write_f16(model.tensors, model.sizes, vocabulary, self._folder / name, self._part("half"))

    def quantise(self) -> None:
        """The language model as it stays."""
        half, threads = self._folder / _HALF_GGUF, self._settings.threads
        quantise(half, self._folder / GGUF, self._language, threads, self._part("language"))

    def _part(self, step: str) -> Progress:
        """Progress within a step as progress of the whole."""
        names = list(_SHARES)
        before = _SHARES[names[names.index(step) - 1]] if step != names[0] else 0.0
        return lambda doing, share: self._progress(doing, before + (_SHARES[step] - before) * share)
