"""Random tables of runs of all kinds that people have, with forecasts, scores, curves and checks of recipes."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.errors import InputError
from analysis.forecasting.forecast import Forecast, forecast
from analysis.forecasting.score import Score, score
from analysis.report.findings import Findings
from analysis.runs.table import RunTable

LAWS = ("chinchilla", "compute", "chinchilla", "kaplan")
LEVELS = (0.9, 0.9, 0.5, 0.975, 0.995)


@dataclass(frozen=True, eq=False)
class Case:
    """A table and what lies beside it.

    Attributes:
        frame: the rows as given.
        found: what the report shows.
        origin: the rows that the forecast was made from, if others than those of the table.
    """

    seed: int
    frame: pd.DataFrame
    found: Findings
    origin: pd.DataFrame | None = None

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The finished rows to fit, told apart here by their columns alone."""
        return finished(self.frame, "fit", self.found.table.where)

    @property
    def fitted(self) -> pd.DataFrame:
        """The rows that the forecast was made from."""
        return self.rows if self.origin is None else self.origin

    @property
    def forecast(self) -> Forecast:
        assert self.found.forecast is not None
        return self.found.forecast

    @property
    def score(self) -> Score:
        assert self.found.score is not None
        return self.found.score


def finished(frame: pd.DataFrame, role: str, where: str | None = None) -> pd.DataFrame:
    rows = frame.assign(row=np.arange(1, len(frame) + 1))
    rows = rows[rows["status"] == "done"] if "status" in rows else rows
    rows = rows[np.isfinite(rows["loss"])]
    if "role" in rows:
        rows = rows[rows["role"] == role]
    elif role == "target":
        rows = rows[:0]
    if where is not None:
        rows = rows.query(where)
    if "run_id" not in rows:
        rows = rows.assign(run_id="row" + rows["row"].astype(str))
    return rows if "flops" in rows else rows.assign(flops=6.0 * rows["params"] * rows["tokens"])


