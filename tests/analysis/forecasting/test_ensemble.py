"""How laws are weighed and pooled, and what calibrates their intervals."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from synthetic import chinchilla, sweep

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.forecasting.backtest import backtest
from analysis.forecasting.calibration import FoldError, calibrate, run_noise
from analysis.forecasting.candidates import (
    ALL_RUNS,
    EQUAL,
    WEIGHTINGS,
    Candidate,
    CandidateName,
    Weighting,
    Window,
    above_frontier,
    frontier_weighting,
)
from analysis.forecasting.ensemble import AUTO, METHOD, Ensemble, Method, ensemble_of_arrays, ensembles_of_arrays
from analysis.forecasting.folds import Fold, origins, rolling_origin_folds
from analysis.forecasting.pooling import central_spread, interquartile_mean
from analysis.forecasting.weights import shrunk_weights
from analysis.laws import LAWS, weighed
from analysis.runs.arrays import RunArrays, beyond, inputs_at
from analysis.runs.table import RunTable

POINTS = RunArrays.of(RunTable.from_frame(sweep()).fit)
TARGET = inputs_at([1.2e5, 4e5], [4e6, 1e7], [2.9e12, 2.4e13])


@pytest.fixture(scope="module")
def auto() -> Ensemble:
    return ensemble_of_arrays(POINTS, AUTO, 50)


def test_the_interquartile_mean_is_the_mean_of_the_middle_half() -> None:
    values = np.array([[1.0, np.inf], [2.0, 5.0], [4.0, 6.0], [90.0, -np.inf]])
    np.testing.assert_allclose(interquartile_mean(values, np.full(4, 0.25)), [3.0, 5.5])
    # One member with more than half of the shares decides alone where it lies in the middle.
    np.testing.assert_allclose(interquartile_mean(values, np.array([0.1, 0.8, 0.05, 0.05])), [2.0, 5.0])
    alone = np.array([[0.3, 0.7]])
    np.testing.assert_allclose(interquartile_mean(alone, np.ones(1)), alone[0])


def test_the_interquartile_mean_does_not_depend_on_how_a_member_is_divided() -> None:
    values = np.array([[1.0], [2.0], [3.0], [7.0]])
    whole = interquartile_mean(values, np.array([0.4, 0.3, 0.2, 0.1]))
    divided = interquartile_mean(values[[0, 0, 1, 2, 3]], np.array([0.1, 0.3, 0.3, 0.2, 0.1]))
    np.testing.assert_allclose(whole, divided)


def test_the_spread_of_a_gaussian_is_its_deviation_and_deaf_to_tails() -> None:
    draws = np.random.default_rng(0).normal([0.0, 3.0], [1.0, 0.1], (20000, 2))
    np.testing.assert_allclose(central_spread([draws], np.ones(1)), [1.0, 0.1], rtol=0.03)
    wild = np.full((10, 2), 1e9)
    np.testing.assert_allclose(central_spread([draws, wild], np.array([0.95, 0.05])), [1.08, 0.108], rtol=0.05)
    apart = central_spread([draws, draws + 2.0], np.array([0.5, 0.5]))
    assert apart[0] == pytest.approx(1.45, rel=0.05)


def test_a_frontier_weighting_falls_with_the_distance_from_the_frontier() -> None:
    distance = above_frontier(POINTS)
    assert distance.min() == 0
    assert (distance >= 0).all()
    law = LAWS["chinchilla"]
    np.testing.assert_array_equal(Candidate(law).run_weights(POINTS), 1.0)
    near = Candidate(law, frontier_weighting(0.05)).run_weights(POINTS)
    assert near.mean() == pytest.approx(1.0)
    order = np.argsort(distance)
    assert (np.diff(near[order]) <= 1e-12).all()


def test_weights_are_shrunk_towards_equal_ones() -> None:
    candidates = [Candidate(LAWS[name]) for name in ("compute", "chinchilla", "kaplan", "skaling")]
    folds = rolling_origin_folds(POINTS, candidates)
    names = [each.name for each in candidates]
    squares = np.array([sum(f.share * f.errors()[n] ** 2 for f in folds) / sum(f.share for f in folds) for n in names])
    expected = 1 / (squares + np.median(squares))
    np.testing.assert_allclose(shrunk_weights(names, folds), expected / expected.sum())
    # Even a perfect member weighs at most twice as much as the median one; one that was never tested, as much.
    new = Candidate(LAWS["farseer"]).name
    weights = shrunk_weights([*names, new], folds)
    assert weights[-1] == pytest.approx(1 / (2 * np.median(squares)) / (expected.sum() + 1 / (2 * np.median(squares))))
    np.testing.assert_allclose(shrunk_weights(names, []), 0.25)


def test_a_window_needs_sixteen_cells_and_leaves_runs_out() -> None:
    assert ALL_RUNS.suits(POINTS)
    assert not Window(15.0).suits(POINTS)
    assert Window(15.0, fewest=8).suits(POINTS)
    assert not Window(1e9, fewest=1).suits(POINTS)


def test_pooled_laws_are_expected_to_miss_by_half_of_their_spread() -> None:
    nothing = FoldError(0.0, 1.0, 1.0, 1.0)  # of no weight
    alone = calibrate([], 0.005)
    untested, tested = (calibrate([nothing] * folds, 0.005, pooled=True) for folds in (2, 3))
    # Means of log-normals about 0.45, 0.8 and 1.
    assert 0.4 < tested.scale < 0.6 < 0.75 < untested.scale < 0.9 < alone.scale < 1.2
    assert tested.form == pytest.approx(alone.form)


def test_a_window_keeps_the_runs_of_most_compute() -> None:
    weight = Candidate(LAWS["chinchilla"], EQUAL, Window(3.2)).run_weights(POINTS)
    assert ((weight > 0) == (POINTS.budget >= 2)).all()
    assert weight.mean() == pytest.approx(1.0)


def test_each_fold_fits_the_runs_up_to_its_origin_and_holds_out_the_rest() -> None:
    folds = rolling_origin_folds(POINTS, [Candidate(LAWS["compute"]), Candidate(LAWS["chinchilla"])])
    assert origins(POINTS) == [1, 2]  # eight cells and a third of the runs
    assert [fold.share for fold in folds] == [0.5, 0.75]
    for fold in folds:
        assert fold.fitted.c.max() < fold.held_out.inputs.c.min()
        assert fold.reach == pytest.approx(fold.held_out.inputs.c.max() - fold.fitted.c.max())
        assert [member.law.name for member in fold.members] == ["compute", "chinchilla"]
        # The truth is Chinchilla's.
        compute, chinchilla = fold.errors().values()
        assert chinchilla < compute


def test_beyond_is_the_worst_of_flops_parameters_and_tokens() -> None:
    fitted = inputs_at([1e6, 1e7], [1e9, 1e8], [6e15, 6e15])
    targets = inputs_at([1e6, 1e8, 1e6], [1e8, 1e8, 1e9], [6e14, 6e16, 1.2e16])
    np.testing.assert_allclose(beyond(fitted, targets), np.log([1.0, 10.0, 2.0]))


def test_a_calibration_learns_scale_and_form_from_misses() -> None:
    plain = calibrate([], 0.005)
    small = calibrate([FoldError(1.0, 1e-6, 1e-4, 1.0)] * 6, 0.0)
    large = calibrate([FoldError(1.0, 1e-2, 1e-4, 1.0)] * 6, 0.0)
    assert small.scale < 0.5 * plain.scale < plain.scale < 2 * plain.scale < large.scale
    far = calibrate([FoldError(1.0, 4e-4, 1e-8, 1.0)] * 6, 1e-4)
    assert far.form == pytest.approx(0.02, rel=0.5)
    # A split made of few of the runs says less.
    assert calibrate([FoldError(0.1, 1e-2, 1e-4, 1.0)] * 6, 0.0).scale < large.scale


def test_half_widths_are_quantiles_of_the_mixture() -> None:
    known = calibrate([FoldError(1e4, 1.0, 0.5, 0.0)], np.sqrt(0.5))  # scale 1 for certain
    assert known.scale == pytest.approx(1.0, rel=0.05)
    spreads = np.array([0.0, 1.0])
    half = known.half_width(spreads, np.zeros(2), 0.9)
    np.testing.assert_allclose(half, 1.645 * np.sqrt(spreads**2 + 0.5), rtol=0.05)
    averaged = known.half_width(spreads, np.zeros(2), 0.9, seeds=4)
    np.testing.assert_allclose(averaged, 1.645 * np.sqrt(spreads**2 + 0.125), rtol=0.05)
    wide = known.half_width(spreads, np.full(2, 5.0), 0.9)
    assert (wide > half).all()


def test_noise_without_replicates_is_that_of_the_best_law_in_the_high_compute_half() -> None:
    points = RunArrays.of(RunTable.from_frame(sweep(seeds=1)).fit)
    rng = np.random.default_rng(0)
    lower = points.inputs.c < np.median(points.inputs.c)
    residual = np.where(lower, 0.5, 0.01) * rng.standard_normal(len(points))
    noise = run_noise(points, [residual, 3 * residual], [2, 2])
    assert noise == pytest.approx(0.01, rel=0.6)


def test_auto_weighs_every_law_under_every_weighting(auto: Ensemble) -> None:
    assert set(auto.fits) == set(weighed())
    assert [member.candidate.weighting for member in auto.members] == list(WEIGHTINGS) * len(weighed())
    assert sum(auto.weights.values()) == pytest.approx(1)
    # The truth is Chinchilla's: laws that hold it as a case outweigh laws of compute alone.
    holds = sum(auto.weights[name] for name in ("chinchilla", "skaling", "data-constrained"))
    assert holds > 0.6
    assert auto.leader.law == max(auto.weights, key=lambda name: auto.weights[name])
    for name, law in auto.to_dict().items():
        assert sum(member["weight"] for member in law["foci"]) == pytest.approx(auto.weights[name])


def test_points_are_forecast_alike_alone_and_together(auto: Ensemble) -> None:
    both = auto.predict(TARGET)
    for i in range(2):
        one = auto.predict(TARGET.take(np.array([i])))
        np.testing.assert_allclose([value[0] for value in one], [value[i] for value in both], rtol=1e-9)
    np.testing.assert_allclose(auto.expect(TARGET), both[0])
    truth = [chinchilla(*np.exp([n, d])) for n, d in zip(TARGET.n, TARGET.d, strict=True)]
    assert all(low < loss < high for loss, low, high in zip(truth, both[1], both[2], strict=True))


def equal_member_weights(names: Sequence[CandidateName], _folds: Sequence[Fold]) -> np.ndarray:
    return np.full(len(names), 1 / len(names))


LATE = Weighting("late", lambda runs: np.exp(runs.inputs.c - runs.inputs.c.max()))


@pytest.mark.parametrize(
    ("method", "members", "reported"),
    [
        (Method(weightings=(EQUAL, LATE)), 2, {"focus": "late"}),
        (Method(weightings=(EQUAL,), windows=(ALL_RUNS, Window(15.0, fewest=4))), 2, {"focus": None, "window": 15.0}),
        (Method(weightings=(EQUAL, LATE), weigh=equal_member_weights), 2, {"focus": "late"}),
    ],
    ids=["weighting", "window", "weights"],
)
def test_a_new_weighting_window_or_way_to_weigh_is_one_definition(
    method: Method, members: int, reported: dict[str, object]
) -> None:
    usual = ensemble_of_arrays(POINTS, AUTO, 20, replace(METHOD, weightings=(EQUAL,)))
    found = ensemble_of_arrays(POINTS, AUTO, 20, method)
    assert len(found.members) == members * len(weighed())
    assert found.folds == usual.folds == 2
    assert sum(found.weights.values()) == pytest.approx(1.0)
    assert reported.items() <= found.to_dict()["chinchilla"]["foci"][1].items()
    loss, low, high = found.predict(TARGET)
    assert (low < loss).all()
    assert (loss < high).all()
    np.testing.assert_allclose(loss, usual.predict(TARGET)[0], rtol=0.02)
    assert not np.array_equal(loss, usual.predict(TARGET)[0])
    if method.weigh is equal_member_weights:
        np.testing.assert_allclose([m.weight for m in found.members], 1 / len(found.members))


def test_a_law_is_the_same_alone_and_beside_others() -> None:
    alone = ensemble_of_arrays(POINTS, "chinchilla", 50)
    beside = ensembles_of_arrays(POINTS, ["compute", "chinchilla", AUTO], 50)["chinchilla"]
    assert [m.candidate.plain for m in alone.members] == [True]
    np.testing.assert_array_equal(alone.predict(TARGET), beside.predict(TARGET))


def test_a_sharper_truth_narrows_and_a_missing_form_widens() -> None:
    def bent(params: float, tokens: float) -> float:
        return 0.2 + 3.0 * (params * tokens) ** -0.05 + 0.02 * np.sin(2 * np.log(params * tokens))

    def width(frame: object) -> float:
        _, low, high = ensemble_of_arrays(RunArrays.of(RunTable.from_frame(frame).fit), "chinchilla", 50).predict(
            TARGET
        )  # type: ignore[arg-type]
        return float(np.log(high / low)[0])

    assert width(sweep(noise=0.001)) < width(sweep(noise=0.01))
    assert width(sweep(noise=0.001)) < 0.5 * width(sweep(noise=0.001, loss=bent))


def test_what_laws_with_half_the_weight_warn_of_is_heard(auto: Ensemble) -> None:
    def codes(names: tuple[str, ...]) -> list[str]:
        warning = (Diagnostic("diverged-rows", "so"), Diagnostic("collinear", "so"), Diagnostic("few-runs", "so"))
        fits = {n: replace(fit, warnings=warning if n in names else ()) for n, fit in auto.fits.items()}
        return [w.code for w in replace(auto, fits=fits).warnings]

    assert codes(weighed()) == ["diverged-rows", "collinear", "few-runs"]
    assert codes(("compute", "kaplan")) == []


def test_what_the_runs_do_not_move_has_no_standard_error(auto: Ensemble) -> None:
    assert auto.fits["farseer"].stderr["N_0"] is None
    assert auto.fits["farseer"].stderr["beta"] is not None


def test_runs_too_few_for_any_law_are_refused() -> None:
    few = POINTS.subset(np.arange(len(POINTS)) < 4)
    with pytest.raises(InputError, match="4 runs are too few for any law: 5 or more"):
        ensemble_of_arrays(few, AUTO, 20)
    with pytest.raises(InputError, match="4 runs are too few to fit chinchilla: its 5 parameters need 7"):
        ensemble_of_arrays(few, "chinchilla", 20)
    assert ensembles_of_arrays(few, ["chinchilla", AUTO], 20) == {}


def test_a_backtest_holds_every_law_and_auto_to_the_same_runs() -> None:
    result = backtest(RunTable.from_frame(sweep()), ["chinchilla", "compute", AUTO], train_below=1e11, bootstrap=40)
    (split,) = result.splits
    assert set(split.laws) == {"chinchilla", "compute", AUTO}
    assert split.laws[AUTO].are < 0.03
    assert split.n_train + split.n_test == 32
