from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt4roi_export.released.tokenizer_files import count_pieces
from gpt4roi_export.synthesis.tokenizer import little_vocabulary, model_proto

PIECES = little_vocabulary()


@pytest.fixture(scope="module")
def processor() -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=model_proto(PIECES))


def test_it_is_laid_out_as_llamas(processor: sentencepiece.SentencePieceProcessor) -> None:
    assert processor.vocab_size() == len(PIECES)
    assert [processor.id_to_piece(number) for number in range(5)] == ["<unk>", "<s>", "</s>", "<0x00>", "<0x01>"]
    assert (processor.unk_id(), processor.bos_id(), processor.eos_id(), processor.pad_id()) == (0, 1, 2, -1)
    assert processor.is_byte(258)
    assert not processor.is_byte(259)


def test_no_piece_is_there_twice() -> None:
    assert len({text for text, _, _ in PIECES}) == len(PIECES)


def test_words_of_the_prompt_are_one_piece_each(processor: sentencepiece.SentencePieceProcessor) -> None:
    words = ["provides", "an", "overview", "of", "the", "picture"]
    assert processor.encode(" ".join(words), out_type=str) == [f"\u2581{word}" for word in words]


def test_filling_up_changes_no_text(processor: sentencepiece.SentencePieceProcessor) -> None:
    filled = little_vocabulary(32000)
    assert len({text for text, _, _ in filled}) == 32000
    large = sentencepiece.SentencePieceProcessor(model_proto=model_proto(filled))
    text = "What is this ~00001~ in the red region?\n### "
    assert large.encode(text, out_type=str) == processor.encode(text, out_type=str)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\u2581"), max_size=30))
def test_any_text_comes_back(processor: sentencepiece.SentencePieceProcessor, text: str) -> None:
    assert processor.decode(processor.encode(text)) == text


def test_pieces_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model_proto(PIECES))
    assert count_pieces(path) == len(PIECES)
