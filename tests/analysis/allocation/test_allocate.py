"""Allocation on published surfaces: budgets, losses, inference demand, limited data, fixed counts, over-training."""

import pytest
from surfaces import quick

from analysis.allocation.allocate import allocate
from analysis.allocation.estimate import SurfaceEstimate
from analysis.allocation.results import LawAllocation, Request
from analysis.errors import InputError
from analysis.fitting.published import PUBLISHED, predict_published
from analysis.fitting.published import published as constants
from analysis.runs.arrays import inputs_at

EPOCH, SARDANA = quick("chinchilla-epoch"), quick("chinchilla-sardana")


def loss_of(name: str, params: float, tokens: float) -> float:
    return float(constants(name).predict(inputs_at(params, tokens, 6 * params * tokens))[0])


def beside(made: LawAllocation) -> tuple[float, float, float]:
    """Parameters, tokens and total FLOPs, as fractions of the compute-optimal model's."""
    best = made.optimum
    assert best is not None
    total = 6 * best.params * best.tokens + 2 * best.params * made.inference_tokens
    return made.params / best.params, made.tokens / best.tokens, made.total_flops / total


@pytest.mark.parametrize("name", ["chinchilla-epoch", "chinchilla-hoffmann", "muennighoff"])
def test_it_matches_the_closed_form(name: str) -> None:
    p = PUBLISHED[name].params
    alpha, beta = p["alpha"], p.get("beta", p["alpha"])
    ratio = (alpha * p["A"] / (beta * p["B"])) ** (1 / (alpha + beta))
    best = allocate(quick(name), Request(flops=5.76e23))
    assert best.params == pytest.approx(ratio * (5.76e23 / 6) ** (beta / (alpha + beta)), rel=1e-6)
    assert 6 * best.params * best.tokens == pytest.approx(5.76e23)
    assert best.flops == best.total_flops == pytest.approx(5.76e23)
    assert best.optimum is None
    for edge in best.near_optimal["params"]:
        assert loss_of(name, edge, 5.76e23 / 6 / edge) == pytest.approx(1.0025 * best.loss)
    low, high = best.near_optimal["params"]
    few, many = best.near_optimal["tokens"]
    assert (low * many, high * few) == pytest.approx((5.76e23 / 6, 5.76e23 / 6))
    assert best.near_optimal["tokens_per_param"] == pytest.approx((few / high, many / low))


def test_chinchilla_by_two_sets_of_constants() -> None:
    refit = allocate(EPOCH, Request(flops=5.76e23))
    rounded = allocate(quick("chinchilla-hoffmann"), Request(flops=5.76e23))
    assert (refit.params, refit.tokens) == pytest.approx((72e9, 1.33e12), rel=0.01)
    assert (rounded.params, rounded.tokens) == pytest.approx((32e9, 3.0e12), rel=0.01)
    assert "72B" in rounded.source


def test_the_published_examples_of_inference_demand() -> None:
    # 2401.00448, its code's own example: a loss of 1.947, 2e12 tokens served.
    made = allocate(SARDANA, Request(loss=1.947, inference_tokens=2e12))
    assert (made.params, made.tokens) == pytest.approx((2.418e10, 2.657e12), rel=2e-4)
    assert beside(made) == pytest.approx((0.7096, 1.4677, 0.9522), abs=5e-5)
    # The same code: 30B compute-optimal parameters.
    made = allocate(SARDANA, Request(flops=2.801e23, inference_tokens=1e13))
    assert made.optimum is not None
    assert (made.optimum.params, made.optimum.tokens) == pytest.approx((3e10, 1.556e12), rel=1e-3)
    assert made.loss == pytest.approx(1.958253360475841, abs=1e-4)
    # Figure 1: a 13B model's loss for 2e12 tokens by 7B parameters saves 1.7e22 FLOPs, 17 %.
    best = allocate(SARDANA, Request(params=13e9, tokens=576.5e9))
    smaller = allocate(SARDANA, Request(loss=best.loss, params=7e9, inference_tokens=2e12))
    assert smaller.optimum is not None
    assert smaller.optimum.params == pytest.approx(13e9, rel=0.01)
    assert smaller.optimum.total_saving == pytest.approx(0.17, abs=0.005)


def test_demand_by_budget_and_by_loss_agree() -> None:
    plain = allocate(EPOCH, Request(flops=1e24))
    by_budget = allocate(EPOCH, Request(flops=1e24, inference_tokens=2e12))
    by_loss = allocate(EPOCH, Request(loss=plain.loss, inference_tokens=2e12))
    assert (by_loss.params, by_loss.tokens) == pytest.approx((by_budget.params, by_budget.tokens), rel=1e-5)
    assert by_budget.loss == pytest.approx(plain.loss, rel=1e-9)
    assert by_budget.optimum is not None
    assert by_budget.optimum.params == pytest.approx(plain.params, rel=1e-5)
    assert by_budget.params < plain.params
    assert by_budget.total_flops == pytest.approx(by_budget.params * (6 * by_budget.tokens + 2 * 2e12))
    # No other size reaches the loss for less.
    for factor in (0.9, 1.1):
        other = allocate(EPOCH, Request(loss=plain.loss, params=by_budget.params * factor, inference_tokens=2e12))
        assert other.total_flops > by_budget.total_flops


def test_the_least_compute_for_a_loss() -> None:
    there = allocate(EPOCH, Request(flops=1e23))
    back = allocate(EPOCH, Request(loss=there.loss))
    assert (back.params, back.tokens, back.flops) == pytest.approx((there.params, there.tokens, 1e23), rel=1e-5)


