"""Everything that can go wrong, as one tree; knows nothing of who raises or prints it.

    Gpt4RoiError                what was wrong, with the value, and what to do
    |-- InputError              what the user gave
    |   |-- ImageError          a picture that cannot be read or is refused
    |   |-- RegionError         a box, or a <regionN> that has none
    |   |-- QuestionError       the words of the question
    |   |-- ContextOverflowError  image, regions and question do not fit the context
    |   `-- SettingsError       a setting out of its range
    |-- BundleError             the folder of the model: missing, damaged, foreign
    |-- EngineError             a third party's executor failed
    |   |-- EngineMissingError  it is not installed; names the pip line
    |   |-- PlanError  no plan that runs here; names what differs, and the command
    |   |-- WorkerDiedError  the process that it ran in is gone
    |   `-- NumericError        it returned NaN or infinity
    |-- OutputError             a file could not be written
    `-- Cancelled               the caller stopped the work

Foreign exceptions are translated once, in the backend or reader that meets them.
"""


class Gpt4RoiError(Exception):
    """Base of every error raised on purpose.

    Attributes:
        problem: What was wrong, with the offending value.
        advice: What was expected and what to do, or an empty string.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(f"{problem}\n{advice}" if advice else problem)
        self.problem = problem
        self.advice = advice


class InputError(Gpt4RoiError):
    """The user's input cannot be used."""


class ImageError(InputError):
    """A picture cannot be read, or is refused."""


class RegionError(InputError):
    """A box is not a region of the image, or boxes and question do not match."""


class QuestionError(InputError):
    """The question is empty, or holds words that are the model's own."""


class ContextOverflowError(InputError):
    """Image, regions, dialogue and question together exceed the context."""


class SettingsError(InputError):
    """A setting is out of its range."""


class BundleError(Gpt4RoiError):
    """A bundle is missing, damaged, of another version, or not what its manifest says."""


class EngineError(Gpt4RoiError):
    """An engine refused or failed."""


class EngineMissingError(EngineError):
    """An engine is not installed."""


class PlanError(EngineError):
    """There is no TensorRT plan that runs here, or it is damaged."""


class WorkerDiedError(EngineError):
    """The process that a model runs in has ended; the next request starts another one.

    Attributes:
        last_words: The last lines that the process printed, for whoever looks for the reason.
    """

    def __init__(self, problem: str, advice: str = "", last_words: tuple[str, ...] = ()) -> None:
        super().__init__(problem, advice)
        self.last_words = last_words


class NumericError(EngineError):
    """An engine returned NaN or infinity."""


class OutputError(Gpt4RoiError):
    """A file could not be written."""


class Cancelled(Gpt4RoiError):  # noqa: N818 - not a failure: the caller asked for it
    """The caller stopped the work."""

    def __init__(self) -> None:
        super().__init__("cancelled")
