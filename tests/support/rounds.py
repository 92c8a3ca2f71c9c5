"""How often a test with random moments is repeated: a few rounds among all the tests, many in ``make soak``."""

import os
import random

SOAK = os.environ.get("SCALING_SOAK") == "yes"


def rounds(usual: int, soak: int) -> int:
    """The number of rounds here: ``soak`` of them under ``make soak``."""
    return soak if SOAK else usual


def stratified(chance: random.Random, low: float, high: float, number: int) -> list[float]:
    """Random moments, one in each of ``number`` equal parts of an interval, in random order.

    So that a few of them meet the beginning, the middle and the end, which a few independent ones may all miss.
    """
    width = (high - low) / number
    return chance.sample([low + width * (part + chance.random()) for part in range(number)], number)
