"""What the window and the model's process say to each other, as msgspec structs. Knows neither of them.

Every request has an id that its events carry, so that an answer nobody waits for any more is recognised.
"""

import msgspec

Corners = tuple[float, float, float, float]


class Message(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """One frame of the conversation."""

    id: int


class OpenBundle(Message, frozen=True, tag="open_bundle"):
    """Load a model; ``folder`` is a path in the system's own bytes."""

    folder: bytes


class OpenImage(Message, frozen=True, tag="open_image"):
    """Encode a photo; a frame of ``height_px * width_px * 3`` bytes, RGB, follows."""

    width_px: int
    height_px: int


class Ask(Message, frozen=True, tag="ask"):
    """A question about the photo; boxes in pixels by number, earlier turns as question and answer."""

    question: str
    regions: dict[int, Corners]
    history: tuple[tuple[str, str], ...] = ()


class Propose(Message, frozen=True, tag="propose"):
    """Find boxes worth a question on the photo."""


class Cancel(Message, frozen=True, tag="cancel"):
    """Stop the request with this id, or drop it where it has not begun."""


Request = OpenBundle | OpenImage | Ask | Propose | Cancel


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


class ImageOpened(Message, frozen=True, tag="image_opened"):
    """The photo is encoded."""

    encode_s: float


class Text(Message, frozen=True, tag="text"):
    """More text of an answer."""

    text: str


class Answered(Message, frozen=True, tag="answered"):
    """An answer is complete; ``memory_bytes`` is what the process holds now."""

    answer: str
    stop_reason: str
    n_prompt_rows: int
    n_answer_tokens: int
    first_text_s: float | None
    decode_s: float
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
    """The request cannot be done: what was wrong, and what to do."""

    problem: str
    advice: str


class Died(Message, frozen=True, tag="died"):
    """The process is gone. Never sent: the window's side makes it when the pipe ends."""

    exit_status: int


Event = BundleOpened | ImageOpened | Text | Answered | Proposed | Stopped | Failed | Died
