"""The warnings that a careful expert would give about a table or a fit."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.laws import Inputs, Law
from analysis.points import Points
from analysis.table import RunTable
from analysis.warning import Warning

_FAILED = 0.25  # log loss above the fit


def of_table(table: RunTable) -> Iterator[Warning]:
    """What the columns of the rows to fit tell."""
    rows = table.fit
    if table.diverged:
        yield Warning("diverged-rows", f"{table.diverged} diverged runs are left out of the fit")
    for column in ("corpus", "tokenizer"):
        names = rows[column].dropna().unique() if column in rows else ()
        if len(names) > 1:
            listed = ", ".join(str(name) for name in names[:4])
            yield Warning(
                "pooled-corpora" if column == "corpus" else "tokenizer-mismatch",
                f"{len(names)} {column} values share one fit ({listed}): their losses are not comparable",
            )
    yield from _repeated(rows)
    yield from _untuned(rows)
    yield from _conventions(rows)
    if "decay_fraction" in rows and (undecayed := int((rows["decay_fraction"] == 0).sum())):
        yield Warning("not-decayed", f"{undecayed} runs end at full learning rate: their loss is not final")
    duplicates = int(rows.duplicated([c for c in rows if c != "run_id"]).sum())
    if duplicates:
        yield Warning("correlated-rows", f"{duplicates} rows repeat another row exactly and count twice")
    trunks = rows["trunk_id"].fillna(rows["run_id"]) if "trunk_id" in rows else rows["run_id"]
    if trunks.nunique() < len(rows) - duplicates:
        yield Warning(
            "correlated-rows",
            f"{len(rows)} rows come from {trunks.nunique()} trunks: whole trunks are resampled, not rows",
        )


def of_points(points: Points, parameters: int) -> Iterator[Warning]:
    """What the design of the runs tells about a law with so many parameters."""
    if points.cells < 2 * parameters:
        yield Warning(
            "few-runs",
            f"{points.cells} different (params, tokens) for {parameters} parameters: expect little",
        )
    x = points.inputs
    centred = np.stack([x.n - x.n.mean(), x.d - x.d.mean()])
    spread = np.linalg.svd(centred, compute_uv=False) / np.sqrt(len(points))
    if spread[1] < 0.1:
        yield Warning(
            "collinear",
            "params and tokens move together (off their common line by less than 10 %): "
            "the fit cannot tell what each of them buys",
        )


def of_floor(
    params: Mapping[str, float], law: Law[Inputs], samples: Float[np.ndarray, "resamples params"], lowest: float
) -> Iterator[Warning]:
    """Whether the irreducible loss E is known."""
    if "E" not in params:
        return
    if params["E"] < 1e-3 * lowest:
        yield Warning("floor-unidentified", "the runs do not show the irreducible loss: E fits best at 0")
    elif len(samples):
        low, high = np.quantile(np.exp(samples[:, law.names.index("E")]), [0.05, 0.95])
        if high - low > 0.25 * lowest:
            yield Warning(
                "floor-unidentified",
                f"the irreducible loss is hardly known: E = {params['E']:.3g}, "
                f"90 % of resamples {low:.3g} to {high:.3g}",
            )


def of_residuals(excess: Float[np.ndarray, " rows"]) -> Iterator[Warning]:
    """Whether some rows lie so far above their own fit (log loss) that training must have failed."""
    if failed := int((excess > max(_FAILED, 10 * float(np.median(np.abs(excess))))).sum()):
        yield Warning(
            "diverged-rows",
            f"{failed} runs lost far more than the fit expects (up to {np.exp(excess.max()) - 1:.0%} more): diverged?",
        )


def of_target(points: Points, target: Inputs) -> Iterator[Warning]:
    """Whether the fitted runs reach far enough for a target."""
    edge, span = float(points.inputs.c.max()), float(np.ptp(points.inputs.c))
    if target.c[0] - edge > max(span, np.log(3.0)):
        yield Warning(
            "far-extrapolation",
            f"the target needs {np.exp(target.c[0] - edge):.3g} times the FLOPs of the largest fitted run, "
            f"further than the fitted runs themselves span ({np.exp(span):.3g} times)",
        )


def _repeated(rows: pd.DataFrame) -> Iterator[Warning]:
    epochs = np.ones(len(rows))
    if "epochs" in rows:
        epochs = np.fmax(epochs, rows["epochs"].to_numpy())
    if "unique_tokens" in rows:
        epochs = np.fmax(epochs, (rows["tokens"] / rows["unique_tokens"]).to_numpy())
    repeated = int((epochs > 1.05).sum())
    if repeated:
        yield Warning(
            "repeated-data",
            f"{repeated} of {len(rows)} runs repeat their data (up to {epochs.max():.3g} epochs), "
            "which this law counts as fresh tokens",
        )


def _untuned(rows: pd.DataFrame) -> Iterator[Warning]:
    knobs = [c for c in ("lr", "batch_tokens") if c in rows]
    if not knobs:
        return
    cell = [c for c in ("params", "tokens", "corpus", "seq_len", "width", "depth") if c in rows]
    settings = rows.groupby(cell, dropna=False)[knobs].nunique().max(axis=1)
    grids = int((settings > 1).sum())
    if grids:
        yield Warning(
            "untuned-grid",
            f"{grids} (params, tokens) have runs at several {' or '.join(knobs)}: keep the best of each before fitting",
        )


def _conventions(rows: pd.DataFrame) -> Iterator[Warning]:
    ratio = rows["flops"] / (6 * rows["params"] * rows["tokens"])
    by_size = ratio.groupby(rows["params"]).agg(["min", "max"])
    if (by_size["max"] > 1.1 * by_size["min"]).any():
        yield Warning(
            "mixed-conventions",
            "runs of one size count FLOPs per parameter and token differently: exponents move with the convention",
        )
