"""The report's tables as plain data: naive forecasts, laws, noise, the runs, time spent, versions and hashes."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import __version__
from analysis.files import readable
from analysis.forecasting.forecast import Forecast
from analysis.forecasting.score import Score
from analysis.pages.table import Code, Table
from analysis.report.findings import Findings

_COLUMNS = [
    "run_id",
    "role",
    "status",
    "params",
    "tokens",
    "flops",
    "loss",
    "loss_stderr",
    "bits_per_byte",
    "seed",
    "lr",
    "batch_tokens",
    "width",
    "depth",
    "wall_s",
]

# Keys that `scaling run` writes into summary.json; any other key is shown as it is.
_LABELS = {
    "corpus": "corpus",
    "eval_tokens": "held-out tokens",
    "loss_stderr_documents": "held-out sampling error of the loss, nats per token, clustered by document",
    "wall_s": "wall-clock seconds, summed over the finished runs",
    "eval_s": "seconds of evaluation, summed over the finished runs",
}
_LIBRARIES = ("numpy", "scipy", "pandas", "matplotlib")


def baselines(forecast: Forecast | None, score: Score | None) -> Table | None:
    """The forecast beside naive ones, with their errors once the target is trained; None without a forecast."""
    if forecast is None:
        return None
    losses = {"fitted laws": forecast.loss, **forecast.baselines}
    name, title = "baselines", "Beside naive forecasts"
    if score is None:
        return Table(name, title, ("forecast", "loss"), tuple((name, f"{loss:.4f}") for name, loss in losses.items()))
    rows = [(name, f"{loss:.4f}", f"{loss / score.actual - 1:+.2%}") for name, loss in losses.items()]
    actual = [(f"actual, {run.run_id}", f"{run.loss:.4f}", "") for run in score.actuals]
    return Table(name, title, ("forecast", "loss", "error"), (*rows, *actual))


def laws(forecast: Forecast | None) -> Table | None:
    """Weight, constants with standard errors, and objective of each law; None without a forecast."""
    if forecast is None:
        return None
    rows = []
    for name, fit in forecast.fits.items():
        values = ", ".join(
            f"{key} = {value:.4g}" + (f" ± {error:.2g}" if (error := fit["stderr"][key]) is not None else "")
            for key, value in fit["params"].items()
        )
        rows.append((name, f"{forecast.weights[name]:.0%}", values, f"{fit['objective']:.6g}"))
    return Table("laws", "Laws", ("law", "weight", "parameters", "objective"), tuple(rows))


def noise(forecast: Forecast | None, score: Score | None) -> Table | None:
    """Seed standard deviation of the loss at each budget; None where no run has a replicate."""
    if forecast is None or not forecast.noise["by_budget"]:
        return None
    rows = [(f"{b['flops']:.3g}", str(b["runs"]), f"{b['std']:.2%}") for b in forecast.noise["by_budget"]]
    if score is not None and score.seed_std is not None:
        rows.append((f"{forecast.flops:.3g} (target)", str(len(score.actuals)), f"{score.seed_std:.2%}"))
    head = ("FLOPs", "runs with a replicate", "seed standard deviation of the loss")
    return Table("noise", "Seed noise by budget", head, tuple(rows))


def runs(frame: pd.DataFrame, columns: Sequence[str] = _COLUMNS) -> Table:
    """Every run, sortable by any column.

    Args:
        frame: the runs.
        columns: those that are shown, where the frame has them, and after them the losses on evaluation sets.
    """
    names = [name for name in columns if name in frame]
    names += [name for name in map(str, frame) if _of_evaluation_set(name) and name not in names]
    by = [name for name in ("flops", "params") if name in frame]
    ordered = frame.sort_values(by) if by else frame
    rows = (tuple(map(_cell, row)) for row in ordered[names].itertuples(index=False, name=None))
    return Table("runs", "Runs", tuple(names), tuple(rows), sortable=True)


def _of_evaluation_set(column: str) -> bool:
    return column.startswith("loss_") and not column.endswith(("_stderr", "_spikes"))


def sweep_file(folder: Path) -> str | None:
    """The text of a sweep's file as it was run, or None where the folder has none."""
    path = folder / "sweep.yaml"
    return path.read_text(errors="replace") if path.exists() else None


def spent(folder: Path) -> Table | None:
    """The corpus, its held-out text and the time spent, from ``summary.json``; None where the folder has none.

    Raises:
        InputError: if it is not readable.
    """
    path = folder / "summary.json"
    if not path.exists():
        return None
    with readable(path, "JSON object"):
        content = dict(json.loads(path.read_text()))
    rows = tuple((_LABELS.get(key, str(key)), _plain(value)) for key, value in content.items())
    return Table("spent", "Corpus, held-out text and time", (), rows)


def provenance(found: Findings) -> Table:
    """Hashes of the rows and of the forecast, and the versions that made both and this page."""
    rows: list[tuple[str | Code, ...]] = []
    if found.table.unfit is None:
        rows.append(("fitted rows, SHA-256", Code(found.table.hash())))
    if found.forecast is not None:
        rows += [
            ("forecast, SHA-256", Code(found.forecast.sha256)),
            ("forecast frozen", found.forecast.created),
            ("forecast made by version", found.forecast.version),
            ("counted as", found.forecast.convention),
        ]
    if found.score is not None:
        rows.append(("scored against forecast, SHA-256", Code(found.score.forecast_sha256)))
    used = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in _LIBRARIES)]
    rows.append(("page written by version", f"{__version__}, with {', '.join(used)}"))
    return Table("provenance", "Versions and hashes", (), tuple(rows))


def _cell(value: Any) -> str:
    """A cell of the table of runs; a missing number is empty."""
    if isinstance(value, float):
        if pd.isna(value):
            return ""
        return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e10 else f"{value:.5g}"
    return str(value)


def _plain(value: Any) -> str:
    """A value of ``summary.json`` in words."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
