from pathlib import Path

import pytest
from gguf import TokenType

from gpt4roi_export.language.vocabulary import read_vocabulary
from gpt4roi_runtime.errors import BundleError
from tests.export.language.made import ADDED, N_PIECES, N_ROWS, write_tokenizer

IDS = {text: N_PIECES + place for text, place in ADDED.items()}


def decoder(ids: dict[str, int]) -> dict[str, dict[str, object]]:
    return {str(number): {"content": text, "special": True, "lstrip": False} for text, number in ids.items()}


def test_ids_are_those_of_the_files_in_whatever_order(tmp_path: Path) -> None:
    shuffled = {"<point>": N_PIECES, "<bbox>": N_PIECES + 4, "<im_end>": N_PIECES + 2, "<im_start>": N_PIECES + 1}
    vocabulary = read_vocabulary(write_tokenizer(tmp_path, added_tokens=shuffled), N_ROWS)
    assert vocabulary.added == shuffled
    assert list(vocabulary.added.values()) == sorted(shuffled.values())
    assert vocabulary.id_of("<bbox>") == N_PIECES + 4
    assert vocabulary.text_of(N_PIECES + 4) == "<bbox>"


def test_a_token_for_every_row(tmp_path: Path) -> None:
    vocabulary = read_vocabulary(write_tokenizer(tmp_path, added_tokens={"<bbox>": N_PIECES + 2}), N_ROWS)
    assert len(vocabulary.tokens) == N_ROWS
    kinds = {number: vocabulary.tokens[number].kind for number in range(N_PIECES, N_ROWS)}
    assert kinds.pop(N_PIECES + 2) is TokenType.CONTROL
    assert set(kinds.values()) == {TokenType.UNUSED}
    assert len({token.text for token in vocabulary.tokens}) == N_ROWS


def test_a_base_without_added_tokens(tmp_path: Path) -> None:
    vocabulary = read_vocabulary(write_tokenizer(tmp_path, added_tokens={}), N_PIECES)
    assert vocabulary.added == {}
    with pytest.raises(BundleError, match=r"no token '<bbox>'\nIt has none added"):
        vocabulary.id_of("<bbox>")


def test_added_tokens_of_newer_files(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path, tokenizer_config={"added_tokens_decoder": decoder({**IDS, "<s>": 1})})
    (folder / "added_tokens.json").unlink()
    assert read_vocabulary(folder, N_ROWS).added == IDS


def test_both_kinds_of_files_may_say_the_same(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path, tokenizer_config={"added_tokens_decoder": decoder(IDS)})
    assert read_vocabulary(folder, N_ROWS).added == IDS


# --- beginning and end ------------------------------------------------------------------------------------------------


def test_bos_and_eos_of_the_pieces_by_default(tmp_path: Path) -> None:
    vocabulary = read_vocabulary(write_tokenizer(tmp_path), N_ROWS)
    assert (vocabulary.unknown, vocabulary.bos, vocabulary.eos) == (0, 1, 2)
    assert vocabulary.id_of("<s>") == 1
    assert vocabulary.add_bos
    assert vocabulary.add_space_prefix


def test_the_files_may_begin_a_text_with_its_end(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path, special_tokens_map={"bos_token": "</s>", "eos_token": {"content": "</s>"}})
    vocabulary = read_vocabulary(folder, N_ROWS)
    assert (vocabulary.bos, vocabulary.eos) == (2, 2)


def test_the_map_goes_before_the_config_and_says_nothing_with_an_empty_text(tmp_path: Path) -> None:
    folder = write_tokenizer(
        tmp_path,
        tokenizer_config={"bos_token": "<s>", "eos_token": {"content": "<s>", "lstrip": False}, "add_bos_token": False},
        special_tokens_map={"bos_token": "</s>", "eos_token": ""},
    )
    vocabulary = read_vocabulary(folder, N_ROWS)
    assert (vocabulary.bos, vocabulary.eos) == (2, 1)
    assert not vocabulary.add_bos


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"added_tokens": {"<bbox>": 1}}, "adds '<bbox>' as 1, which is '<s>'"),
        ({"added_tokens": {"<bbox>": N_ROWS}}, f"has {N_ROWS + 1} tokens, the model {N_ROWS} rows"),
        ({"added_tokens": {"<bbox>": N_PIECES, "<point>": N_PIECES}}, "two tokens with one id"),
        ({"added_tokens": {"the": N_PIECES}}, "two tokens with the same text"),
        ({"added_tokens": {"": N_PIECES}}, "none empty"),
        ({"added_tokens": {"<bbox>": -1}}, "not what a tokenizer has"),
        ({"added_tokens": {"<bbox>": 1 << 40}}, "not what a tokenizer has"),
        ({"added_tokens": {"<bbox>": "7"}}, "not what a tokenizer has"),
        ({"added_tokens": ["<bbox>"]}, "not what a tokenizer has"),
        ({"tokenizer_config": {"added_tokens_decoder": decoder({"<bbox>": N_PIECES})}}, "gives '<bbox>' the id"),
        ({"tokenizer_config": {"added_tokens_decoder": {"x": {"content": "<b>"}}}}, "as 'x', expected a number"),
        ({"tokenizer_config": {"added_tokens_decoder": {"9" * 5000: {"content": "<b>"}}}}, "expected a number"),
        ({"tokenizer_config": {"add_eos_token": True}}, "wants an end after every text"),
        ({"tokenizer_config": {"bos_token": "<start>"}}, "bos_token is '<start>', which is none of its tokens"),
        ({"special_tokens_map": {"eos_token": 7}}, "not what a tokenizer has"),
    ],
)
def test_files_that_contradict_one_another(files: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=words):
        read_vocabulary(write_tokenizer(tmp_path, **files), N_ROWS)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b'{"\xff": 1}', b"\0" * 100])
def test_json_that_is_none(content: bytes, tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path)
    (folder / "added_tokens.json").write_bytes(content)
    with pytest.raises(BundleError, match="not what a tokenizer has"):
        read_vocabulary(folder, N_ROWS)


def test_json_without_end(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path)
    with (folder / "special_tokens_map.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="longer than"):
        read_vocabulary(folder, N_ROWS)


def test_more_pieces_than_rows(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"has {N_PIECES} tokens, the model 100 rows"):
        read_vocabulary(write_tokenizer(tmp_path, added_tokens={}), 100)


def test_no_tokenizer_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot read .*tokenizer\.model"):
        read_vocabulary(tmp_path, N_ROWS)
