"""Texts become the ids that the authors' tokenizer gives them: transformers' slow LlamaTokenizer, kept as goldens."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from gpt4roi_export.gpt4roi_prompt import gpt4roi_prompt
from gpt4roi_export.language.vocabulary import Vocabulary
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.bundle.manifest import Prompt
from gpt4roi_runtime.errors import QuestionError
from gpt4roi_runtime.prompt import (
    Chunk,
    ImageSlot,
    RegionSlot,
    TextChunk,
    TokenChunk,
    Turn,
    as_text,
    as_tokenised,
    lay_out,
)

PROMPTS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "golden" / "prompts.json").read_text(encoding="utf-8")
)
DROPPED = gpt4roi_prompt("<s>")
KEPT = msgspec.structs.replace(DROPPED, space_at_slots="kept")
SHORT_IMAGE = "<im_patch>*256"
LIKELY = st.text(alphabet=" \n\tabdeginorst.,?#<>_0129▁éß犬🐶'", max_size=40)


class Reader:
    """Chunks -> ids, as the pipeline reads them; rows of a slot as the ids of the words that stand for them."""

    def __init__(self, decoder: LlamaCppDecoder, vocabulary: Vocabulary) -> None:
        self._decoder = decoder
        self._vocabulary = vocabulary
        self._words = re.compile("|".join(map(re.escape, vocabulary.added)))

    def ids(self, chunks: Sequence[Chunk]) -> list[int]:
        return [number for chunk in chunks for number in self._ids_of(chunk)]

    def chunks(self, text: str) -> Iterator[Chunk]:
        """A text with the added words written out, in runs."""
        position = 0
        for word in self._words.finditer(text.replace(SHORT_IMAGE, "<im_patch>" * 256)):
            if word.start() > position:
                yield TextChunk(word.string[position : word.start()])
            yield TokenChunk(word[0])
            position = word.end()
        if rest := text.replace(SHORT_IMAGE, "<im_patch>" * 256)[position:]:
            yield TextChunk(rest)

    def _ids_of(self, chunk: Chunk) -> Sequence[int]:
        match chunk:
            case TextChunk():
                return self._decoder.tokenize(chunk.text)
            case TokenChunk():
                return (self._decoder.special_token(chunk.token),)
            case ImageSlot():
                return (self._vocabulary.id_of("<im_patch>"),) * 256
            case RegionSlot():
                return (self._vocabulary.id_of("<bbox>"),)


@pytest.fixture(scope="module")
def reader(llama_tokenizer: LlamaCppDecoder, llama_vocabulary: Vocabulary) -> Reader:
    return Reader(llama_tokenizer, llama_vocabulary)


def prompt_ids(reader: Reader, template: Prompt, dialogue: dict[str, Any]) -> list[int]:
    *earlier, (question, _) = dialogue["turns"]
    return reader.ids(as_tokenised(template, lay_out(template, [Turn(*turn) for turn in earlier], question)))


# --- goldens ----------------------------------------------------------------------------------------------------------


def test_added_tokens_have_the_golden_ids(llama_tokenizer: LlamaCppDecoder, golden_ids: dict[str, Any]) -> None:
    assert {text: llama_tokenizer.special_token(text) for text in golden_ids["added"]} == golden_ids["added"]
    assert llama_tokenizer.special_token("<s>") == golden_ids["bos"]


def test_every_golden_text_has_the_golden_ids(reader: Reader, golden_ids: dict[str, Any]) -> None:
    assert len(golden_ids["texts"]) > 150
    for golden in golden_ids["texts"]:
        chunks = as_tokenised(DROPPED, tuple(reader.chunks(golden["text"])))
        assert [golden_ids["bos"], *reader.ids(chunks)] == golden["ids"], golden["text"]


@pytest.mark.parametrize("dialogue", PROMPTS, ids=range(len(PROMPTS)))
def test_prompts_as_we_lay_them_out_have_the_golden_ids(
    dialogue: dict[str, Any], reader: Reader, golden_ids: dict[str, Any]
) -> None:
    (golden,) = [golden for golden in golden_ids["texts"] if golden["text"] == dialogue["prompt"]]
    assert prompt_ids(reader, DROPPED, dialogue) == golden["ids"]


@pytest.mark.parametrize("dialogue", PROMPTS, ids=range(len(PROMPTS)))
def test_with_the_space_kept_they_would_not(
    dialogue: dict[str, Any], reader: Reader, golden_ids: dict[str, Any]
) -> None:
    (golden,) = [golden for golden in golden_ids["texts"] if golden["text"] == dialogue["prompt"]]
    assert prompt_ids(reader, KEPT, dialogue) != golden["ids"]


def test_dropping_the_space_changes_no_word_of_the_prompt() -> None:
    chunks = lay_out(DROPPED, [], PROMPTS[0]["turns"][0][0])
    assert as_text(chunks, 256) == f"<s>{PROMPTS[0]['prompt']}"


# --- llama.cpp against sentencepiece ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sentencepiece(tokens_dir: Path) -> SentencePieceProcessor:
    return SentencePieceProcessor(model_proto=(tokens_dir / "tokenizer.model").read_bytes())


@settings(max_examples=300)
@given(text=LIKELY | st.text(max_size=30))
def test_any_text_is_split_as_sentencepiece_splits_it(
    text: str, llama_tokenizer: LlamaCppDecoder, sentencepiece: SentencePieceProcessor
) -> None:
    assert list(llama_tokenizer.tokenize(text)) == sentencepiece.encode(text)


# --- what a user types is never a special token -----------------------------------------------------------------------


@pytest.mark.parametrize("word", ["<s>", "</s>", "<unk>", "<bbox>", "<im_start>", "<unused 32007>", "<0x0A>"])
def test_typed_words_are_plain_text(word: str, llama_tokenizer: LlamaCppDecoder, llama_vocabulary: Vocabulary) -> None:
    spelled = [llama_vocabulary.text_of(number) for number in llama_tokenizer.tokenize(word)]
    assert len(spelled) > 1
    assert "".join(spelled) == "▁" + word.replace(" ", "▁")


def test_half_a_character_is_refused(llama_tokenizer: LlamaCppDecoder) -> None:
    with pytest.raises(QuestionError, match="not a character"):
        llama_tokenizer.tokenize("a\ud800")
