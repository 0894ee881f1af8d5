"""A bundle's detector alone: boxes worth a question, without the rest of the model."""

from contextlib import AbstractContextManager
from pathlib import Path
from time import perf_counter
from types import TracebackType

from gpt4roi_runtime.arrays import RgbImage
from gpt4roi_runtime.backends.load import EngineSettings, detector_of, load_detector
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.vision.detector import Detector
from gpt4roi_runtime.vision.proposals import DEFAULT_MAX_BOXES, Proposal, propose


class Proposer(AbstractContextManager["Proposer"]):
    """A bundle's detector alone, loaded without the rest of the model: use it as a context manager, or ``close`` it.

    Attributes:
        bundle: What was opened.
        detector: The detecting engine.
        load_s: Wall-clock seconds of checking and loading.
    """

    def __init__(self, bundle: Bundle, detector: Detector, load_s: float = 0.0) -> None:
        self.bundle = bundle
        self.detector = detector
        self.load_s = load_s

    @classmethod
    def open(cls, folder: Path, settings: EngineSettings | None = None) -> "Proposer":
        """Check the detector of the bundle at ``folder``, hash included, and load it.

        Raises:
            BundleError: The folder is not a bundle, has no detector, or is not what its manifest says.
            EngineError: The engine is missing or fails.
        """
        return cls.of_bundle(open_bundle(folder), settings or EngineSettings())

    @classmethod
    def of_bundle(cls, bundle: Bundle, settings: EngineSettings) -> "Proposer":
        """The same for a bundle whose manifest was read."""
        started_s = perf_counter()
        return cls(bundle, load_detector(bundle, settings), perf_counter() - started_s)

    def propose(
        self, image: RgbImage, *, threshold: float | None = None, max_boxes: int = DEFAULT_MAX_BOXES
    ) -> tuple[Proposal, ...]:
        """Find boxes worth a question; see ``Pipeline.propose``."""
        how = detector_of(self.bundle)
        return propose(image, self.detector, how, threshold=threshold, max_boxes=max_boxes)

    def close(self) -> None:
        """Free the engine; closing twice is harmless."""
        self.detector.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
