"""What a caller and the model's process say to each other, as msgspec structs. Knows neither of them.

Every request has an id that its events carry, so that an answer nobody waits for any more is recognised. Requests are
served one after another in the order they were sent; a cancel is heard at once.
"""

from typing import Any

import msgspec
import numpy as np

from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.errors import InputError, QuestionError
from gpt4roi_runtime.events import Chosen, Done
from gpt4roi_runtime.keeping import DEFAULT_IMAGES_BYTES
from gpt4roi_runtime.llm.decoder import Prefilled, Sampling
from gpt4roi_runtime.worker.wire import MAX_MESSAGE_BYTES

Corners = tuple[float, float, float, float]

SHOWN = 0
"""The number of the image that a window shows: prepared at once, and its photo kept for proposals, until the next."""


class Message(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """One frame of the conversation."""

    id: int

    @property
    def n_photo_bytes(self) -> int:
        """Size of the frame with a photo that follows; 0 where none does."""
        return 0


class StoreFolder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An ImageStore to open; ``folder`` is an absolute path in the system's own bytes."""

    folder: bytes
    budget_bytes: int


class OpenBundle(Message, frozen=True, tag="open_bundle"):
    """Load a model; ``folder`` is an absolute path in the system's own bytes.

    ``sampling`` and ``max_tokens`` are of questions that name none; None takes what the bundle recommends. Without a
    ``store`` no image is kept on disk.
    """

    folder: bytes
    settings: EngineSettings | None = None
    sampling: Sampling | None = None
    max_tokens: int | None = None
    images_bytes: int = DEFAULT_IMAGES_BYTES
    store: StoreFolder | None = None


class OpenImage(Message, frozen=True, tag="open_image"):
    """Encode a photo under a number; a frame of ``height_px * width_px * 3`` bytes, RGB, follows."""

    width_px: int
    height_px: int
    image: int = SHOWN

    @property
    def n_photo_bytes(self) -> int:
        """Of the photo."""
        return self.width_px * self.height_px * 3


class Prepare(Message, frozen=True, tag="prepare"):
    """Compute ahead what every question about an image begins with."""

    image: int = SHOWN


class Ask(Message, frozen=True, tag="ask"):
    """A question about an image; boxes in pixels by number, earlier turns as question and answer."""

    question: str
    regions: dict[int, Corners]
    history: tuple[tuple[str, str], ...] = ()
    image: int = SHOWN
    sampling: Sampling | None = None
    max_tokens: int | None = None
    allowed: tuple[str, ...] | None = None
    n_top: int | None = None


class Choose(Message, frozen=True, tag="choose"):
    """A question about an image, with a closed list of answers; boxes and turns as of ``Ask``."""

    question: str
    regions: dict[int, Corners]
    choices: tuple[str, ...]
    lead: str = ""
    history: tuple[tuple[str, str], ...] = ()
    image: int = SHOWN


class AskEach(Message, frozen=True, tag="ask_each"):
    """One question about many boxes of an image, each as region 1 of a prompt of its own."""

    question: str
    boxes: tuple[Corners, ...]
    image: int = SHOWN
    sampling: Sampling | None = None
    max_tokens: int | None = None


class Propose(Message, frozen=True, tag="propose"):
    """Find boxes worth a question on the photo that is shown, or on one that follows as a frame if it has a size."""

    width_px: int = 0
    height_px: int = 0
    threshold: float | None = None
    max_boxes: int | None = None

    @property
    def n_photo_bytes(self) -> int:
        """Of the photo, where one follows."""
        return self.width_px * self.height_px * 3


class Cancel(Message, frozen=True, tag="cancel"):
    """Stop the request with this id, or drop it where it has not begun."""


AboutImage = Prepare | Ask | Choose | AskEach
Request = OpenBundle | OpenImage | AboutImage | Propose | Cancel


class Begun(Message, frozen=True, tag="begun"):
    """The request is being worked on; it waited for others until now."""


class Noted(Message, frozen=True, tag="noted"):
    """The store refused or lost something over this request; for a person. The request goes on."""

    text: str


class BundleOpened(Message, frozen=True, tag="bundle_opened"):
    """The model is ready."""

    bundle_id: str
    name: str
    vision_engine: str
    language_engine: str
    n_threads: int
    has_detector: bool
    load_s: float
    notes: tuple[str, ...] = ()
    context_length: int = 0
    max_regions: int = 0


class ImageOpened(Message, frozen=True, tag="image_opened"):
    """The photo is encoded; ``seconds`` by stage, ``key`` as EncodedImage has it."""

    seconds: dict[str, float]
    key: str = ""


class PhotoWanted(Message, frozen=True, tag="photo_wanted"):
    """The image is not known, or not any more: nothing was done. Open it, then ask again."""


class Prepared(Message, frozen=True, tag="prepared"):
    """What all questions begin with is computed."""

    filled: Prefilled


class Accepted(Message, frozen=True, tag="accepted"):
    """The question and all that belongs to it was checked; the answer follows."""


class Text(Message, frozen=True, tag="text"):
    """More text of an answer."""

    text: str


class Answered(Message, frozen=True, tag="answered"):
    """An answer is complete; ``memory_bytes`` is what the process holds now."""

    done: Done
    memory_bytes: int


class Weighed(Message, frozen=True, tag="weighed"):
    """How likely every choice is; ``memory_bytes`` is what the process holds now."""

    chosen: Chosen
    memory_bytes: int


class BoxAnswered(Message, frozen=True, tag="box_answered"):
    """The answer for one of many boxes, ``index`` counted from 0."""

    index: int
    done: Done


class AllAnswered(Message, frozen=True, tag="all_answered"):
    """No box is left; ``memory_bytes`` is what the process holds now."""

    memory_bytes: int


class Found(msgspec.Struct, frozen=True):
    """One proposal."""

    box: Corners
    name: str
    score: float


class Proposed(Message, frozen=True, tag="proposed"):
    """Boxes that may be worth a question, the best first."""

    found: tuple[Found, ...]


class Stopped(Message, frozen=True, tag="stopped"):
    """The request was cancelled."""


class Failed(Message, frozen=True, tag="failed"):
    """The request cannot be done: what was wrong, what to do, and the name of the error's class."""

    problem: str
    advice: str
    error: str = "Gpt4RoiError"


class Died(Message, frozen=True, tag="died"):
    """The process is gone. Never sent: the caller's side makes it when the pipe ends.

    ``ended_because`` is why that side ended it, as "was ended because ..." goes on; empty where it did not.
    """

    exit_status: int
    last_words: tuple[str, ...] = ()
    ended_because: str = ""


Progress = Begun | Accepted | Noted | Text | BoxAnswered
"""Events behind which others of the same request follow."""

Event = (
    Progress
    | BundleOpened
    | ImageOpened
    | PhotoWanted
    | Prepared
    | Answered
    | Weighed
    | AllAnswered
    | Proposed
    | Stopped
    | Failed
    | Died
)


def encoded(request: Request) -> bytes:
    """A request as the content of a frame, checked as the other side will check it.

    Raises:
        InputError: The caller's words or numbers do not fit into one.
    """
    try:
        content = _ENCODER.encode(request)
        _DECODER.decode(content)
    except UnicodeEncodeError as error:
        raise QuestionError(
            f"the question holds {error.object[error.start : error.end]!r}, which is not a character", "Type it again."
        ) from error
    except (OverflowError, TypeError, msgspec.MsgspecError) as error:
        raise InputError(f"the request cannot be sent: {error}", "Give what the call's signature says.") from error
    if len(content) > MAX_MESSAGE_BYTES:
        raise InputError(
            f"the question takes {len(content)} bytes; the most is {MAX_MESSAGE_BYTES}", "Ask a shorter one."
        )
    return content


def _plain(value: object) -> Any:
    """A number of NumPy's, such as a coordinate that a caller computed, as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be sent")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)
_DECODER = msgspec.msgpack.Decoder(Request)
