"""A shape is checked when it is made, and every violation is reported at once."""

import dataclasses

import pytest

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig

GOOD = LlamaConfig(vocab=256, width=32, depth=2, heads=4, kv_heads=2, ffn=48, seq_len=16)


@pytest.mark.parametrize(
    ("change", "violations"),
    [
        ({"width": 30}, ["width 30 is not a multiple of heads 4"]),
        ({"width": 12}, ["head_dim 3 (width 12 / heads 4) is odd"]),
        ({"kv_heads": 3}, ["heads 4 is not a multiple of kv_heads 3"]),
        ({"width": 12, "kv_heads": 3}, ["head_dim 3", "heads 4 is not a multiple of kv_heads 3"]),
        ({"vocab": 0, "depth": -1, "heads": 0}, ["vocab is 0", "depth is -1", "heads is 0"]),
    ],
)
def test_impossible_shapes(change: dict[str, int], violations: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        dataclasses.replace(GOOD, **change)
    assert len(caught.value.errors) == len(violations)
    for reported, expected in zip(caught.value.errors, violations, strict=True):
        assert reported.startswith(expected)


def test_a_config_is_a_value() -> None:
    assert dataclasses.replace(GOOD) == GOOD
    assert hash(dataclasses.replace(GOOD)) == hash(GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.width = 64  # type: ignore[misc]
