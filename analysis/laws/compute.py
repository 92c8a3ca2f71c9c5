"""Laws of compute alone, for runs that all split their budget alike: they do not separate N from D."""

import numpy as np

from analysis.laws.law import Inputs, Law, Losses, Parameters, Partials


def _compute(p: Parameters, x: Inputs) -> tuple[Losses, Partials]:
    e, a, gamma = p
    floor, work = np.exp(e), np.exp(a - gamma * x.c)
    return floor + work, (floor, work, -x.c * work)


def _broken(p: Parameters, x: Inputs) -> tuple[Losses, Partials]:
    e, a, early, late, at, f = p
    z = (x.c - at) / f
    bend = np.logaddexp(0.0, z)
    past = np.exp(z - bend)  # 0 long before the break, 1 long after
    floor, work = np.exp(e), np.exp(a - early * x.c + (early - late) * f * bend)
    return floor + work, (
        floor,
        work,
        (f * bend - x.c) * work,
        -f * bend * work,
        (late - early) * past * work,
        (early - late) * (bend - z * past) * work,
    )


_GAMMA = (0.025, 0.075, 0.15, 0.25, 0.4, 0.6)
_EXPONENT, _SLOPE = (0.0, 4.0), (0.0, 1.0)

LAWS = (
    Law(
        name="compute",
        formula="E + A / C^gamma",
        source="2001.08361, with a floor as in 2010.14701",
        needs=("flops",),
        names=("E", "A", "gamma"),
        logs=frozenset("EA"),
        starts={"gamma": _GAMMA},
        domains={"gamma": _EXPONENT},
        function=_compute,
    ),
    Law(
        name="broken",
        # The paper's c_0 is early, c_1 is late - early, d_1 is C_1: so bounded, neither side rises.
        formula="E + A / C^early (1 + (C / C_1)^(1/f))^((early - late) f)",
        source="2210.14891, equation 1 with one break",
        needs=("flops",),
        names=("E", "A", "early", "late", "C_1", "f"),
        logs=frozenset({"E", "A", "C_1"}),
        starts={
            "early": (0.05, 0.2, 0.5),
            "late": (0.05, 0.2, 0.5),
            "C_1": lambda x: tuple(np.exp(np.quantile(x.c, [0.1, 0.3, 0.5, 0.7, 0.9])).tolist()),
            "f": (0.3, 1.0),
        },
        domains={"early": _SLOPE, "late": _SLOPE, "C_1": (1e3, 1e32), "f": (0.1, 2.0)},
        function=_broken,
        auto=False,  # six parameters follow the runs anywhere: of all laws, its forecasts are the worst
    ),
)
