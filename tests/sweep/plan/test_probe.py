"""The runs that check a recipe: which, and what they cost."""

import pytest

from scaling.errors import InputError
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.plan.expand import expand
from scaling.sweep.plan.probe import SHARE, probe
from scaling.sweep.spec.sweep_file import parse_sweep

SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
fit:
  - {sizes: [{width: 8, depth: 1}, {width: 16, depth: 1}], flops: [1e9, 3e9], seeds: 6}
  - {sizes: [{width: 16, depth: 1}, {width: 24, depth: 1}], flops: [3e9, 1e10], seeds: [3]}
target: {size: {width: 24, depth: 1}, flops: 1e11}
"""


@pytest.mark.parametrize("override", ["target.seeds=1", "target.flops=3e10", "fit.1.flops=2e10", "fit.1.tokens=200k"])
def test_both_ends_at_a_tenth_of_the_cost(override: str) -> None:
    given = [override] + (["fit.1.flops=null"] if "tokens" in override else [])
    spec = parse_sweep(SWEEP, "tiny.yaml", given)
    text = load_text(spec.corpus)
    plan = expand(spec, text)
    runs = expand(probe(spec, plan), text)
    assert sorted({run.config.model.width for run in runs}) == [8, 24]
    assert {run.role for run in runs} == {"fit"}
    small, large = ([run.config for run in runs if run.config.model.width == width] for width in (8, 24))
    least_flops = {width: min(r.config.flops for r in plan if r.config.model.width == width) for width in (8, 24)}
    assert {config.flops for config in small} == {least_flops[8]}
    assert max(config.flops for config in large) <= least_flops[24]
    for configs in (small, large):
        assert len({config.recipe.rates.matrix for config in configs}) == 3
    assert len({config.seed for config in small}) >= 2
    assert sum(run.config.flops for run in runs) <= 1.01 * SHARE * sum(run.config.flops for run in plan)
    assert {run.config.data.eval_tokens for run in runs} == {plan[0].config.data.eval_tokens}


def test_the_sweeps_own_runs_are_among_them() -> None:
    spec = parse_sweep(SWEEP, "tiny.yaml", ["target.flops=5e11"])
    text = load_text(spec.corpus)
    plan = expand(spec, text)
    own = {run.id for run in plan} & {run.id for run in expand(probe(spec, plan), text)}
    assert len(own) == 4 + 1  # four seeds of the small one, and the only seed of the large one


def test_one_size_has_no_ends() -> None:
    spec = parse_sweep(SWEEP, "tiny.yaml", ["fit=[{sizes: {width: 8, depth: 1}, flops: [1e9, 3e9]}]"])
    with pytest.raises(InputError, match="of one size: a recipe is checked at two"):
        probe(spec, expand(spec, load_text(spec.corpus)))