def test_one_count_fixed() -> None:
    by_params = allocate(EPOCH, Request(flops=1e23, params=10e9))
    assert by_params.tokens == pytest.approx(1e23 / 6e10)
    by_tokens = allocate(EPOCH, Request(flops=1e23, tokens=1e23 / 6e10))
    assert by_tokens.params == pytest.approx(10e9)
    assert by_params.loss == pytest.approx(loss_of("chinchilla-epoch", 10e9, 1e23 / 6e10))
    for request in (Request(loss=by_params.loss, params=10e9), Request(loss=by_params.loss, tokens=by_params.tokens)):
        again = allocate(EPOCH, request)
        assert (again.params, again.tokens) == pytest.approx((10e9, by_params.tokens), rel=1e-6)
    best = allocate(EPOCH, Request(flops=1e23))
    assert by_params.excess_loss == pytest.approx(by_params.loss / best.loss - 1)
    low, high = best.near_optimal["params"]
    assert by_params.near_optimal["params"] == pytest.approx((low, high))


def test_what_over_training_costs() -> None:
    made = allocate(EPOCH, Request(params=8030261248, tokens=15e12))
    best = made.optimum
    assert best is not None
    assert loss_of("chinchilla-epoch", best.params, best.tokens) == pytest.approx(made.loss)
    assert best.training_ratio == pytest.approx(made.flops / best.flops) == pytest.approx(5.5, rel=0.01)
    assert best.inference_saving == pytest.approx(1 - made.params / best.params)
    assert best.break_even_tokens is not None
    served = 2 * best.break_even_tokens
    assert made.flops + made.params * served == pytest.approx(best.flops + best.params * served)
    at_even = allocate(EPOCH, Request(params=8030261248, tokens=15e12, inference_tokens=best.break_even_tokens))
    assert at_even.optimum is not None
    assert at_even.optimum.total_saving == pytest.approx(0, abs=1e-6)
    under = allocate(EPOCH, Request(params=280e9, tokens=300e9))
    assert under.optimum is not None
    assert under.optimum.break_even_tokens is None
    assert under.optimum.inference_saving < 0


def test_scarce_data_costs_loss_and_warns() -> None:
    def given(unique: float) -> SurfaceEstimate:
        return quick("muennighoff", unique)

    plain = allocate(quick("muennighoff"), Request(flops=1e24))
    scarce = allocate(given(1e11), Request(flops=1e24))
    assert scarce.loss > plain.loss
    assert "repeated-data" in [warning.code for warning in scarce.warnings]
    enough = allocate(given(1e15), Request(flops=1e24))
    assert enough.params == pytest.approx(plain.params, rel=1e-6)
    # With less data, the loss of unlimited data needs more compute, or is out of reach.
    limited = allocate(given(3e11), Request(loss=plain.loss))
    assert limited.flops > 1e24
    with pytest.raises(InputError, match="out of reach with 1e\\+10 unique tokens, however often"):
        allocate(given(1e10), Request(loss=plain.loss))
    served = allocate(given(1e11), Request(flops=1e24, inference_tokens=1e13))
    assert served.params < scarce.params
    assert served.loss == pytest.approx(scarce.loss)


@pytest.mark.parametrize(
    ("request_", "violation"),
    [
        (Request(loss=1.8), "irreducible loss of chinchilla is 1.8172"),
        (Request(loss=1.9, params=1e9), "1e\\+09 parameters does not reach a loss of 1.9 nats per token: 2.17"),
        (Request(loss=1.9, tokens=1e9), "no model reaches a loss of 1.9 nats per token on 1e\\+09 tokens: 2.88"),
        (Request(loss=3000.0), "less than one parameter or token"),
        (Request(flops=1.0), "less than one parameter or token"),
        (Request(flops=1e40), "no forecast reaches that far"),
        (Request(loss=1.8173), "no forecast reaches that far"),
        (Request(params=1e20, tokens=1e20), "no forecast reaches that far"),
    ],
)
def test_what_cannot_be_is_reported(request_: Request, violation: str) -> None:
    with pytest.raises(InputError, match=violation):
        allocate(EPOCH, request_)


def test_what_does_not_go_together_is_reported() -> None:
    for given, violation in (
        ({}, "give `flops` or `loss`"),
        ({"params": 1e9}, "give `flops` or `loss`"),
        ({"flops": 1e21, "loss": 3.0}, "`loss`: follows from `flops`"),
        ({"flops": 1e21, "params": 1e9, "tokens": 1e9}, "`flops`: parameters and tokens fix it already"),
        ({"flops": -1.0}, "`flops` = -1.0 is not a positive number"),
        ({"flops": float("nan")}, "`flops` = nan is not a positive number"),
    ):
        with pytest.raises(InputError, match=violation):
            Request(**given)


@pytest.mark.parametrize(
    ("name", "params", "tokens", "reported"),
    [
        ("chinchilla-epoch", 8e9, 14e12, "1.75e+03 tokens per parameter"),
        ("chinchilla-epoch", 70e9, 10e9, "0.143 tokens per parameter"),
        ("chinchilla-epoch", 1e3, 2e4, "fewer FLOPs than the smallest run"),
        ("gadre-c4", 8e9, 1e12, "errors are assumed, and nothing this far out"),
    ],
)
def test_papers_warn_beyond_their_runs(name: str, params: float, tokens: float, reported: str) -> None:
    (warning,) = allocate(quick(name), Request(params=params, tokens=tokens)).warnings
    assert warning.code == "far-extrapolation"
    assert reported in warning.message
    assert predict_published(name, params, tokens).warnings == (warning,)
    near = allocate(quick(name), Request(params=4e8, tokens=8e9))
    assert near.warnings == ()
