"""The text of grammars; what llama.cpp makes of it stands in test_llama_cpp_choices."""

import re

from hypothesis import given
from hypothesis import strategies as st

from gpt4roi_runtime.backends.llama_cpp_grammar import grammar_of, literal
from gpt4roi_runtime.llm.decoder import Allowed


def test_a_short_list() -> None:
    assert grammar_of(Allowed(("yes", "no"))) == ('root ::= space rest-0\nrest-0 ::= "no" | "yes"\nspace ::= " "?\n')


def test_texts_with_a_common_beginning_share_it() -> None:
    rules = grammar_of(Allowed(("a red cup", "a red", "a blue cup"), space="none")).splitlines()
    assert rules == [
        "root ::= space rest-0",
        'rest-0 ::= "a " rest-1',
        'rest-1 ::= "blue cup" | "red" rest-2',
        'rest-2 ::= "" | " cup"',
        'space ::= ""',
    ]


def test_a_lead_and_stop_strings_stand_around_it() -> None:
    root, _, _, end, gap = grammar_of(Allowed(("x",), "Lead:", ("##", "b"))).splitlines()
    assert root == 'root ::= space "Lead\\U0000003A" space rest-0 end'
    assert end == 'end ::= (gap ("\\U00000023\\U00000023" | "b"))?'
    assert gap == "gap ::= [ \\n]? [ \\n]?"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_nothing_of_a_text_leaves_its_quotes(text: str) -> None:
    word = literal(text)
    assert re.fullmatch(r'"(?:[A-Za-z0-9 ]|\\U[0-9A-F]{8})*"', word)
    assert re.sub(r"\\U([0-9A-F]{8})", lambda found: chr(int(found[1], 16)), word[1:-1]) == text


@given(st.sets(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=12))
def test_no_two_alternatives_begin_alike_and_the_tree_holds_the_list(texts: set[str]) -> None:
    rules = dict(rule.split(" ::= ") for rule in grammar_of(Allowed(tuple(texts))).splitlines())

    def ways(name: str) -> list[str]:
        found = []
        firsts = []
        for way in rules[name].split(" | "):
            word, _, more = way.partition('" ')
            begun = word.strip('"')
            firsts.append(begun[:1])
            found += [begun + rest for rest in (ways(more) if more else [""])]
        assert len(set(firsts)) == len(firsts)
        return found

    found = ways("rest-0")
    assert sorted(found) == sorted(texts)
