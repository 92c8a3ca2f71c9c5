"""Each law: its derivatives, its own truth recovered, its limits, and what it does with few or strange runs."""

import numpy as np
import pytest

from analysis.fitting.fit import fit_arrays
from analysis.laws import LAWS, Inputs, Law, usual, weighed
from analysis.runs.arrays import RunArrays, inputs_at

# Plausible parameters of each, at the scale of GRID.
TRUTH: dict[str, dict[str, float]] = {
    "chinchilla": {"E": 1.8, "A": 480.0, "B": 2100.0, "alpha": 0.35, "beta": 0.37},
    "chinchilla-tied": {"E": 1.8, "A": 480.0, "B": 1400.0, "alpha": 0.35},
    "overtraining": {"E": 1.8, "a": 150.0, "b": 300.0, "eta": 0.13},
    "skaling": {"E": 1.5, "A": 3e3, "B": 1e4, "alpha": 0.45, "beta": 0.43, "k": 0.6},
    "kaplan": {"A": 1.5e10, "B": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103},
    "farseer": dict(
        zip(LAWS["farseer"].names, [1.6, 4e3, -0.1, 0.1, -0.9, -0.2, -0.15, 0.1, 0.4, 10**8.5], strict=True)
    ),
    "data-constrained": {"E": 1.87, "A": 521.0, "B": 1488.0, "alpha": 0.35, "R_N": 5.3, "R_D": 15.4},
    "compute": {"E": 1.7, "A": 1600.0, "gamma": 0.16},
    "broken": {"E": 1.7, "A": 300.0, "early": 0.12, "late": 0.25, "C_1": 1e19, "f": 0.8},
    "finetuning": {"E": 0.8, "A": 60.0, "a": 0.1, "b": 0.12},
    "rectified": {"E": 0.8, "B": 8e4, "D_l": 4e4, "b": 0.45},
    "finetuning-rectified": {"E": 0.8, "A": 900.0, "D_t": 8e9, "a": 0.1, "b": 0.25},
    "data": {"E": 0.8, "B": 100.0, "beta": 0.2},
}


def grid() -> Inputs:
    """7 sizes, 6 training sets, and every third of these repeated 4 or 16 times; FLOPs above 6ND for small models."""
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e10, 7), np.geomspace(1e9, 3e11, 6)))
    return inputs_at(n, d, (6 * n + 1e8) * d, d / np.resize([1.0, 4.0, 16.0], len(d)))


def points_of(inputs: Inputs, log_loss: np.ndarray) -> RunArrays:
    rows = np.arange(len(log_loss))
    return RunArrays(inputs, log_loss, rows, rows)


@pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
def test_derivatives_match_finite_differences(law: Law) -> None:
    theta = law.internal(TRUTH[law.name])[None]
    _, jacobian = law.evaluate(theta, grid())
    held = {"farseer": "N_0"}
    for i in [i for i, name in enumerate(law.names) if name != held.get(law.name)]:
        step = np.zeros_like(theta)
        step[0, i] = 1e-6
        up, down = law.evaluate(theta + step, grid())[0], law.evaluate(theta - step, grid())[0]
        np.testing.assert_allclose((up - down) / 2e-6, jacobian[:, :, i], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
def test_a_noiseless_law_is_recovered_by_its_own_form(law: Law) -> None:
    truth = TRUTH[law.name]
    result = fit_arrays(points_of(grid(), np.log(law.predict(truth, grid()))), law)
    assert result.objective is not None
    assert result.objective < 1e-12
    assert dict(result.params) == pytest.approx(truth, rel=1e-3)


@pytest.mark.parametrize("name", [name for name in LAWS if name != "farseer"])  # its D to a power of N has units
def test_units_do_not_matter(name: str) -> None:
    law, x = LAWS[name], grid()
    rng = np.random.default_rng(0)
    log_loss = np.log(law.predict(TRUTH[law.name], x)) + 0.01 * rng.standard_normal(len(x.n))
    n, d = np.log(100.0), np.log(7.0)
    moved = Inputs(x.n + n, x.d + d, x.c + n + d, x.u + d)
    objectives = [fit_arrays(points_of(inputs, log_loss), law).objective for inputs in (x, moved)]
    assert objectives[0] == pytest.approx(objectives[1], rel=1e-3)


@pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
def test_inputs_of_compute_alone_are_enough_for_the_laws_that_read_nothing_else(law: Law) -> None:
    loss = law.predict(TRUTH[law.name], Inputs.compute_only(grid().c))
    if law.needs == ("flops",):
        np.testing.assert_array_equal(loss, law.predict(TRUTH[law.name], grid()))
    else:
        assert np.isnan(loss).all()


def test_skaling_at_k_1_is_chinchilla() -> None:
    theta = np.array([[0.2, 6.0, 7.0, 0.34, 0.28]])
    loss, partials = LAWS["chinchilla"].evaluate(theta, grid())
    bent_loss, bent_partials = LAWS["skaling"].evaluate(np.append(theta, [[1.0]], axis=1), grid())
    np.testing.assert_allclose(bent_loss, loss, rtol=1e-14)
    np.testing.assert_allclose(bent_partials[:, :, :5], partials, rtol=1e-12)


def test_overtraining_is_chinchilla_tied_under_6nd() -> None:
    x = grid()
    x = Inputs(x.n, x.d, np.log(6.0) + x.n + x.d, x.u)
    tied = TRUTH["chinchilla-tied"]
    eta = tied["alpha"] / 2
    same = {"E": tied["E"], "a": tied["A"] * 6**eta, "b": tied["B"] * 6**eta, "eta": eta}
    np.testing.assert_allclose(
        LAWS["overtraining"].predict(same, x), LAWS["chinchilla-tied"].predict(tied, x), rtol=1e-12
    )


def test_farseer_in_the_papers_own_parameters() -> None:
    x = grid()
    p = TRUTH["farseer"]
    n, d = np.exp(x.n), np.exp(x.d)

    def own(slope: float, power: float, value: float) -> tuple[float, float]:
        """Coefficient and constant of slope ((N / N_0)^power - 1) / power + value as coefficient N^power + constant."""
        return slope / power * p["N_0"] ** -power, value - slope / power

    (s, top_s), (q, top_q), (r, top_r) = (
        own(p["s"], p["q"], np.log(p["E"])),
        own(p["p"], p["b"], np.log(p["B"])),
        own(p["r"], p["a"], np.log(p["beta"])),
    )
    loss = np.exp(s * n ** p["q"] + top_s) + np.exp(q * n ** p["b"] + top_q) * d ** -np.exp(r * n ** p["a"] + top_r)
    np.testing.assert_allclose(LAWS["farseer"].predict(p, x), loss, rtol=1e-12)


def test_farseer_is_smooth_where_its_powers_vanish() -> None:
    law = LAWS["farseer"]
    straight, nearly = (TRUTH["farseer"] | dict.fromkeys("qba", power) for power in (0.0, 1e-9))
    loss, partials = law.evaluate(np.stack([law.internal(straight), law.internal(nearly)]), grid())
    np.testing.assert_allclose(loss[0], loss[1], rtol=1e-7)
    np.testing.assert_allclose(partials[0], partials[1], rtol=1e-6)


def test_data_constrained_is_chinchilla_tied_while_nothing_is_in_excess() -> None:
    p = TRUTH["data-constrained"]
    tied = {name: p[name] for name in ("E", "A", "B", "alpha")}
    n = np.geomspace(1e7, 1e10, 8)
    fresh = inputs_at(n, 25 * n, 150 * n * n)  # fewer parameters than 0.05 U, which suffice (appendix A)
    np.testing.assert_allclose(
        LAWS["data-constrained"].predict(p, fresh), LAWS["chinchilla-tied"].predict(tied, fresh), rtol=1e-12
    )
    repeated = inputs_at(n, 100 * n, 600 * n * n, 25 * n)
    excess = LAWS["data-constrained"].predict(p, repeated) - LAWS["chinchilla-tied"].predict(tied, repeated)
    assert (excess > 0).all()


def test_a_break_bends_the_slope_and_none_is_the_law_of_compute() -> None:
    p, law = TRUTH["broken"] | {"E": 1e-12}, LAWS["broken"]
    c = np.array([1e11, 1e12, 1e26, 1e27])
    log_loss = np.log(law.predict(p, inputs_at(c, c, c)))
    assert (log_loss[:2] - log_loss[1::2][0])[0] == pytest.approx(p["early"] * np.log(10), rel=1e-3)
    assert log_loss[2] - log_loss[3] == pytest.approx(p["late"] * np.log(10), rel=1e-3)
    x = grid()
    np.testing.assert_allclose(
        law.predict(TRUTH["compute"] | {"early": 0.16, "late": 0.16, "C_1": 1e19, "f": 1.0}, x),
        LAWS["compute"].predict(TRUTH["compute"], x),
    )


def test_a_form_is_weighed_once() -> None:
    # Two are data-constrained again where nothing repeats and C is 6 N D; the last is the worst of all in forecasts.
    assert set(usual()) - set(weighed()) == {"chinchilla-tied", "overtraining", "broken"}
    assert set(weighed(fine_tuning=True)) - set(usual()) == set(LAWS) - set(usual())
