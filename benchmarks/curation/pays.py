"""Whether curated text pays: the difference of two sweeps at their target, forecast before it and scored after it.

    # the data: see the heads of pays/raw.yaml and pays/curated.yaml
    scaling run sweeps/curation.yaml "corpus={path: data/raw}" --out runs/raw --fit-only
    scaling run sweeps/curation.yaml "corpus={path: data/curated}" --out runs/curated --fit-only
    python benchmarks/curation/pays.py runs/raw runs/curated --freeze difference.json
    scaling run sweeps/curation.yaml "corpus={path: data/raw}" --out runs/raw           # freezes and trains the target
    scaling run sweeps/curation.yaml "corpus={path: data/curated}" --out runs/curated
    python benchmarks/curation/pays.py runs/raw runs/curated --score difference.json

``pays/`` has what was left of these: the data files, the difference, and of each sweep its runs, forecast and score.

Both sweeps must be evaluated on the same held-out text. Runs are paired by parameters, tokens and seed, and their
differences d = log L_curated - log L_raw averaged in each budget. A line in log C goes through the budgets' means,
which scatter about it by the noise of seeds and by a standard deviation of their own (``random_effects``). The forecast
is the line at the target's FLOPs; its variance is the line's, that scatter once more, and the seeds of the target's
runs; its distribution is Student's t with two degrees of freedom less than there are budgets.
"""

import argparse
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t

from analysis.stats import LEVEL, clusters, random_effects

PAIR = ["params", "tokens", "seed"]


@dataclass(frozen=True)
class Budget:
    """The difference at one budget: mean of ``pairs`` log differences, and its standard error by the seeds alone."""

    flops: float
    pairs: int
    difference: float
    stderr: float


@dataclass(frozen=True)
class Difference:
    """A forecast of how much lower or higher the curated text's loss is at the target.

    Attributes:
        difference: L_curated / L_raw - 1 at the target.
        interval: that holds it with probability ``level``.
        level: of the interval.
        better: probability that the curated text's loss is the lower one.
        flops: of a run of the target.
        seeds: pairs of runs at the target.
        budgets: the differences that it was made from.
        slope: of the log difference, per factor e of FLOPs.
        scatter: standard deviation of the budgets about the line, beside the noise of seeds.
        rows_sha256: of the fitted rows of both tables.
        frozen: when.
    """

    difference: float
    interval: tuple[float, float]
    level: float
    better: float
    flops: float
    seeds: int
    budgets: tuple[Budget, ...]
    slope: float
    scatter: float
    rows_sha256: str
    frozen: str

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.difference:+.2%}, {self.level:.0%} interval [{low:+.2%}, {high:+.2%}]; "
            f"P(curated is better) {self.better:.4f}"
        )


def paired(raw: pd.DataFrame, curated: pd.DataFrame, role: str) -> pd.DataFrame:
    """Pairs of finished runs of a role: parameters, tokens, seed, FLOPs and the difference of the log losses."""
    sides = [table[(table["role"] == role) & (table["status"] == "done")] for table in (raw, curated)]
    pairs = sides[0].merge(sides[1], on=PAIR, suffixes=("_raw", "_curated"), validate="one_to_one")
    if len(pairs) < max(map(len, sides)):
        raise SystemExit(f"error: only {len(pairs)} of {max(map(len, sides))} runs of role {role} have a partner")
    difference = np.log(pairs["loss_curated"] / pairs["loss_raw"])
    return pairs[PAIR].assign(flops=pairs["flops_raw"], difference=difference)


def budgets_of(pairs: pd.DataFrame) -> tuple[list[Budget], float]:
    """The budgets from the lowest, and the seeds' standard deviation of a difference at the largest of them."""
    number = clusters(np.log(pairs["flops"].to_numpy()), np.log(1.2))
    budgets, std = [], 0.0
    for _, here in pairs.groupby(number):
        cells = here.groupby(["params", "tokens"])["difference"]
        freedom = len(here) - cells.ngroups
        std = float(np.sqrt(((here["difference"] - cells.transform("mean")) ** 2).sum() / freedom))
        mean = float(here["difference"].mean())
        budgets.append(Budget(float(here["flops"].mean()), len(here), mean, std / float(np.sqrt(len(here)))))
    return budgets, std


def forecast(raw: pd.DataFrame, curated: pd.DataFrame, flops: float, seeds: int) -> Difference:
    """The difference at the target, from the fitted runs of two tables."""
    pairs = paired(raw, curated, "fit")
    budgets, std = budgets_of(pairs)
    x = np.log([budget.flops / flops for budget in budgets])
    y = np.array([budget.difference for budget in budgets])
    variance = np.array([budget.stderr for budget in budgets]) ** 2
    line, scatter = random_effects(np.stack([np.ones_like(x), x], axis=1), y, variance)
    sd = float(np.sqrt(line.unit_covariance[0, 0] + scatter**2 + std**2 / seeds))
    at, reach = float(line.theta[0]), sd * float(t.ppf((1 + LEVEL) / 2, line.freedom))
    rows = pairs.sort_values(PAIR).to_csv(index=False, float_format="%.12g")
    return Difference(
        difference=float(np.expm1(at)),
        interval=(float(np.expm1(at - reach)), float(np.expm1(at + reach))),
        level=LEVEL,
        better=float(t.cdf(-at / sd, line.freedom)),
        flops=flops,
        seeds=seeds,
        budgets=tuple(budgets),
        slope=float(line.theta[1]),
        scatter=scatter,
        rows_sha256=hashlib.sha256(rows.encode()).hexdigest(),
        frozen=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def score(frozen: Path, raw: pd.DataFrame, curated: pd.DataFrame) -> str:
    """What the targets say of a frozen difference; refused if it was made from other rows."""
    told = json.loads(frozen.read_text())
    again = forecast(raw, curated, told["flops"], told["seeds"])
    if again.rows_sha256 != told["rows_sha256"]:
        raise SystemExit(f"error: {frozen}: was made from other runs")
    pairs = paired(raw, curated, "target")
    low, high = told["interval"]
    actual = float(np.expm1(pairs["difference"].mean()))
    each = ", ".join(f"{value:+.2%}" for value in np.expm1(pairs["difference"]))
    return f"forecast {again}\nactual   {actual:+.2%} ({each}), {'inside' if low <= actual <= high else 'outside'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("raw", type=Path)
    parser.add_argument("curated", type=Path)
    parser.add_argument("--freeze", type=Path)
    parser.add_argument("--score", type=Path)
    given = parser.parse_args()
    raw, curated = (pd.read_parquet(folder / "runs.parquet") for folder in (given.raw, given.curated))
    if given.score:
        print(score(given.score, raw, curated))
        return
    target = json.loads((given.raw / "plan.json").read_text())["sweep"]["target"]
    made = forecast(raw, curated, target["flops"], len(target["seeds"]))
    print(made)
    if given.freeze:
        if "target" in {*raw["role"], *curated["role"]}:
            raise SystemExit("error: a target has been trained: what is forecast now would be no forecast")
        given.freeze.write_text(json.dumps(asdict(made), indent=1) + "\n")


if __name__ == "__main__":
    main()
