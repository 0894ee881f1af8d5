from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from gguf import TokenType
from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_export.language.sentencepiece_model import Piece, read_sentencepiece_model
from gpt4roi_runtime.errors import BundleError
from tests.export.language.made import N_PIECES, NORMAL, model_proto, write_tokenizer


def written(folder: Path, model: Any) -> Path:
    return write_tokenizer(folder, model) / "tokenizer.model"


def test_pieces_keep_their_order_text_score_and_kind(tmp_path: Path) -> None:
    model = read_sentencepiece_model(written(tmp_path, model_proto()))
    assert len(model.pieces) == N_PIECES
    assert model.pieces[0] == Piece("<unk>", 0.0, TokenType.UNKNOWN)
    assert model.pieces[2] == Piece("</s>", 0.0, TokenType.CONTROL)
    assert model.pieces[3 + 0x0A] == Piece("<0x0A>", 0.0, TokenType.BYTE)
    assert model.pieces[3 + 256 + 1] == Piece("a", -1.0, TokenType.NORMAL)
    assert (model.unknown, model.bos, model.eos, model.adds_space) == ("<unk>", "<s>", "</s>", True)


def test_llamas_own(tokens_dir: Path) -> None:
    model = read_sentencepiece_model(tokens_dir / "tokenizer.model")
    assert len(model.pieces) == 32000
    assert model.pieces[29871].text == "▁"
    assert model.pieces[835].text == "▁###"


def test_a_model_that_puts_no_space_before_a_text(tmp_path: Path) -> None:
    model = model_proto()
    model.normalizer_spec.add_dummy_prefix = False
    assert not read_sentencepiece_model(written(tmp_path, model)).adds_space


def test_a_model_without_bos(tmp_path: Path) -> None:
    model = model_proto()
    model.trainer_spec.bos_id = -1
    assert read_sentencepiece_model(written(tmp_path, model)).bos == ""


@pytest.mark.parametrize(
    ("place", "setting", "value", "words"),
    [
        ("trainer_spec", "model_type", 1, "model type is 1, expected 2"),
        ("trainer_spec", "byte_fallback", False, "byte_fallback is False"),
        ("trainer_spec", "treat_whitespace_as_suffix", True, "treat_whitespace_as_suffix is True"),
        ("normalizer_spec", "remove_extra_whitespaces", True, "remove_extra_whitespaces is True"),
        ("normalizer_spec", "escape_whitespaces", False, "escape_whitespaces is False"),
        ("normalizer_spec", "precompiled_charsmap", b"nfkc", "precompiled_charsmap is b'nfkc'"),
        ("trainer_spec", "eos_id", 100000, "names piece 100000"),
        ("trainer_spec", "unk_id", -1, "no piece for the unknown"),
    ],
)
def test_what_llama_cpp_would_not_follow_is_refused(
    place: str, setting: str, value: object, words: str, tmp_path: Path
) -> None:
    model = model_proto()
    setattr(getattr(model, place), setting, value)
    with pytest.raises(BundleError, match=words):
        read_sentencepiece_model(written(tmp_path, model))


@pytest.mark.parametrize(
    ("number", "change", "words"),
    [
        (300, {"piece": "a"}, "same text"),
        (300, {"piece": ""}, "piece 300 is ''"),
        (300, {"piece": "a\0b"}, "without NUL"),
        (300, {"piece": "x" * 2000}, "expected 1 to 1024 bytes"),
        (300, {"score": float("nan")}, "score nan"),
        (300, {"score": float("-inf")}, "score -inf"),
        (3 + 65, {"piece": "<0x4>"}, "255 byte pieces|256 byte pieces"),
        (3 + 65, {"type": NORMAL}, "255 byte pieces"),
    ],
)
def test_pieces_that_would_end_llama_cpp_are_refused(
    number: int, change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    model = model_proto()
    for field, value in change.items():
        setattr(model.pieces[number], field, value)
    with pytest.raises(BundleError, match=words):
        read_sentencepiece_model(written(tmp_path, model))


def test_no_pieces(tmp_path: Path) -> None:
    model = model_proto()
    del model.pieces[:]
    with pytest.raises(BundleError, match="0 pieces"):
        read_sentencepiece_model(written(tmp_path, model))


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(BundleError, match="cannot read"):
            read_sentencepiece_model(path)


def test_a_file_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="longer than"):
        read_sentencepiece_model(path)


WHOLE = model_proto().SerializeToString()


@given(
    cut=st.integers(0, len(WHOLE)),
    place=st.integers(0, len(WHOLE) - 1),
    put=st.binary(min_size=0, max_size=8),
)
def test_a_damaged_file_is_read_or_refused(
    cut: int, place: int, put: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged", numbered=True) / "tokenizer.model"
    path.write_bytes((WHOLE[:place] + put + WHOLE[place + len(put) :])[:cut])
    with suppress(BundleError):  # and nothing else
        assert read_sentencepiece_model(path).pieces
