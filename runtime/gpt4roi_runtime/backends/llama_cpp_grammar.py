"""A closed list of answers as the text of a grammar for llama.cpp; makes no native call.

The texts come from a user, so nothing of them stands in the grammar but escaped characters between quotes.
"""

import string
from collections.abc import Sequence

from gpt4roi_runtime.llm.decoder import Allowed

ROOT = "root"

_SPACES = {"none": '""', "optional": '" "?', "required": '" "'}
_PLAIN = frozenset(string.ascii_letters + string.digits + " ")


def grammar_of(allowed: Allowed) -> str:
    """The grammar of what may be written, its rules one a line.

    The texts make a tree of rules in which no two alternatives begin with the same character: llama.cpp tries every
    alternative for every token of the vocabulary.
    """
    rules: list[str] = []
    words = ["space", literal(allowed.lead), "space"] if allowed.lead else ["space"]
    words.append(_tree(sorted(allowed.texts), rules))
    rules.append(f"space ::= {_SPACES[allowed.space]}")
    if allowed.stop:
        words.append("end")
        rules.append(f"end ::= (gap ({' | '.join(map(literal, allowed.stop))}))?")
        rules.append(r"gap ::= [ \n]? [ \n]?")
    return "\n".join([f"{ROOT} ::= {' '.join(words)}", *rules, ""])


def literal(text: str) -> str:
    """Any text but NUL, as a quoted word of a grammar."""
    return '"' + "".join(one if one in _PLAIN else f"\\U{ord(one):08X}" for one in text) + '"'


def _tree(rests: Sequence[str], rules: list[str]) -> str:
    """Add the rule of some different, sorted ends of texts, and the rules below it; returns its name."""
    name = f"rest-{len(rules)}"
    place = len(rules)
    rules.append("")
    alternatives = []
    for first in dict.fromkeys(rest[:1] for rest in rests):
        group = [rest for rest in rests if rest[:1] == first]
        common = _common(group[0], group[-1])  # what the first and the last share, all between them share
        ends = [rest[len(common) :] for rest in group]
        alternatives.append(f"{literal(common)} {_tree(ends, rules)}" if len(ends) > 1 else literal(common))
    rules[place] = f"{name} ::= {' | '.join(alternatives)}"
    return name


def _common(one: str, other: str) -> str:
    n = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:n]
