"""Small Llamas under a compute budget, and forecasts of large ones: the front door of both packages.

    import scaling as sl

    runs = sl.read_runs("runs.csv", where="corpus == 'c4'", columns={"params": "N"})
    print(sl.forecast(runs, params=8e9, tokens=15e12))

Every name is imported when it is first used, so that ``import scaling`` costs nothing and a forecast needs no JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis import laws
    from analysis.errors import InputError
    from scaling.api.allocations import allocate, envelope, isoflop
    from scaling.api.answers.samples import sample
    from scaling.api.comparing.comparisons import backtest_comparisons, compare, design_comparison, score_comparison
    from scaling.api.designs import design
    from scaling.api.fits import fit, published
    from scaling.api.forecasts import backtest, forecast, forecast_task, score
    from scaling.api.hardware.costs import cost, published_hours
    from scaling.api.hardware.feasible import feasible
    from scaling.api.hardware.models import models
    from scaling.api.imports import import_runs
    from scaling.api.mixing.choices import backtest_mixtures, choose_mixture, fit_mixture, score_mixture
    from scaling.api.mixing.designs import design_mixtures
    from scaling.api.pages import plot, report
    from scaling.api.rewards import fit_rewards, forecast_rewards, score_rewards
    from scaling.api.rl_fits import fit_rl
    from scaling.api.running.sweeps import plan, run
    from scaling.api.selections import select_runs
    from scaling.api.tables import read_runs

__version__ = "0.1.0"

__all__ = [
    "InputError",
    "allocate",
    "backtest",
    "backtest_comparisons",
    "backtest_mixtures",
    "choose_mixture",
    "compare",
    "cost",
    "design",
    "design_comparison",
    "design_mixtures",
    "envelope",
    "feasible",
    "fit",
    "fit_mixture",
    "fit_rewards",
    "fit_rl",
    "forecast",
    "forecast_rewards",
    "forecast_task",
    "import_runs",
    "isoflop",
    "laws",
    "models",
    "plan",
    "plot",
    "published",
    "published_hours",
    "read_runs",
    "report",
    "run",
    "sample",
    "score",
    "score_comparison",
    "score_mixture",
    "score_rewards",
    "select_runs",
]

_HOMES = {
    "analysis.errors": ("InputError",),
    "scaling.api.allocations": ("allocate", "envelope", "isoflop"),
    "scaling.api.hardware.costs": ("cost", "published_hours"),
    "scaling.api.comparing.comparisons": (
        *("backtest_comparisons", "compare", "design_comparison", "score_comparison"),
    ),
    "scaling.api.designs": ("design",),
    "scaling.api.hardware.feasible": ("feasible",),
    "scaling.api.hardware.models": ("models",),
    "scaling.api.imports": ("import_runs",),
    "scaling.api.fits": ("fit", "published"),
    "scaling.api.forecasts": ("backtest", "forecast", "forecast_task", "score"),
    "scaling.api.mixing.choices": ("backtest_mixtures", "choose_mixture", "fit_mixture", "score_mixture"),
    "scaling.api.mixing.designs": ("design_mixtures",),
    "scaling.api.pages": ("plot", "report"),
    "scaling.api.rl_fits": ("fit_rl",),
    "scaling.api.rewards": ("fit_rewards", "forecast_rewards", "score_rewards"),
    "scaling.api.answers.samples": ("sample",),
    "scaling.api.selections": ("select_runs",),
    "scaling.api.running.sweeps": ("plan", "run"),
    "scaling.api.tables": ("read_runs",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A name of the front door, imported now (PEP 562)."""
    if name == "laws":
        return importlib.import_module("analysis.laws")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
