"""Laws of the best learning rate and batch: simulated grids with known laws, the published grid, and errors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.errors import InputError
from analysis.runs.table import RunTable, read_table
from analysis.tuning.rate_laws import Tuning, fit_tuning

SIZES = [(n, d) for n in (2e5, 1e6, 5e6) for d in (1e7, 5e7, 2.5e8)]
STEP = {"c": 1.79, "a": -0.713, "b": 0.307}
BATCH = {"d": 0.58, "e": 0.571}
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def best_rate(params: float, tokens: float) -> float:
    return STEP["c"] * params ** STEP["a"] * tokens ** STEP["b"]


def best_batch(tokens: float) -> float:
    return BATCH["d"] * tokens ** BATCH["e"]


def lopsided(u: float) -> float:
    """Excess at a log rate off the best: 1.5 % at 4 times, 6.5 % at a quarter."""
    return 0.0119 * (np.exp(-1.55 * u) + 1.55 * u - 1)


def rates_only(
    seed: int = 0, noise: float = 0.003, seeds: int = 3, cells: list[tuple[float, float]] = SIZES
) -> pd.DataFrame:
    """Five rates about a guess that is off by up to a factor of 1.6, at one batch, with paired seeds."""
    rng = np.random.default_rng(seed)
    rows = []
    for params, tokens in cells:
        guess = best_rate(params, tokens) * np.exp(rng.uniform(-0.5, 0.5))
        levels = 0.02 * rng.standard_normal(seeds)
        for lr in guess * np.array(FACTORS):
            u = np.log(lr / best_rate(params, tokens))
            rows += [
                {
                    "params": params,
                    "tokens": tokens,
                    "lr": lr,
                    "batch_tokens": 4096.0,
                    "seed": s,
                    "loss": (1 + 30 / tokens**0.3) * np.exp(level + lopsided(u) + noise * rng.standard_normal()),
                }
                for s, level in enumerate(levels)
            ]
    return pd.DataFrame(rows)


def both(noise: float = 0.0, values: int = 7) -> pd.DataFrame:
    """A square grid of rates and batches, a factor of 2 apart; whole steps make the number of tokens."""
    rng = np.random.default_rng(0)
    axis = np.log(2.0) * (np.arange(values) - values // 2)
    rows = []
    for params, tokens in SIZES:
        for u in axis:
            for v in axis:
                lr, batch = best_rate(params, tokens) * np.exp(u + 0.2), best_batch(tokens) * np.exp(v - 0.3)
                u1, v1 = u + 0.2, v - 0.3
                excess = 0.006 * u1**2 - 0.004 * u1 * v1 + 0.008 * v1**2
                rows.append(
                    {
                        "params": params,
                        "tokens": max(round(tokens / batch), 1) * batch,
                        "lr": lr,
                        "batch_tokens": batch,
                        "loss": 2.0 * np.exp(excess + noise * rng.standard_normal()),
                    }
                )
    return pd.DataFrame(rows)


def tuning_of(frame: pd.DataFrame) -> Tuning:
    return fit_tuning(RunTable.from_frame(frame))


def codes(tuning: Tuning) -> list[str]:
    return [warning.code for warning in tuning.warnings]


def test_both_laws_of_an_exact_grid() -> None:
    tuning = tuning_of(both())
    assert len(tuning.cells) == len(SIZES)
    assert tuning.laws["lr"]["step"].params == pytest.approx(STEP, rel=0.02)
    assert tuning.laws["batch_tokens"]["step"].params == pytest.approx(BATCH, rel=0.02)
    assert tuning.rate(1e9, 1e11)[0] == pytest.approx(best_rate(1e9, 1e11), rel=0.02)
    assert tuning.batch(1e11)[0] == pytest.approx(best_batch(1e11), rel=0.02)


def test_deepseeks_form_where_it_holds() -> None:
    """At tokens in proportion to parameters the laws are powers of the FLOPs, with half the sum of the exponents."""
    tuning = tuning_of(rates_only(noise=0, cells=[(n, 20 * n) for n in (1e5, 4e5, 1.6e6, 6.4e6)]))
    law = tuning.laws["lr"]["deepseek"]
    assert law.params["a"] == pytest.approx((STEP["a"] + STEP["b"]) / 2, abs=0.05)
    assert "collinear" in codes(tuning)
    value, _ = tuning.rate(1e6, 2e7)
    assert value == pytest.approx(best_rate(1e6, 2e7), rel=0.25)


def test_errors_of_sparse_noisy_grids() -> None:
    """Nine cells of five rates, three paired seeds, a lopsided surface: 25 sweeps."""
    covered, found, reported, off = [], [], [], []
    for seed in range(25):
        tuning = tuning_of(rates_only(seed))
        law = tuning.laws["lr"]["step"]
        for name in ("a", "b"):
            interval = law.interval[name]
            assert interval is not None
            covered.append(interval[0] <= STEP[name] <= interval[1])
        found.append([law.params["a"], law.params["b"]])
        reported.append([law.stderr["a"], law.stderr["b"]])
        off.append(np.log(tuning.rate(1e6, 5e7)[0] / best_rate(1e6, 5e7)))
        assert tuning.to_dict()["batch_tokens"] is None
    assert np.mean(covered) >= 0.86
    ratio = np.mean(np.array(reported, float), axis=0) / np.std(np.array(found, float), axis=0)
    assert ((ratio > 0.75) & (ratio < 1.7)).all()
    # The quadratic's minimum lies towards the flat side of a lopsided surface, alike in every cell: it costs little.
    assert lopsided(float(np.mean(off))) < 0.0007


def test_pairing_takes_out_what_seeds_share() -> None:
    frame = rates_only(noise=0.001)
    alone = frame.drop(columns="seed")
    paired, unpaired = (tuning_of(each).laws["lr"]["step"].stderr["a"] for each in (frame, alone))
    assert paired is not None
    assert unpaired is not None
    assert paired < unpaired / 2
    frame["seed"] = np.arange(len(frame))  # seeds that are never repeated pair nothing
    assert tuning_of(frame).laws["lr"]["step"].stderr["a"] == unpaired


def test_what_else_was_varied_is_taken_at_its_best() -> None:
    frame = rates_only(noise=0)
    short = frame.assign(warmup_tokens=1e5, loss=frame["loss"] * (1.01 + 0.02 * (frame["lr"] / 0.1).clip(0, 1)))
    tuning = tuning_of(pd.concat([frame.assign(warmup_tokens=1e6), short]))
    assert tuning.laws["lr"]["step"].params == tuning_of(frame).laws["lr"]["step"].params


def test_unbracketed_cells_are_left_out_and_named() -> None:
    frame = rates_only(noise=0.001)
    rising = (frame["params"] == 1e6) & (frame["tokens"] == 5e7)
    tuning = tuning_of(frame.assign(loss=frame["loss"].where(~rising, 2 + frame["lr"])))
    (warning,) = (warning for warning in tuning.warnings if warning.code == "not-bracketed")
    assert "1 of 9" in warning.message
    assert "1e+06 params, 5e+07 tokens" in warning.message
    (left,) = (cell for cell in tuning.cells if cell.reason is not None)
    assert left.best("lr") is None
    assert tuning.laws["lr"]["step"].points == 8


def test_diverged_rows_do_not_move_the_laws() -> None:
    frame = rates_only(noise=0.001)
    more = frame[frame["lr"] == frame.groupby(["params", "tokens"])["lr"].transform("max")]
    blown = more.assign(lr=4 * more["lr"], loss=9.0)
    tuning = tuning_of(pd.concat([frame, blown]))
    assert "diverged-rows" in codes(tuning)
    assert tuning.laws["lr"]["step"].params == pytest.approx(tuning_of(frame).laws["lr"]["step"].params)


def test_a_grid_of_warm_ups_alone_has_no_law_but_a_best_in_each_cell() -> None:
    frame = rates_only(noise=0.001)
    share = frame["lr"] / frame.groupby(["params", "tokens"])["lr"].transform("median") / 10
    tuning = tuning_of(frame.assign(lr=0.01, warmup_tokens=share * frame["tokens"]))
    reported = tuning.to_dict()
    assert reported["learning_rate"] is None
    assert reported["batch_tokens"] is None
    assert all(cell["warmup_stderr"] > 0 for cell in reported["cells"])
    assert codes(tuning) == []
    edge = tuning_of(frame.assign(lr=0.01, warmup_tokens=share * frame["tokens"], loss=2 + share))
    assert codes(edge) == ["not-bracketed"]
    assert "and 3 more" in edge.warnings[0].message


def test_few_cells_are_reported() -> None:
    tuning = tuning_of(rates_only(cells=[(1e6, 1e7), (1e6, 1e8), (5e6, 1e7), (5e6, 2e8)]))
    assert codes(tuning) == ["few-runs"]
    one_length = tuning_of(rates_only(cells=[(n, 1e7) for n, _ in SIZES[::3]] * 2))
    (reported,) = (warning.message for warning in one_length.warnings if warning.code == "collinear")
    assert reported.startswith("tokens hardly vary: the best lr is known at these only")
    two = tuning_of(rates_only(cells=[(1e6, 2e7), (5e6, 1e8)]))
    assert {"few-runs", "collinear"} == set(codes(two))
    assert set(two.laws["lr"]["deepseek"].stderr.values()) == {None}
    assert two.rate(1e6, 2e7)[1] is None


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        (lambda frame: frame.drop(columns=["lr", "batch_tokens"]), "no column 'lr' or 'batch_tokens', 'warmup_"),
        (lambda frame: frame.assign(lr=0.01), "no size and length was trained at 3 values"),
        (lambda frame: frame[frame["params"] * frame["tokens"] < 3e12], "optima at two different FLOPs"),
        (lambda frame: frame.assign(loss=2 + frame["lr"]), "at the edge of those tried"),
    ],
    ids=["no column", "one rate", "one cell", "all at the edge"],
)
def test_what_cannot_be_fitted_is_one_line(change: Callable[[pd.DataFrame], pd.DataFrame], violation: str) -> None:
    with pytest.raises(InputError, match=violation) as raised:
        tuning_of(change(rates_only()))
    assert len(raised.value.errors) == 1


def test_no_law_of_a_batch_that_was_not_varied() -> None:
    with pytest.raises(InputError, match="no law of the best batch_tokens"):
        tuning_of(rates_only()).batch(1e9)


@pytest.fixture(scope="module")
def step_law(published: Path) -> Tuning:
    """The published grid: 17 cells of about 112 runs, one seed (2503.04715).

    The paper states no error of its exponents, but that its law's loss is within 0.094 % of the best.
    """
    return fit_tuning(read_table(published / "steplaw_dense.csv"))


def test_step_law_as_far_as_its_runs_tell_it(step_law: Tuning) -> None:
    rate, batch = step_law.laws["lr"]["step"].interval, step_law.laws["batch_tokens"]["step"].interval
    assert rate["a"] is not None
    assert batch["d"] is not None
    assert batch["e"] is not None
    assert rate["a"][0] < -0.713 < rate["a"][1]
    assert batch["d"][0] < 0.58 < batch["d"][1]
    assert batch["e"][0] < 0.571 < batch["e"][1]


def test_what_differs_does_so_by_their_method_too(step_law: Tuning, published: Path) -> None:
    """lr's exponent of D is 0.22 +- 0.03, not 0.307, and the factor, which goes with it, 70 (8 to 640), not 1.79.

    So it is, 0.197 and 78, in one regression of all runs within 0.25 % of the least loss of their size and length, as
    the paper's fitting code has it (github.com/step-law/steplaw, code/fit_tool.py: ``filter_threshold``).
    """
    runs = pd.read_csv(published / "steplaw_dense.csv")
    near = runs[runs["loss"] < 1.0025 * runs.groupby(["n_params", "tokens"])["loss"].transform("min")]
    design = np.column_stack([np.ones(len(near)), np.log(near[["n_params", "tokens"]])])
    theirs = np.linalg.lstsq(design, np.log(near["lr"].to_numpy()), rcond=None)[0]
    assert np.exp(theirs[0]) == pytest.approx(77.7, abs=0.1)
    assert theirs[2] == pytest.approx(0.197, abs=0.001)
    law = step_law.laws["lr"]["step"]
    factor, slope = law.interval["c"], law.interval["b"]
    assert factor is not None
    assert slope is not None
    assert 1.79 < factor[0] < np.exp(theirs[0]) < factor[1]
    assert slope[0] < theirs[2] < slope[1] < 0.307
    # Where it was tuned it is nearly the same rate all the same.
    ratio = [
        step_law.rate(cell.params, cell.tokens)[0] / best_rate(cell.params, cell.tokens) for cell in step_law.cells
    ]
    assert 0.79 < min(ratio) < max(ratio) < 1.15


def test_both_laws_lose_next_to_nothing(step_law: Tuning) -> None:
    ours, theirs = [], []
    for cell in step_law.cells:
        surface = cell.grids[0].surface
        assert surface is not None
        n, d = cell.params, cell.tokens
        ours.append(surface.excess(np.log([step_law.rate(n, d)[0], step_law.batch(d)[0]]))[0])
        theirs.append(surface.excess(np.log([best_rate(n, d), best_batch(d)]))[0])
    assert np.mean(ours) < np.mean(theirs) < 0.0004
    assert max(theirs) < 0.00094
    assert max(ours) < 0.0011  # one cell; 0.1 % is what a run's own noise is


def test_a_law_from_low_compute_cells_holds_at_high_compute(step_law: Tuning, published: Path) -> None:
    low = fit_tuning(read_table(published / "steplaw_dense.csv", where="flops < 5e19"))
    high = [cell for cell in step_law.cells if cell.flops > 5e19]
    assert len(high) == 9
    lost = [
        surface.excess(np.log([low.rate(cell.params, cell.tokens)[0], low.batch(cell.tokens)[0]]))[0]
        for cell in high
        if (surface := cell.grids[0].surface) is not None
    ]
    assert np.median(lost) < 0.002
