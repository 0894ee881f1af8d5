"""The nouns of ``manifest.json``, as docs/bundle.md specifies them; knows no file and checks no hash.

Sizes are in bytes, sides in pixels or cells, and every path is relative to the bundle's folder.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

FORMAT = "gpt4roi-bundle"
VERSION: Literal[1] = 1
MAX_REGIONS = 100
"""Most boxes that any bundle may take in one call."""

Count = Annotated[int, Meta(ge=1, le=1 << 24)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Text = Annotated[str, Meta(max_length=8192)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Factor = Annotated[float, Meta(ge=-1e6, le=1e6)]
Factors = tuple[Factor, Factor, Factor]


class Noun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all: immutable, and an unknown field is an error rather than a silent loss."""


class FileEntry(Noun, frozen=True):
    """One file of the bundle.

    Attributes:
        path: Relative path inside the folder, with forward slashes.
        size_bytes: Exact size.
        sha256: Hash of the whole file, 64 hex digits.
    """

    path: Annotated[str, Meta(min_length=1, max_length=255)]
    size_bytes: Annotated[int, Meta(ge=1)]
    sha256: Sha256


class Resize(Noun, frozen=True):
    """One step of preprocessing: a new size.

    Attributes:
        to: ``shortest_edge`` keeps the aspect ratio (the long side is rounded down); ``stretch`` does not.
        side_px: The short side, or both sides.
        filter: ``bicubic`` works on 8-bit pixels and is antialiased; ``bilinear`` works on normalised
            values, takes two taps an axis with half-pixel centres, and is not antialiased.
    """

    to: Literal["shortest_edge", "stretch"]
    side_px: Annotated[int, Meta(ge=8, le=4096)]
    filter: Literal["bicubic", "bilinear"]


class Preprocessing(Noun, frozen=True):
    """Pixels of a photo to the input of the encode graph: (pixel * scale - mean) / std between the two resizes.

    Attributes:
        resize: Done first, on 8-bit pixels, with the ``bicubic`` filter.
        scale: Multiplied onto 0..255.
        mean: Subtracted, for red, green, blue.
        std: Divided by, for red, green, blue.
        stretch: Done last, on the normalised values, with the ``bilinear`` filter; absent if ``resize`` gives a square.
    """

    resize: Resize
    scale: Factor
    mean: Factors
    std: Factors
    stretch: Resize | None = None

    @property
    def side_px(self) -> int:
        """Side of the square the encode graph reads."""
        return (self.stretch or self.resize).side_px


class PyramidLevel(Noun, frozen=True):
    """One output level of the encode graph, ``[1, channels, side, side]``."""

    channels: Count
    side: Count


class Vision(Noun, frozen=True):
    """The two graphs and what goes in and out of them.

    Attributes:
        encode: ONNX graph: ``pixels`` -> ``image_embeddings``, ``pyramid_0``, ``pyramid_1``, ...
        regions: ONNX graph: ``pyramid_0``, ..., ``boxes`` -> ``region_embeddings``.
        preprocessing: Photo to ``pixels``.
        n_image_rows: Rows of ``image_embeddings``.
        n_rows_per_region: Rows a region takes in the prompt.
        pyramid: The levels, finest first.
        max_regions: Most boxes in one call.
        dtype: Of the graphs' inputs and outputs.
        external_data: Further files the graphs read their weights from.
    """

    encode: FileEntry
    regions: FileEntry
    preprocessing: Preprocessing
    n_image_rows: Count
    n_rows_per_region: Annotated[int, Meta(ge=1, le=64)]
    pyramid: Annotated[tuple[PyramidLevel, ...], Meta(min_length=1, max_length=8)]
    max_regions: Annotated[int, Meta(ge=1, le=MAX_REGIONS)]
    dtype: Literal["float32"]
    external_data: tuple[FileEntry, ...] = ()


