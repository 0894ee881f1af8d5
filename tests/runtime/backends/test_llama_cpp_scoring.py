"""How texts are packed into calls."""

from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_runtime.backends.llama_cpp_scoring import Fed, as_calls

TEXTS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=9), min_size=1, max_size=12)


@given(TEXTS, st.integers(1, 5), st.integers(0, 6))
def test_every_row_is_fed_once_in_order_and_fits(texts: list[list[int]], n_at_once: int, n_more: int) -> None:
    n_free = max(1, max(map(len, texts)) - 1 + n_more)
    fed: dict[int, list[int]] = {}
    sequence_of: dict[int, int] = {}
    held: dict[int, int] = {}
    for call in as_calls(texts, range(1, n_at_once + 1), n_at_once, n_free):
        assert 1 <= len(call) <= n_at_once
        for row in call:
            fed.setdefault(row.text, []).append(row.place)
            assert sequence_of.setdefault(row.text, row.sequence) == row.sequence
            held[row.text] = held.get(row.text, 0) + 1
        assert sum(held.values()) <= n_free
        assert len({sequence_of[text] for text in held}) == len(held)
        held = {text: n for text, n in held.items() if n < len(texts[text]) - 1}
        assert len(held) <= 1
    assert not held
    assert fed == {text: list(range(len(tokens) - 1)) for text, tokens in enumerate(texts) if len(tokens) > 1}


def test_calls_do_not_depend_on_the_order_of_texts() -> None:
    texts = [(5, 6, 7), (1, 2), (3,), (5, 6)]

    def calls(order: list[int]) -> list[list[tuple[tuple[int, ...], int, int]]]:
        given = [texts[index] for index in order]
        return [
            [(given[row.text], row.place, row.sequence) for row in call] for call in as_calls(given, range(1, 4), 3, 99)
        ]

    assert calls([0, 1, 2, 3]) == calls([3, 2, 1, 0]) == calls([2, 0, 3, 1])


def test_one_row_at_a_time_takes_turns_in_one_sequence() -> None:
    assert list(as_calls([(8, 9), (1, 2, 3)], [0], 1, 2)) == [(Fed(1, 0, 0),), (Fed(1, 1, 0),), (Fed(0, 0, 0),)]