def design(rng: np.random.Generator) -> pd.DataFrame:
    """Sizes and lengths: a grid over budgets, a ladder, any, one size, one length, or one run."""
    base = 10 ** rng.uniform(4, 9)
    sizes = base * np.cumprod(np.concatenate([[1.0], rng.uniform(1.2, 3, rng.integers(0, 7))]))
    kind = rng.choice(["isoflop"] * 5 + ["ladder", "lengths", "lengths", "any", "any", "size", "tokens", "one"])
    if kind in ("isoflop", "one"):
        budget = 6 * 20 * sizes[len(sizes) // 2] ** 2 * rng.choice([0.1, 1.0, 1.0, 10.0])
        budgets = budget * np.cumprod(np.concatenate([[1.0], rng.uniform(1.1, 10, rng.integers(0, 5))]))
        cells = [(n, c / 6 / n) for c in budgets for n in sizes]
    elif kind == "ladder":
        cells = [(n, 20 * n) for n in sizes]
    elif kind == "size":
        cells = [(base, base * r) for r in 10 ** rng.uniform(0, 3, rng.integers(1, 12))]
    elif kind == "tokens":
        cells = [(n, 1e3 * base) for n in sizes]
    else:
        ratios = [5.0, 20.0, 80.0] if kind == "lengths" else 10 ** rng.uniform(-1, 4, rng.integers(1, 5))
        cells = [(n, n * r) for n in sizes for r in ratios]
    cells = cells[:1] if kind == "one" else cells
    frame = pd.DataFrame(cells, columns=["params", "tokens"]).round()
    if kind == "lengths" and rng.random() < 0.5:  # the most expensive run is one of the worst
        worst = {"params": frame["params"].min(), "tokens": 1.3 * (frame["params"] * frame["tokens"]).max()}
        worst["tokens"] = round(worst["tokens"] / worst["params"])
        frame = pd.concat([frame, pd.DataFrame([worst])], ignore_index=True)
    if rng.random() < 0.2:  # whole steps of several batch sizes
        frame["tokens"] = (frame["tokens"] * rng.uniform(0.99, 1.01, len(frame))).round()
    return frame


def losses(frame: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Losses by a law with noise, and also such as no law gives."""
    kind = rng.choice(["law"] * 6 + ["equal", "rising", "random", "tied"])
    n, d = frame["params"].to_numpy(), frame["tokens"].to_numpy()
    scale = float(np.exp(np.log(n).mean()))  # where 20 tokens per parameter are the best
    a, b = scale**0.35 * rng.uniform(0.3, 3) * np.array([1.0, 20**0.35])
    loss = rng.uniform(0.5, 2) + a / n**0.35 + b / d**0.35
    if kind == "equal":
        return np.full(len(n), 3.2)
    if kind == "rising":
        return 1 + 1 / loss
    if kind == "random":
        return rng.uniform(2, 6, len(n))
    loss = loss * np.exp(rng.choice([0.0, 0.0005, 0.004, 0.05]) * rng.standard_normal(len(n)))
    return loss.round(1 if kind == "tied" else int(rng.choice([2, 4, 9])))


def table(rng: np.random.Generator) -> pd.DataFrame:
    """A table of runs with the columns of this or that source."""
    frame = design(rng)
    seeds = int(rng.choice([1, 1, 2, 3]))
    frame = pd.concat([frame.assign(seed=float(s)) for s in range(seeds)], ignore_index=True)
    if rng.random() < 0.15:
        frame = pd.concat([frame.assign(lr=lr) for lr in (0.002, 0.004, 0.008, 0.016)], ignore_index=True)
    elif rng.random() < 0.5:
        frame["lr"] = 0.01
    frame["loss"] = losses(frame, rng)
    if "lr" in frame and frame["lr"].max() > frame["lr"].min():
        frame["loss"] *= 1 + 0.03 * np.log(frame["lr"] / rng.choice([0.001, 0.006])) ** 2
    if rng.random() < 0.4:
        frame["flops"] = 6 * frame["params"] * frame["tokens"] * rng.uniform(1, 1.2)
    if rng.random() < 0.7:
        frame["run_id"] = [f"run-{i}" for i in range(len(frame))]
        if rng.random() < 0.15:  # points along runs
            frame["run_id"] = "along-" + frame[[c for c in ("params", "seed", "lr") if c in frame]].astype(str).agg(
                "-".join, axis=1
            )
        elif rng.random() < 0.15:
            frame["trunk_id"] = "trunk-" + frame["params"].astype(str)
    if rng.random() < 0.2:
        frame["corpus"] = rng.choice(["c4", "owt"], len(frame))
    if rng.random() < 0.2:
        frame["unique_tokens"] = frame["tokens"] / rng.choice([1, 4], len(frame))
    if rng.random() < 0.3:
        frame["wall_s"] = rng.uniform(0.01, 1e5, len(frame))
        frame["device"] = rng.choice(["cpu", "h100"], len(frame))
    if rng.random() < 0.2:
        frame["bits_per_byte"] = frame["loss"] * 0.36
    if rng.random() < 0.3:
        frame["status"] = np.where(rng.random(len(frame)) < 0.15, "diverged", "done")
        frame.loc[frame["status"] == "diverged", "loss"] = np.nan
    if rng.random() < 0.2:
        frame["sweep"] = "mine"
    if rng.random() < 0.2:
        frame = frame.assign(note="of ours; 3", width=64.0, epochs=1.0)
    return frame.sample(frac=1.0, random_state=int(rng.integers(2**31)), ignore_index=True)


def case(seed: int) -> Case | None:
    """The case of a seed; None where its table is refused."""
    rng = np.random.default_rng(seed)
    frame = table(rng)
    n, d = frame["params"].max() * rng.choice([1, 2, 0.5]), frame["tokens"].max() * rng.choice([0.1, 2, 10])
    targets = int(rng.choice([0, 0, 1, 3]))
    if rng.random() < 0.6:
        copies = frame.iloc[[-1] * targets].assign(params=n, tokens=d, role="target", seed=np.arange(targets) * 1.0)
        copies = copies.assign(status="done", run_id=[f"target-{i}" for i in range(targets)])
        copies["loss"] = frame["loss"].min() * rng.uniform(0.9, 1.02, targets)
        copies["bits_per_byte"] = 0.36 * copies["loss"]
        copies["flops"] = 6.0 * n * d
        frame = pd.concat([frame.assign(role="fit"), copies[[c for c in copies if c in frame or c == "role"]]])
    where = f"params > {frame['params'].median():.0f}" if rng.random() < 0.1 else None
    try:
        checked = replace(RunTable.from_frame(frame, "runs.csv"), where=where)
    except InputError:
        return None
    frame = frame.reset_index(drop=True)
    if checked.unfit is not None:
        return Case(seed, frame, Findings(checked))
    made, origin = None, None
    if rng.random() < 0.7:
        source = checked
        if rng.random() < 0.1 and len(frame) > 20:
            origin = finished(frame, "fit", where)[: len(frame) // 2]
            source = RunTable.from_frame(origin.drop(columns="row"), "other.csv")
        try:
            made = forecast(
                source,
                n,
                d,
                law=str(rng.choice(LAWS)),
                level=float(rng.choice(LEVELS)),
                bootstrap=20,
                target_seeds=max(targets, 1),
            )
        except InputError:
            origin = None
    if made is not None and origin is None and rng.random() < 0.05:  # one run is left of those of the forecast
        origin, frame = finished(frame, "fit", where), finished(frame, "fit", where)[:1].drop(columns="row")
        checked, where = RunTable.from_frame(frame, "runs.csv"), None
    known = made is not None and origin is None and checked.near(checked.targets, n, d).any()
    curves = curves_of(frame, rng) if "run_id" in frame and rng.random() < 0.3 else None
    scored = score(made, checked) if made is not None and known else None
    return Case(seed, frame, Findings(checked, made, scored, curves, tried(frame, rng)), origin)


def curves_of(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame | None:
    """Loss curves of the runs, one of which may leave the others."""
    rows, share = [], np.arange(1, 31) / 30
    for i, run in enumerate(frame.to_dict("records")):
        loss = (run["loss"] if np.isfinite(run["loss"]) else 5.0) * (1 + 0.3 * (share**-0.3 - 1))
        loss = loss * np.exp(rng.choice([0.001, 0.01]) * rng.standard_normal(30) + 0.2 * (i == 3) * (share > 0.4))
        rows.append(pd.DataFrame({"run_id": run["run_id"], "tokens": share * run["tokens"], "loss": loss}))
    return pd.concat(rows, ignore_index=True)


def tried(frame: pd.DataFrame, rng: np.random.Generator) -> RunTable | None:
    """A check of the recipe beside the sweep: three rates at its smallest and largest size, of three seeds."""
    if rng.random() < 0.6 or "lr" not in frame or "run_id" not in frame:
        return None
    done = frame[np.isfinite(frame["loss"])].drop_duplicates(["params", "tokens"]).sort_values("params")
    best, noise = rng.choice([0.004, 0.01, 0.013, 0.05]), rng.choice([1e-4, 5e-3])
    rows = [
        {**cell, "run_id": f"{i}-{lr}-{seed}", "seed": float(seed), "lr": lr, "role": "fit", "status": "done"}
        | {"loss": cell["loss"] * float(np.exp(0.05 * np.log(lr / best) ** 2 + noise * rng.standard_normal()))}
        for i, cell in enumerate(done.iloc[[0, -1]].to_dict("records"))
        for lr in (0.005, 0.01, 0.02)
        for seed in range(3)
    ]
    return RunTable.from_frame(pd.DataFrame(rows), "check")
