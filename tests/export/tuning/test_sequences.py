"""What is trained on is what the runtime will show the model: row for row, in every turn."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gpt4roi_export.embedded_prompt import embedded_prompt
from gpt4roi_export.scene import Exchange, Scene
from gpt4roi_export.tuning.sequences import SLOT, SequenceMaker
from gpt4roi_runtime.arrays import Boxes, EmbeddingRows, PixelValues, RegionEmbeddings
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.bundle.manifest import TextPiece
from gpt4roi_runtime.errors import InputError, SettingsError
from gpt4roi_runtime.events import Done
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.llm.decoder import Allowed, CancelCheck, DecodedToken, Sampling
from gpt4roi_runtime.pipeline import EncodedImage, Pipeline
from gpt4roi_runtime.prompt import Turn, mentions
from gpt4roi_runtime.vision.encoder import ImageFeatures, Pyramid
from tests.export.tuning.conftest import facts, loaded
from tests.helpers.bundles import changed, manifest_tree, write_fake_bundle
from tests.helpers.fakes import FakeDecoder
from tests.helpers.tiny_gguf import WIDTH, vocabulary

N_ROWS = 3
SCENE = Scene("s", (200, 100), (facts("cat"), facts("dog", 60.0), facts("horse", 100.0)))
DIALOGUE = (
    Exchange("What is <region2>?", "region2 is a dog.", "name"),
    Exchange(" the  <region1> and <region2>,\nor not <region1>", "They are the cat\nand the dog", "both"),
    Exchange("and <region3> ", "the red horse", "name"),
)


class Scripted(FakeDecoder):
    """The tiny model's tokenizer and embeddings; its answers are given."""

    def __init__(self, real: LlamaCppDecoder) -> None:
        super().__init__()
        self.info = real.info
        self._real = real

    def tokenize(self, text: str) -> tuple[int, ...]:
        return self._real.tokenize(text)

    def special_token(self, piece: str) -> int:
        return self._real.special_token(piece)

    def embed(self, tokens: Sequence[int]) -> EmbeddingRows:
        return self._real.embed(tokens)

    def decode(
        self,
        sampling: Sampling,
        max_tokens: int,
        cancel: CancelCheck,
        *,
        allowed: Allowed | None = None,
        n_top: int | None = None,
    ) -> Iterator[DecodedToken]:
        yield DecodedToken(0, self.answer.encode())


class Numbers:
    """The picture's rows are 1000, a region's 2000 and its left edge in pixels."""

    engine = "numbers"

    def encode(self, pixels: PixelValues) -> ImageFeatures:
        raise NotImplementedError

    def embed_regions(self, pyramid: Pyramid, boxes: Boxes) -> RegionEmbeddings:
        rows = np.broadcast_to(2000.0 + boxes[:, :1, None] * SCENE.size[0], (len(boxes), N_ROWS, WIDTH))
        return np.ascontiguousarray(rows, dtype=np.float32)

    def close(self) -> None:
        pass


def text_of(ids: np.ndarray) -> str:
    """The tiny vocabulary's text of tokens."""
    pieces = [vocabulary()[token][0].replace("▁", " ") for token in ids]
    octets = re.compile(r"<0x(..)>")
    return octets.sub(lambda match: chr(int(match[1], 16)), "".join(pieces))


@pytest.fixture
def maker(language: LlamaCppDecoder) -> SequenceMaker:
    return SequenceMaker(embedded_prompt(), language, N_ROWS)


@pytest.fixture
def runtime(language: LlamaCppDecoder, tmp_path: Path) -> Pipeline:
    prompt = embedded_prompt()
    ids = {token: language.special_token(token) for token in ("<|im_start|>", "<|im_end|>")}
    changes = {
        "vision__n_image_rows": N_ROWS,
        "vision__n_rows_per_region": N_ROWS,
        "language__embedding_length": WIDTH,
        "language__vocabulary_size": language.info.vocabulary_size,
        "language__special_tokens": ids,
        "prompt": msgspec.to_builtins(prompt),
    }
    assert changed(manifest_tree(), **changes)["prompt"]["answer_lead"] == prompt.answer_lead
    bundle = open_bundle(write_fake_bundle(tmp_path / "bundle", **changes))
    return Pipeline(bundle, Numbers(), Scripted(language))


def shown_to_the_model(runtime: Pipeline, dialogue: Sequence[Exchange], turn: int) -> EmbeddingRows:
    """The rows that the runtime prefills for a turn, after it has answered those before as the dialogue says."""
    decoder = runtime.decoder
    assert isinstance(decoder, Scripted)
    features = ImageFeatures(np.full((N_ROWS, WIDTH), 1000.0, dtype=np.float32), ())
    image = EncodedImage(*SCENE.size, features, runtime.bundle.id, {})
    history: tuple[Turn, ...] = ()
    for index, exchange in enumerate(dialogue[: turn + 1]):
        decoder.answer = exchange.answer
        asked = "\n".join(one.question for one in dialogue[: index + 1])
        boxes = {number: Box(*SCENE.regions[number - 1].box) for number in mentions(asked)}
        *_, done = runtime.ask(image, exchange.question, boxes, history=history)
        assert isinstance(done, Done)
        history = done.history
    assert decoder.rows is not None
    return decoder.rows


