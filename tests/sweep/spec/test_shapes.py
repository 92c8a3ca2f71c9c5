"""A size becomes the nearest Llama of its family."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.errors import InputError
from scaling.llama.counts import count_params
from scaling.llama.zoo import find
from scaling.sweep.spec.shapes import ShapeRule, Size

TINY = ShapeRule(seq_len=128, head_dim=16, width_per_layer=16, ffn_ratio=2.6667)
LLAMA3 = ShapeRule(
    vocab=128256,
    seq_len=8192,
    head_dim=128,
    width_per_layer=128,
    kv_ratio=4,
    ffn_ratio=3.5,
    ffn_multiple=1024,
    tie_embeddings=False,
    rope_theta=500000,
)


def test_the_rule_of_llama_3_gives_its_8b() -> None:
    assert LLAMA3.resolve(Size(params=8_000_000_000)) == find("llama3-8b").config


def test_a_published_model_takes_the_sweeps_vocabulary_and_context() -> None:
    config = TINY.resolve(Size(model="llama3-8b"))
    assert (config.vocab, config.seq_len) == (256, 128)
    assert (config.width, config.depth) == (4096, 32)


def test_a_rounded_ratio_does_not_tip_over() -> None:
    assert TINY.resolve(Size(width=48, depth=1)).ffn == 128
    assert TINY.resolve(Size(width=64, depth=1)).ffn == 176


def test_exact_shapes() -> None:
    config = TINY.resolve(Size(width=64, depth=3, heads=2, kv_heads=1, ffn=100))
    assert (config.width, config.depth, config.heads, config.kv_heads, config.ffn) == (64, 3, 2, 1, 100)


def test_heads_and_depth_may_be_fixed() -> None:
    rule = ShapeRule(seq_len=128, heads=2, depth=2)
    widths = [rule.resolve(Size(params=params)).width for params in (11_000, 14_400, 20_000, 33_400, 67_800)]
    assert widths == [16, 20, 24, 32, 48]
    assert rule.resolve(Size(width=40, depth=3)).heads == 2


@pytest.mark.parametrize(
    "given",
    [
        {"heads": 2, "head_dim": 16, "depth": 2},
        {"depth": 2},
        {"heads": 2, "depth": 2, "width_per_layer": 16.0},
        {"heads": 2},
    ],
)
def test_a_family_grows_in_one_way(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs exactly one of"):
        ShapeRule.model_validate({"seq_len": 128, **given})


@settings(deadline=None)
@given(
    st.floats(math.log(8e3), math.log(1e15)),
    st.sampled_from([TINY, TINY.model_copy(update={"width_per_layer": 1e9})]),
)
def test_every_size_has_a_shape_near_it(log_params: float, rule: ShapeRule) -> None:
    params = int(math.exp(log_params))
    config = rule.resolve(Size(params=params))
    assert abs(math.log(count_params(config).total / params)) <= math.log(1.5)
    assert abs(config.depth - max(1, config.width / rule.width_per_layer)) <= 1.5
    assert config.width == 16 * config.heads


@pytest.mark.parametrize(("rule", "params"), [(TINY, 4000), (LLAMA3, 240_000_000)])
def test_no_shape_near_is_refused(rule: ShapeRule, params: int) -> None:
    with pytest.raises(InputError, match="no shape of this family is near"):
        rule.resolve(Size(params=params))


def test_no_neighbour_is_much_nearer() -> None:
    for params in (10**k for k in range(6, 12)):
        total = count_params(TINY.resolve(Size(params=params))).total
        assert total == pytest.approx(params, rel=0.16)
