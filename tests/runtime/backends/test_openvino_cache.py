"""Folders of compiled graphs: what is kept, for how long, and what is not believed. Needs no engine."""

import os
from pathlib import Path

import pytest

from gpt4roi_runtime.backends.openvino_cache import CompiledCache


def _kept(cache: CompiledCache, name: str, n_bytes: int) -> dict[str, str]:
    """Keep a compiled graph of that many bytes, a second younger than those before."""
    facts = {"graph": name}
    aside = cache.aside(n_bytes)
    assert aside is not None
    (aside / "1.blob").write_bytes(bytes(n_bytes))
    cache.seal(aside, facts)
    return facts


def _age(folder: Path | None, seconds: float) -> None:
    assert folder is not None
    then = folder.stat().st_mtime - seconds
    os.utime(folder, (then, then))


def test_what_was_sealed_is_found_by_all_its_facts(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path / "cache")
    facts = _kept(cache, "one", 10)
    assert cache.sealed({**facts, "processor": "another"}) is None
    place = cache.sealed(facts)
    assert place is not None
    assert (place / "1.blob").read_bytes() == bytes(10)


def test_what_was_used_longest_ago_makes_way(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path, most_bytes=2500)
    first, second = _kept(cache, "first", 1000), _kept(cache, "second", 1000)
    for facts, seconds in ((first, 200.0), (second, 100.0)):
        _age(cache.sealed(facts), seconds)
    assert cache.sealed(first) is not None  # used, so now the second is the oldest
    third = _kept(cache, "third", 1000)
    assert [cache.sealed(facts) is not None for facts in (first, second, third)] == [True, False, True]


def test_a_graph_that_has_no_room_is_not_kept(tmp_path: Path) -> None:
    assert CompiledCache(tmp_path, most_bytes=99).aside(100) is None
    assert CompiledCache(tmp_path, most_bytes=1 << 62).aside(1 << 61) is None
    assert list(tmp_path.iterdir()) == []


def test_nothing_written_is_nothing_kept(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path)
    aside = cache.aside(1)
    assert aside is not None
    cache.seal(aside, {"graph": "one"})
    assert cache.sealed({"graph": "one"}) is None
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_after_a_day(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path)
    left, fresh = cache.aside(1), cache.aside(1)
    assert left is not None
    assert fresh is not None
    _age(left, 25 * 3600)
    _kept(cache, "one", 10)
    assert not left.exists()
    assert fresh.exists()


@pytest.mark.parametrize("seal", [b"", b"[]", b"[" * 100_000, b'{"1.blob": 7}', b'{"1.blob": "00", "2.blob": "00"}'])
def test_a_seal_that_does_not_hold_takes_its_graph_along(tmp_path: Path, seal: bytes) -> None:
    cache = CompiledCache(tmp_path)
    facts = _kept(cache, "one", 10)
    place = cache.sealed(facts)
    assert place is not None
    (place / "sealed.json").write_bytes(seal)
    assert cache.sealed(facts) is None
    assert not place.exists()