class Detector(Noun, frozen=True):
    """A graph that finds things on a photo by itself, so that their boxes can be proposed; another network's work.

    Attributes:
        graph: ONNX graph, complete in its one file: ``pixels`` -> ``scores``, ``distances``.
        side_px: Side of the square it reads; a multiple of every stride.
        fit: ``letterbox`` keeps the aspect ratio and leaves black bars on two sides; ``stretch`` does not keep it.
        channels: Order of the colours in ``pixels``, ``mean`` and ``std``.
        mean: Subtracted from 0..255.
        std: Divided by.
        strides: Pixels between two cells' centres, one number a level, in the order of the outputs' rows.
        n_bins: Values that a side's distance is a distribution over: 0, 1, ... strides.
        names: What it knows, in the order of its scores.
        threshold: Score from which its makers would trust it.
        overlap: Two boxes of one name with a greater intersection over union are one thing.
    """

    graph: FileEntry
    side_px: Annotated[int, Meta(ge=32, le=2048)]
    fit: Literal["letterbox", "stretch"]
    channels: Literal["rgb", "bgr"]
    mean: Factors
    std: Factors
    strides: Annotated[tuple[Annotated[int, Meta(ge=4, le=256)], ...], Meta(min_length=1, max_length=8)]
    n_bins: Annotated[int, Meta(ge=2, le=64)]
    names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=2000)]
    threshold: Annotated[float, Meta(ge=0, le=1)]
    overlap: Annotated[float, Meta(ge=0, le=1)]

    @property
    def n_cells(self) -> int:
        """Rows of both outputs."""
        return sum((self.side_px // stride) ** 2 for stride in self.strides)


class Language(Noun, frozen=True):
    """The GGUF and the facts of it that the runtime relies on.

    Attributes:
        gguf: The file.
        architecture: ``general.architecture`` of the file.
        embedding_length: Width of a row; also the last axis of both graphs' embeddings.
        vocabulary_size: Number of tokens.
        context_length: Most rows of prompt and answer together.
        special_tokens: Text of every special token that the prompt uses, and its id.
    """

    gguf: FileEntry
    architecture: Literal["llama"]
    embedding_length: Count
    vocabulary_size: Count
    context_length: Annotated[int, Meta(ge=64, le=1 << 20)]
    special_tokens: dict[str, Annotated[int, Meta(ge=0)]]


class TextPiece(Noun, frozen=True, tag="text"):
    """Plain text of the template."""

    text: Text


class TokenPiece(Noun, frozen=True, tag="token"):
    """One special token, by its text in ``special_tokens``."""

    token: Name


class ImagePiece(Noun, frozen=True, tag="image"):
    """The place of the image's rows."""


Piece = TextPiece | TokenPiece | ImagePiece
Pieces = Annotated[tuple[Piece, ...], Meta(max_length=64)]


class Prompt(Noun, frozen=True):
    """How a dialogue is laid out: opening, question, after_question, answer, after_answer, question, ...

    Attributes:
        opening: Before the first question.
        after_question: Between a question and its answer.
        answer_lead: First words of every answer.
        lead_writer: ``model`` if the model writes the lead by itself and it is cut off; ``runtime`` if it is put
            behind the last ``after_question`` for the model to go on from, and shown as part of the answer.
        after_answer: Between an answer and the next question.
        stop: Text that ends an answer.
        reserved: Words a question must not contain.
        space_at_slots: ``dropped`` if white space is cut off a text before it is tokenised, wherever the text touches
            rows of the image or of a region or a special token; ``kept`` if it counts as text.
    """

    opening: Pieces
    after_question: Pieces
    answer_lead: Text
    lead_writer: Literal["model", "runtime"]
    after_answer: Pieces
    stop: Annotated[tuple[Name, ...], Meta(max_length=16)]
    reserved: Annotated[tuple[Name, ...], Meta(max_length=256)]
    space_at_slots: Literal["kept", "dropped"] = "kept"


class Decoding(Noun, frozen=True):
    """What the model's makers recommend; the caller may choose otherwise."""

    temperature: Annotated[float, Meta(ge=0, le=10)]
    max_tokens: Count


class Licence(Noun, frozen=True):
    """Who owns a part, and on what terms.

    Attributes:
        part: What of the bundle.
        spdx: SPDX expression.
        source: Where it comes from: a package and version, or a checkpoint's name.
    """

    part: Name
    spdx: Name
    source: Text


class Input(Noun, frozen=True):
    """One file that a bundle was made from.

    Attributes:
        part: What it was taken for: ``base``, ``delta``, ``checkpoint``, ``clip``.
        name: Its name, without any folder.
        size_bytes: Exact size.
        sha256: Hash of the whole file, 64 hex digits.
    """

    part: Name
    name: Name
    size_bytes: Annotated[int, Meta(ge=0)]
    sha256: Sha256


class Provenance(Noun, frozen=True):
    """What a bundle was made from and how; the same inputs, settings and versions give the same bytes.

    Attributes:
        inputs: Every file that was read.
        settings: What was asked for, by name.
        versions: Of the programs and libraries that made it, by name.
    """

    inputs: Annotated[tuple[Input, ...], Meta(max_length=1024)]
    settings: dict[Name, Text]
    versions: dict[Name, Text]


class Manifest(Noun, frozen=True):
    """The whole of ``manifest.json``.

    Attributes:
        format: Always ``gpt4roi-bundle``.
        version: Version of this specification.
        name: Short name of the model.
        summary: What it is, in a sentence.
        can: What it can do, a line each.
        cannot: What it cannot do, a line each.
        vision: The two graphs.
        language: The GGUF.
        prompt: The template.
        decoding: Recommended settings.
        licences: Of every part.
        detector: A further graph that proposes boxes; absent if the bundle has none.
        provenance: What it was made from; absent where nobody wrote it down.
    """

    format: Literal["gpt4roi-bundle"]
    version: Literal[1]
    name: Name
    summary: Text
    can: tuple[Text, ...]
    cannot: tuple[Text, ...]
    vision: Vision
    language: Language
    prompt: Prompt
    decoding: Decoding
    licences: Annotated[tuple[Licence, ...], Meta(min_length=1)]
    detector: Detector | None = None
    provenance: Provenance | None = None

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file the manifest names."""
        detector = () if self.detector is None else (self.detector.graph,)
        return (self.vision.encode, self.vision.regions, *self.vision.external_data, self.language.gguf, *detector)
