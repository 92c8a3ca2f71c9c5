"""How well small sweeps of our own forecast a run of ten times their compute, on ten corpora: writes ``corpora.md``.

    python -m benchmarks.corpora

``corpora/NAME/runs.parquet`` holds the runs of ``sweeps/quickstart.yaml`` on a corpus (``NAME-1``, ``NAME-2``: with
other seeds, by ``replicate.py``), some with further budgets and sizes; ``corpora/REGIME/CORPUS`` holds those of another
kind of model. Every forecast is made anew from the runs. Where there is a ``score.json``, the forecast had also been
frozen before the target's first step. About three minutes on 2 cores.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.forecasting.baselines import LINE
from analysis.forecasting.forecast import Forecast, forecast
from analysis.runs.table import RunTable

FOLDER = Path(__file__).with_name("corpora")
# Text that nobody had looked at before the method was fixed, and the same text with other seeds.
UNSEEN = ("law", "headers", "sotu-1", "sotu-2", "python-1", "python-2")
SEEN = ("sotu", "python", "man", "perl")
BUDGETS = (1.7e10, 3e10, 5.5e10, 1e11, 1.7e11, 3e11, 5.5e11, 1e12)
DEMO = (1.7e10, 3e11)
TARGETS = {3e11: 3e12, 5.5e11: 5.5e12, 1e12: 1e13}
# What differs from two layers and 64 bytes of context; all with three or four seeds of each cell.
REGIMES = {
    "same": "two layers, 64 bytes",
    "context": "128 bytes of context",
    "layer": "one layer",
    "layers": "four layers",
    "pieces": "512 byte pairs, 64 of them",
}
_NEAR = 1.1


@dataclass(frozen=True)
class Outcome:
    """A forecast and what came of it."""

    made: Forecast
    runs: int
    actual: float

    @property
    def error(self) -> float:
        return self.made.loss / self.actual - 1

    @property
    def half_width(self) -> float:
        low, high = self.made.interval
        return (high - low) / 2 / self.made.loss

    @property
    def inside(self) -> bool:
        low, high = self.made.interval
        return low <= self.actual <= high


def outcome(runs: pd.DataFrame, lowest: float, highest: float) -> Outcome | None:
    """The forecast of a run of ten times the compute from the runs between two budgets; None if it was not trained."""
    target = runs[_at(runs, TARGETS[highest])]
    if target.empty:
        return None
    fitted = runs[(runs["flops"] > lowest / _NEAR) & (runs["flops"] < highest * _NEAR)].assign(role="fit")
    aim = target.iloc[0]
    made = forecast(
        RunTable.from_frame(fitted), aim["params"], aim["tokens"], flops=aim["flops"], target_seeds=len(target)
    )
    return Outcome(made, len(fitted), float(target["loss"].mean()))


def _at(runs: pd.DataFrame, flops: float) -> "pd.Series[bool]":
    return (runs["flops"] > flops / _NEAR) & (runs["flops"] < flops * _NEAR)


def _read(name: str) -> pd.DataFrame:
    return pd.read_parquet(FOLDER / name / "runs.parquet")


def record(names: tuple[str, ...]) -> Iterator[str]:
    """Rows of the demo's sweep on some corpora, and their summary."""
    yield "| corpus | runs | forecast, 90 % interval | actual | error | | log-log line |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    found = []
    for name in names:
        each = outcome(_read(name), *DEMO)
        assert each is not None
        found.append(each)
        low, high = each.made.interval
        line = each.made.baselines[LINE] / each.actual - 1
        yield (
            f"| {name} | {each.runs} | {each.made.loss:.4f} [{low:.4f}, {high:.4f}] (+-{each.half_width:.1%}) | "
            f"{each.actual:.4f} | {each.error:+.2%} | {'inside' if each.inside else 'outside'} | {line:+.1%} |"
        )
    errors = np.array([each.error for each in found])
    yield ""
    yield (
        f"Mean absolute error {np.abs(errors).mean():.2%}, {(errors < 0).sum()} of {len(errors)} too low, "
        f"{sum(each.inside for each in found)} inside, median half-width "
        f"{np.median([each.half_width for each in found]):.1%}."
    )


def designs() -> Iterator[str]:
    """Rows of errors by the lowest and highest fitted budget, on the corpora with further budgets."""
    yield "| budgets | target | " + " | ".join(SEEN) + " | mean, absolute | half-width |"
    yield "| --- " * (4 + len(SEEN)) + "|"
    tables = {name: _read(name) for name in SEEN}
    for highest, target in TARGETS.items():
        for lowest in [budget for budget in BUDGETS if highest / budget > 5]:
            found = {name: outcome(runs, lowest, highest) for name, runs in tables.items()}
            yield _row(f"{lowest:.2g} to {highest:.2g} | {target:.2g}", found)


def regimes() -> Iterator[str]:
    """Rows of errors by regime."""
    yield "| regime | " + " | ".join(SEEN) + " | mean, absolute | half-width |"
    yield "| --- " * (3 + len(SEEN)) + "|"
    for regime, words in REGIMES.items():
        found: dict[str, Outcome | None] = {}
        for name in SEEN:
            if regime == "same":
                found[name] = outcome(_few_seeds(_read(name)), 3e10, 3e11)
            elif (FOLDER / regime / name).exists():
                found[name] = outcome(_read(f"{regime}/{name}"), 3e10, 3e11)
        yield _row(words, found)


def _few_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """As many seeds of each cell as the other regimes have."""
    return runs[runs["seed"] < np.where(runs["flops"] < 7e10, 4, 3)]


def _row(label: str, found: dict[str, Outcome | None]) -> str:
    there = [each for name in SEEN if (each := found.get(name)) is not None]
    cells = [f"{each.error:+.1%}" if (each := found.get(name)) is not None else "" for name in SEEN]
    mean = np.mean([abs(each.error) for each in there])
    width = np.median([each.half_width for each in there])
    return f"| {label} | " + " | ".join(cells) + f" | {mean:.1%} of {len(there)} | {width:.1%} |"


def main() -> None:
    lines = [
        "# Forecasts of our own sweeps",
        "",
        "Written by `python -m benchmarks.corpora`, from the tables in `corpora/`. Each forecasts the mean loss of two",
        "runs with ten times the FLOPs of its largest.",
        "",
        "## The demo's sweep on text and seeds that no choice was made by",
        "",
        *record(UNSEEN),
        "",
        "## And on the four corpora by which the method was chosen",
        "",
        *record(SEEN),
        "",
        "## Budgets",
        "",
        "Which of its runs a sweep is forecast from: the lowest and the highest budget.",
        "",
        *designs(),
        "",
        "## Other models",
        "",
        "From 3e10 to 3e11 FLOPs, with three or four seeds of each cell.",
        "",
        *regimes(),
        "",
    ]
    Path(__file__).with_name("corpora.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
