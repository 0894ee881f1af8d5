import json
from pathlib import Path
from typing import Any

import pytest

from gpt4roi_desktop import edits, session_file, talk
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.session import Chip, Session, Timing
from gpt4roi_runtime.errors import InputError, OutputError
from gpt4roi_runtime.geometry import Box
from tests.desktop.fakes import session


def full() -> Session:
    state = edits.lock(edits.add(session(), [Box(0, 0, 20, 20), Box(30, 30, 60, 60)]), [2])
    state, exchange = talk.ask(state, ("What is ", Chip(2), "?"))
    state = talk.finish(state, exchange, "a cup", Timing(0.1, None, 1, 40))
    state = edits.write(talk.begin_dialogue(state), ("And ", Chip(3), "?"))
    return edits.select(state, ())


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.gpt4roi.json"
    session_file.save(path, full())
    assert session_file.load(path) == full()


def test_a_question_that_was_being_answered_comes_back_as_stopped() -> None:
    state, exchange = talk.ask(full(), ("Why?",))
    back = session_file.from_bytes(session_file.as_bytes(talk.hear(state, exchange, "beca"))).exchange(exchange)
    assert back is not None
    assert (back.state, back.answer) == ("stopped", "beca")


def changed(**parts: Any) -> bytes:
    return json.dumps({**json.loads(session_file.as_bytes(full())), **parts}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        b"null",
        changed(version=2),
        changed(format="other"),
        changed(extra=1),
        changed(regions=[{"id": 2, "box": [0, 0, 900, 20]}]),
        changed(regions=[{"id": 2, "box": [20, 0, 10, 20]}]),
        changed(regions=[{"id": 2, "box": [0, 0, 10]}]),
        changed(regions=[{"id": 2, "box": [0, 0, 9, 9]}, {"id": 2, "box": [0, 0, 8, 8]}]),
        changed(regions=[{"id": 2, "box": [0, 0, 1e400, 9]}]),
        changed(regions=[{"id": -1, "box": [0, 0, 9, 9]}]),
        changed(photo={"path": "x", "sha256": "../../x", "width_px": 9, "height_px": 9}),
        changed(photo={"path": "", "sha256": "0" * 64, "width_px": 9, "height_px": 9}),
        changed(next_id=1 << 60),
    ],
)
def test_a_strangers_file_is_refused_with_words(content: bytes) -> None:
    with pytest.raises(InputError) as caught:
        session_file.from_bytes(content)
    assert caught.value.advice


def test_ids_to_come_are_new_even_if_the_file_lies() -> None:
    assert session_file.from_bytes(changed(next_id=1)).next_id == full().next_id


def test_a_chip_of_no_region_falls_out_of_the_draft() -> None:
    assert session_file.from_bytes(changed(draft=["a ", {"region": 77}])).draft == ("a ",)


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="not a file"):
        session_file.load(tmp_path)
    large = tmp_path / "large.gpt4roi.json"
    large.write_bytes(b" " * 100)
    monkeypatch.setattr(session_file, "MAX_FILE_BYTES", 99)
    with pytest.raises(InputError, match="larger"):
        session_file.load(large)


def test_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        session_file.save(tmp_path / "none" / "a.gpt4roi.json", full())


class TestPlaces:
    def test_a_kept_session_is_found_by_its_photo(self, tmp_path: Path) -> None:
        places = Places(tmp_path / "new")
        places.keep(full())
        assert places.kept("0" * 64) == full()
        assert places.kept("1" * 64) is None

    def test_a_damaged_one_is_said_and_can_be_laid_aside(self, tmp_path: Path) -> None:
        places = Places(tmp_path)
        places.keep(full())
        places.autosaved("0" * 64).write_bytes(b"{")
        with pytest.raises(InputError, match="not a session"):
            places.kept("0" * 64)
        assert places.lay_aside("0" * 64).read_bytes() == b"{"
        assert places.kept("0" * 64) is None
        with pytest.raises(OutputError, match="cannot move"):
            places.lay_aside("0" * 64)

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(OutputError):
            Places(tmp_path / "file").keep(full())