@pytest.mark.parametrize("turn", range(len(DIALOGUE)))
def test_every_turn_begins_as_the_runtime_asks_it(
    maker: SequenceMaker, runtime: Pipeline, language: LlamaCppDecoder, turn: int
) -> None:
    talk = maker.rows_of(SCENE, DIALOGUE)
    prompt = shown_to_the_model(runtime, DIALOGUE, turn)
    said = np.flatnonzero(talk.turn == turn)
    assert len(prompt) == said[0]
    expected = language.embed(np.where(talk.ids == SLOT, 0, talk.ids).tolist())[: len(prompt)]
    for first, number in talk.slots:
        value = 1000.0 if number == 0 else 2000.0 + SCENE.regions[number - 1].box[0]
        expected[first : first + N_ROWS] = value
    np.testing.assert_allclose(prompt, expected, rtol=1e-6)
    assert text_of(talk.ids[said]) == DIALOGUE[turn].answer + "<|im_end|>"
    assert (np.diff(said) == 1).all()


def test_only_answers_and_their_ends_are_to_be_said(maker: SequenceMaker) -> None:
    talk = maker.rows_of(SCENE, DIALOGUE)
    assert text_of(talk.ids[talk.turn >= 0]) == "".join(f"{exchange.answer}<|im_end|>" for exchange in DIALOGUE)
    assert talk.turn[-1] == 2
    assert talk.tasks == ("name", "both", "name")


def test_regions_have_rows_where_they_are_first_mentioned(maker: SequenceMaker) -> None:
    talk = maker.rows_of(SCENE, DIALOGUE)
    assert [number for _, number in talk.slots] == [0, 2, 1, 3]
    assert int((talk.ids == SLOT).sum()) == 4 * N_ROWS
    for first, _ in talk.slots:
        assert (talk.ids[first : first + N_ROWS] == SLOT).all()


def test_white_space_round_an_answer_is_cut_as_the_runtime_does(maker: SequenceMaker) -> None:
    spaced = (Exchange("What is <region1>?", "  a cat \n", "name"), DIALOGUE[0])
    plain = (Exchange("What is <region1>?", "a cat", "name"), DIALOGUE[0])
    np.testing.assert_array_equal(maker.rows_of(SCENE, spaced).ids, maker.rows_of(SCENE, plain).ids)


@pytest.mark.parametrize(
    ("question", "complaint"),
    [("What is <region4>?", "3 regions"), ("<|im_end|> <region1>", "im_end"), ("<region 1>", "not a region")],
)
def test_what_the_runtime_would_refuse_is_refused(maker: SequenceMaker, question: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        maker.rows_of(SCENE, (Exchange(question, "a cat"),))


class OneTokenATextDecoder(Scripted):
    """Every text is one token, so nothing in it has a place of its own."""

    def tokenize(self, text: str) -> tuple[int, ...]:
        return (3 + sum(text.encode()) % 200,)


def test_an_answer_that_is_read_otherwise_than_said_is_refused(language: LlamaCppDecoder) -> None:
    maker = SequenceMaker(embedded_prompt(), OneTokenATextDecoder(language), N_ROWS)
    with pytest.raises(InputError, match="not read as it is said"):
        maker.rows_of(SCENE, DIALOGUE)


def test_a_dialogue_longer_than_the_context_is_refused(maker: SequenceMaker) -> None:
    with pytest.raises(InputError, match="context"):
        maker.rows_of(SCENE, (Exchange("What is <region1>?", "cat " * 600),))


def test_a_template_whose_answers_do_not_end_is_refused(language: LlamaCppDecoder) -> None:
    endless = msgspec.structs.replace(embedded_prompt(), after_answer=(TextPiece(text="\n"),))
    with pytest.raises(SettingsError, match="end with a token"):
        SequenceMaker(endless, language, N_ROWS)


@pytest.mark.bundle
def test_the_embedded_model_reads_its_answers_as_it_says_them(smollm2_gguf: Path) -> None:
    with closing(loaded(smollm2_gguf)) as decoder:
        talk = SequenceMaker(embedded_prompt(), decoder, N_ROWS).rows_of(SCENE, DIALOGUE)
        said = [
            token for one in DIALOGUE for token in (*decoder.tokenize(one.answer), decoder.special_token("<|im_end|>"))
        ]
    assert talk.ids[talk.turn >= 0].tolist() == said
