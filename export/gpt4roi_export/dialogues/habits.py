"""How people type: small letters, no question mark, British spelling. Knows no task."""

import random
import re

_CARELESS = 0.35
_REGION = re.compile(r"(<?region\d+>?)")


def as_typed(question: str, rng: random.Random) -> str:
    """The question as some people would type it; most are left as they are. Regions stay as they are written."""
    if rng.random() >= _CARELESS:
        return question
    parts = _REGION.split(question)
    if rng.random() < 0.6:
        parts[0] = parts[0][:1].lower() + parts[0][1:]
    if rng.random() < 0.3:
        parts = [part.lower() for part in parts]
    text = "".join(parts)
    if rng.random() < 0.6:
        text = text.rstrip("?.!")
    if rng.random() < 0.4:
        text = text.replace("color", "colour").replace("gray", "grey")
    if rng.random() < 0.4:
        text = text.replace("'", "")
    return text
