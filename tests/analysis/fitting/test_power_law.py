"""Power laws through points with errors: exact ones, the coverage of intervals, and inputs that move together."""

import numpy as np
import pytest

from analysis.fitting.power_law import Form, fit_power_law

PLANE = Form("y = c N^a D^b", "", ("c", "a", "b"), ("params", "tokens"))
LINE = Form("y = d D^e", "", ("d", "e"), ("tokens",))


def test_an_exact_law() -> None:
    n, d = np.meshgrid([1e6, 1e7, 1e8], [1e9, 1e10])
    inputs = np.stack([n.ravel(), d.ravel()], axis=1)
    law = fit_power_law(PLANE, inputs, 1.79 * inputs[:, 0] ** -0.713 * inputs[:, 1] ** 0.307, np.full(6, 0.1))
    assert law is not None
    assert law.params == pytest.approx({"c": 1.79, "a": -0.713, "b": 0.307})
    assert law.scatter == 0
    assert law.predict(1e9, 1e11)[0] == pytest.approx(1.79 * 1e9**-0.713 * 1e11**0.307)


@pytest.mark.parametrize("points", [4, 6, 9, 17])
@pytest.mark.parametrize("scatter", [0.0, 0.3])
def test_errors_of_simulated_laws(points: int, scatter: float) -> None:
    rng = np.random.default_rng(points)
    inputs = np.exp(3 * (np.outer(np.arange(points), [0.7549, 0.5698]) % 1))  # spread evenly over a square
    covered, found, reported = [], [], []
    for _ in range(100):
        noise = 0.03 + 0.25 * rng.random(points) ** 2
        estimated = noise * np.sqrt(rng.chisquare(6, points) / 6)
        log = -0.7 * np.log(inputs[:, 0]) + 0.3 * np.log(inputs[:, 1])
        log += np.hypot(noise, scatter) * rng.standard_normal(points)
        law = fit_power_law(PLANE, inputs, np.exp(log), estimated)
        assert law is not None
        for name, truth in (("a", -0.7), ("b", 0.3)):
            interval = law.interval[name]
            assert interval is not None
            covered.append(interval[0] <= truth <= interval[1])
        found.append([law.params["a"], law.params["b"]])
        reported.append([law.stderr["a"], law.stderr["b"]])
    assert np.mean(covered) >= 0.86
    # Four points leave one degree of freedom: hardly a scatter can be estimated, which the interval makes up for.
    ratio = np.mean(np.array(reported, float), axis=0) / np.std(np.array(found, float), axis=0)
    assert (ratio > (0.5 if points == 4 else 0.75)).all()
    assert (ratio < 1.7).all()


def test_scatter_beyond_the_noise_is_found() -> None:
    rng = np.random.default_rng(0)
    d = np.exp(rng.uniform(0, 5, 200))
    y = 2 * d**0.5 * np.exp(0.2 * rng.standard_normal(200))
    law = fit_power_law(LINE, d[:, None], y, np.full(200, 0.1))
    assert law is not None
    assert law.scatter == pytest.approx(np.sqrt(0.2**2 - 0.1**2), rel=0.15)


def test_a_precise_point_weighs_more() -> None:
    d, y, error = (
        np.array([1.0, 10.0, 100.0, 1.0]),
        np.array([1.0, 10.0, 100.0, 2.0]),
        np.array([0.01, 0.01, 0.01, 1.0]),
    )
    law = fit_power_law(LINE, d[:, None], y, error)
    assert law is not None
    assert law.params["e"] == pytest.approx(1.0, abs=0.01)


def test_inputs_that_move_together() -> None:
    n = np.array([1e6, 3e6, 1e7, 3e7])
    law = fit_power_law(PLANE, np.stack([n, 20 * n], axis=1), 5 * n**-0.4, np.full(4, 0.1))
    assert law is not None
    assert law.collinear
    assert set(law.params.values()) == set(law.stderr.values()) == set(law.interval.values()) == {None}
    assert law.to_dict()["params"] == {"c": None, "a": None, "b": None}
    value, error = law.predict(1e8, 20e8)
    assert value == pytest.approx(5 * 1e8**-0.4)
    assert error is not None
    assert error > 0


def test_an_input_that_hardly_varies_hides_its_own_exponent_and_the_factor() -> None:
    n, d = np.array([1e6, 3e6, 1e7, 3e7]), 1e9 * np.array([1.0, 1.004, 0.998, 1.001])
    law = fit_power_law(PLANE, np.stack([n, d], axis=1), 5 * n**-0.4 * d**0.3, np.full(4, 0.1))
    assert law is not None
    assert law.collinear
    assert law.params == {"c": None, "a": pytest.approx(-0.4, abs=0.003), "b": None}
    assert law.stderr["a"] is not None
    assert law.stderr["c"] is None
    assert law.interval["b"] is None
    assert law.predict(1e8, 1e9)[0] == pytest.approx(5 * 1e8**-0.4 * 1e9**0.3, rel=0.02)


def test_too_few_points_tell_no_law_and_just_enough_no_error() -> None:
    d = np.array([1.0, 10.0, 10.01])
    assert fit_power_law(LINE, d[:1, None], d[:1], d[:1]) is None
    assert fit_power_law(LINE, d[1:, None], d[1:], d[1:]) is None
    law = fit_power_law(LINE, d[:2, None], d[:2], d[:2])
    assert law is not None
    assert law.stderr == {"d": None, "e": None}
    assert law.predict(100.0) == (pytest.approx(100.0), None)
