"""Simulated coverage: how often intervals hold the truth, where the truth is known.

    python -m benchmarks.coverage

Two tables: intervals of parameters where the law fitted is the true one, and intervals of forecasts 10 and 30 times
beyond the largest run, by a law or by all weighed, whether the true one is among them or not. Each share comes with its
sampling error, so that nobody reads more into it. About ten minutes on two cores.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
from jaxtyping import Bool, Float

from analysis.fitting.fit import fit_arrays
from analysis.forecasting.ensemble import ensemble_of_arrays
from analysis.laws import LAWS
from benchmarks.simulate import PARAMS, TRUTHS, beyond, sweep

LEVELS = (0.68, 0.9)
FACTORS = (10.0, 30.0)
BOOTSTRAP = 200
# Law, design, noise.
PARAMETERS = (
    ("chinchilla", "isoflop", 0.001),
    ("chinchilla", "isoflop", 0.01),
    ("chinchilla", "ladder", 0.004),
    ("chinchilla", "overtrain", 0.004),
    ("chinchilla", "trunks", 0.004),
    ("chinchilla", "few_trunks", 0.004),
    ("chinchilla-tied", "ladder", 0.01),
    ("chinchilla-tied", "overtrain", 0.001),
    ("skaling", "isoflop", 0.002),
    ("compute", "isoflop", 0.004),
)
# Truth, law fitted, design, noise, sweeps.
FORECASTS = (
    ("chinchilla", "chinchilla", "isoflop", 0.004, 200),
    ("chinchilla-tied", "chinchilla-tied", "overtrain", 0.002, 200),
    ("skaling", "skaling", "isoflop", 0.002, 200),
    ("compute", "compute", "isoflop", 0.004, 200),
    ("chinchilla", "chinchilla", "few_trunks", 0.004, 200),
    ("chinchilla", "auto", "isoflop", 0.004, 40),
    ("chinchilla", "skaling", "overtrain", 0.004, 200),
    ("skaling", "chinchilla", "isoflop", 0.004, 200),
    ("chinchilla", "chinchilla-tied", "isoflop", 0.004, 200),
    ("chinchilla", "compute", "ladder", 0.004, 200),
    ("two powers", "chinchilla", "isoflop", 0.004, 200),
    ("crossed", "chinchilla", "overtrain", 0.004, 200),
    ("two powers", "auto", "isoflop", 0.004, 40),
    ("two powers", "auto", "overtrain", 0.004, 40),
    ("crossed", "auto", "overtrain", 0.004, 40),
    ("crossed", "auto", "ladder", 0.01, 40),
)


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of one new run, of many sweeps.

    Attributes:
        covered: whether the 90 % interval holds its loss, noise included.
        half_width: of the interval, as a fraction of the loss.
        error: predicted / actual - 1.
    """

    covered: Bool[np.ndarray, "sweeps factors"]
    half_width: Float[np.ndarray, "sweeps factors"]
    error: Float[np.ndarray, "sweeps factors"]


def parameters_covered(
    law: str, design: str, noise: float, bootstrap: int, seed: int
) -> Bool[np.ndarray, "intervals params"]:
    """Mask of the true parameters that lie between the resamples' quantiles, at each of ``LEVELS``.

    The last row is of the interval that one standard error makes.
    """
    truth = dict(PARAMS[law])
    result = fit_arrays(sweep(law, design, noise, seed), LAWS[law], bootstrap)
    theta = LAWS[law].internal(truth)
    ends = [np.quantile(result.samples, [(1 - level) / 2, (1 + level) / 2], axis=0) for level in LEVELS]
    held = [(low <= theta) & (theta <= high) for low, high in ends]
    near = [abs(result.params[name] - truth[name]) <= (result.stderr[name] or 0.0) for name in LAWS[law].names]
    return np.array([*held, near])


def forecast(
    truth: str, law: str, design: str, noise: float, bootstrap: int, seed: int
) -> list[tuple[bool, float, float]]:
    """Coverage of a new run, half-width of the interval and error of one sweep's forecast, at each of ``FACTORS``."""
    points = sweep(truth, design, noise, seed)
    fitted = ensemble_of_arrays(points, law, bootstrap)
    rng = np.random.default_rng([seed, 1])
    found = []
    for factor in FACTORS:
        target = beyond(points, factor)
        actual = float(TRUTHS[truth](target)[0] * np.exp(noise * rng.standard_normal()))
        loss, low, high = (float(value[0]) for value in fitted.predict(target))
        found.append((low <= actual <= high, (high - low) / 2 / loss, loss / actual - 1))
    return found


Map = Callable[..., Iterable]


def of_parameters(
    law: str, design: str, noise: float, sweeps: int, bootstrap: int = BOOTSTRAP, each: Map = map
) -> Float[np.ndarray, "intervals params"]:
    """The share of sweeps whose intervals hold each parameter: see :func:`parameters_covered`."""
    return np.mean(list(each(partial(parameters_covered, law, design, noise, bootstrap), range(sweeps))), axis=0)


def of_forecasts(
    truth: str, law: str, design: str, noise: float, sweeps: int, bootstrap: int = BOOTSTRAP, each: Map = map
) -> Forecasts:
    """Forecasts of some number of sweeps, by a law or ``auto``."""
    found = np.array(list(each(partial(forecast, truth, law, design, noise, bootstrap), range(sweeps))))
    return Forecasts(found[:, :, 0] == 1, found[:, :, 1], found[:, :, 2])


def sampling_error(share: float, sweeps: int) -> float:
    """Standard deviation of a share observed over many sweeps."""
    return float(np.sqrt(share * (1 - share) / sweeps))


def main() -> None:
    # Each process has one core: threads of the linear algebra would only get in each other's way.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        _print_parameters(pool.map)
        print()
        _print_forecasts(pool.map)


def _print_parameters(each: Map, sweeps: int = 200) -> None:
    margins = ", ".join(f"{level:.0%} +- {2 * sampling_error(level, sweeps):.1%}" for level in LEVELS)
    print(f"Parameters, {sweeps} sweeps: nominal and twice its sampling error: {margins}\n")
    print("| law | design | noise | 68 % intervals | 90 % intervals | +- stderr (68 %) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for law, design, noise in PARAMETERS:
        shares = of_parameters(law, design, noise, sweeps, each=each)
        _row(law, design, f"{noise:.1%}", *(_named(LAWS[law].names, share) for share in shares))


def _print_forecasts(each: Map) -> None:
    print("Forecasts, 90 % intervals\n")
    print("| truth | fitted | design | noise | sweeps | held at 10x | half-width | error | 30x | half-width | error |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for truth, law, design, noise, sweeps in FORECASTS:
        found = of_forecasts(truth, law, design, noise, sweeps, each=each)
        cells: list[str] = []
        for covered, width, error in zip(found.covered.T, found.half_width.T, found.error.T, strict=True):
            share = float(covered.mean())
            cells.append(f"{share:.0%} +- {sampling_error(share, sweeps):.0%}")
            cells += [f"{np.median(width):.2%}", f"{np.abs(error).mean():.2%}"]
        _row(truth, law, design, f"{noise:.1%}", str(sweeps), *cells)


def _named(names: Sequence[str], shares: Float[np.ndarray, " params"]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in zip(names, shares, strict=True))


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
