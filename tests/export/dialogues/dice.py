"""Generators for tests; nothing here is a secret."""

import random


def dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311
