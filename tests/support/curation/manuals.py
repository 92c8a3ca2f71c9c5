"""Documents of another kind than speeches."""

import random

TERMS = ["array", "returns", "value", "float", "dtype", "axis", "raises", "index", "default", "object", "function"]
COMMON = ["the", "of", "and", "to", "in", "a", "that", "is", "be", "by", "it", "for", "as", "with", "this", "on"]


def manuals(count: int, seed: int) -> list[str]:
    """Texts of terms, with words of speeches between, each with a number at its end."""
    draw = random.Random(seed)

    def word() -> str:
        return draw.choice(COMMON if draw.random() < 0.8 else TERMS)

    return [" ".join([*(word() for _ in range(draw.randrange(40, 90))), str(number)]) for number in range(count)]
