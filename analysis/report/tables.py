"""The rest of the report: laws, noise, the runs, the sweep's file, versions and hashes, each as a table."""

import json
import platform
from collections.abc import Iterable
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import __version__
from analysis.errors import InputError
from analysis.forecasting.forecast import Forecast
from analysis.forecasting.score import Score
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

# Of what `scaling run` writes into summary.json; the rest keeps its key.
_LABELS = {
    "corpus": "corpus",
    "eval_tokens": "held-out tokens",
    "loss_stderr_documents": "held-out sampling error of the loss, nats per token, clustered by document",
    "wall_s": "wall-clock seconds, summed over the finished runs",
    "eval_s": "seconds of evaluation, summed over the finished runs",
}
_LIBRARIES = ("numpy", "scipy", "pandas", "matplotlib")


def laws(forecast: Forecast | None) -> str:
    """Each law's weight and constants."""
    if forecast is None:
        return ""
    rows = []
    for name, fit in forecast.fits.items():
        values = ", ".join(
            f"{escape(key)} = {value:.4g}" + (f" ± {error:.2g}" if (error := fit["stderr"][key]) is not None else "")
            for key, value in fit["params"].items()
        )
        rows.append([escape(name), f"{forecast.weights[name]:.0%}", values, f"{fit['objective']:.6g}"])
    head = ["law", "weight", "parameters", "objective"]
    return f'<section class="laws"><h2>Laws</h2>{table(head, rows)}</section>'


def noise(forecast: Forecast | None, score: Score | None) -> str:
    """What seeds scatter by at each budget."""
    if forecast is None or not forecast.noise["by_budget"]:
        return ""
    rows = [[f"{b['flops']:.3g}", str(b["runs"]), f"{b['std']:.2%}"] for b in forecast.noise["by_budget"]]
    if score is not None and score.seed_std is not None:
        rows.append([f"{forecast.flops:.3g} (target)", str(len(score.actuals)), f"{score.seed_std:.2%}"])
    head = ["FLOPs", "runs with a replicate", "seed standard deviation of the loss"]
    return "<h2>Seed noise by budget</h2>" + table(head, rows)


def runs(frame: pd.DataFrame) -> str:
    """Every run, to be sorted by any column."""
    names = [name for name in _COLUMNS if name in frame]
    ordered = frame.sort_values(["flops", "params"] if "flops" in frame else ["params"])
    rows = [[escape(_cell(value)) for value in row] for row in ordered[names].itertuples(index=False, name=None)]
    return f'<section class="runs"><h2>Runs</h2>{table(names, rows, sortable=True)}</section>'


def sweep(path: Path) -> str:
    """The sweep's file, as it was run."""
    if not path.exists():
        return ""
    return f"<h2>The sweep</h2><pre>{escape(path.read_text(errors='replace'))}</pre>"


def summary(path: Path) -> str:
    """What ``scaling run`` tells of the corpus and of the time spent."""
    if not path.exists():
        return ""
    try:
        told = dict(json.loads(path.read_text()))
    except (ValueError, TypeError, OSError, RecursionError) as error:
        raise InputError(f"{path}: not a readable JSON object ({str(error).splitlines()[0]})") from None
    rows = [[escape(_LABELS.get(key, str(key))), escape(_plain(value))] for key, value in told.items()]
    return "<h2>Corpus, held-out text and time</h2>" + table(["", ""], rows)


def provenance(found: Findings) -> str:
    """Hashes of the rows and of the forecast, and the versions that made both and this page."""
    rows = [["fitted rows, SHA-256", f"<code>{found.table.hash()}</code>"]] if found.table.unfit is None else []
    if found.forecast is not None:
        rows += [
            ["forecast, SHA-256", f"<code>{found.forecast.sha256}</code>"],
            ["forecast frozen", escape(found.forecast.created)],
            ["forecast made by version", escape(found.forecast.version)],
            ["counted as", escape(found.forecast.convention)],
        ]
    if found.score is not None:
        rows.append(["scored against forecast, SHA-256", f"<code>{escape(found.score.forecast_sha256)}</code>"])
    used = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in _LIBRARIES)]
    rows.append(["page written by version", escape(f"{__version__}, with {', '.join(used)}")])
    return "<h2>Versions and hashes</h2>" + table(["", ""], rows)


def table(head: list[str], rows: Iterable[list[str]], sortable: bool = False) -> str:
    """A table of cells that are already HTML; the head is plain text, and sorts by its column where that is wished."""
    if sortable:
        top = "".join(f'<th aria-sort="none"><button type="button">{escape(name)}</button></th>' for name in head)
    else:
        top = "".join(f"<th>{escape(name)}</th>" for name in head)
    top = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide" tabindex="0"><table>{top}<tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, float):
        if pd.isna(value):
            return ""
        return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e10 else f"{value:.5g}"
    return str(value)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
