"""One self-contained HTML page about a sweep: its forecast, what came of it, and everything behind both."""

import json
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from analysis import plots
from analysis.drawing import companions
from analysis.errors import InputError
from analysis.forecast import Forecast, write_atomically
from analysis.isoflop import isoflop
from analysis.score import Score
from analysis.table import RunTable, read_table

_COLUMNS = [
    "run_id",
    "role",
    "status",
    "params",
    "tokens",
    "flops",
    "loss",
    "loss_stderr",
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

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #202124; --paper: #ffffff; --soft: #5f6368; --line: #dadce0;
  --card: #f6f7f8; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e8eaed; --paper: #17181a; --soft: #a8adb3; --line: #3c4043; --card: #202225; }}
}}
body {{ color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, sans-serif; max-width: 62rem;
  margin: 0 auto; padding: 1.5rem; }}
h1 {{ font-size: 1.5rem; margin: 0; }} h2 {{ font-size: 1.15rem; margin: 2.2rem 0 .6rem; }}
.verdict {{ font-size: 1.15rem; background: var(--card); border-left: 4px solid #d55e00; padding: .8rem 1rem; }}
.soft, figcaption {{ color: var(--soft); }}
figure {{ margin: 1.2rem 0; }} figure svg {{ width: 100%; height: auto; color: var(--soft); }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; padding: .2rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }}
pre {{ background: var(--card); padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; }}
code {{ overflow-wrap: anywhere; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def write_report(folder: str | Path) -> Path:
    """Writes ``report.html`` of a sweep's folder.

    Reads ``runs.parquet`` and whichever of ``curves.parquet``, ``forecast.json``, ``score.json``,
    ``sweep.yaml`` and ``summary.json`` there are. The page needs no network and shows nothing unescaped.

    Returns:
        The page's path.

    Raises:
        InputError: if there is no table of runs, or a file is not what its name says.
    """
    folder = Path(folder)
    if not (folder / "runs.parquet").is_file():
        raise InputError(f"{folder}: no runs.parquet, the table of a sweep's runs")
    table = read_table(folder)
    forecast, score, curves = companions(folder)
    title = _title(table, folder)
    body = "\n".join(
        [
            f"<h1>{escape(title)}</h1>",
            _verdict(forecast, score),
            _baselines(forecast, score),
            _warnings(forecast, score),
            _figures(table, forecast, score, curves) if table.unfit is None else _no_figures(table.unfit),
            _laws(forecast),
            _noise(forecast, score),
            _runs(table.frame),
            _sweep(folder / "sweep.yaml"),
            _summary(folder / "summary.json"),
            _provenance(table, forecast, score),
        ]
    )
    path = folder / "report.html"
    write_atomically(path, _PAGE.format(title=escape(title), body=body))
    return path


def _title(table: RunTable, folder: Path) -> str:
    names = list(table.frame["sweep"].dropna().unique()) if "sweep" in table.frame else []
    return "Sweep " + (str(names[0]) if len(names) == 1 else folder.resolve().name)


def _verdict(forecast: Forecast | None, score: Score | None) -> str:
    if forecast is None:
        return '<p class="verdict">No forecast has been frozen yet.</p>'
    low, high = forecast.interval
    said = (
        f"Expected loss of {plots.short(forecast.params)} parameters on {plots.short(forecast.tokens)} tokens, "
        f"{forecast.extrapolation:.3g} times the FLOPs of the largest fitted run: <b>{forecast.loss:.4f}</b> "
        f"nats per token, {forecast.level:.0%} interval {low:.4f} to {high:.4f} "
        f"({low / forecast.loss - 1:+.1%}, {high / forecast.loss - 1:+.1%})."
    )
    if score is None:
        return f'<p class="verdict">{said} The target has not been scored yet.</p>'
    count = len(score.actuals)
    seeds = f"mean of {count} seeds" if count > 1 else "one seed"
    verdict = "inside" if score.covered else "<b>outside</b>"
    happened = (
        f"It came to <b>{score.actual:.4f}</b> ({seeds}), {verdict} the interval; the forecast missed by "
        f"<b>{score.error:+.2%}</b>."
    )
    return f'<p class="verdict">{said} {happened}</p>'


def _baselines(forecast: Forecast | None, score: Score | None) -> str:
    if forecast is None:
        return ""
    forecasts = {"fitted laws": forecast.loss, **forecast.baselines}
    rows: Iterable[list[str]]
    if score is None:
        rows = ([escape(name), f"{loss:.4f}"] for name, loss in forecasts.items())
        return "<h2>Beside naive forecasts</h2>" + _table(["forecast", "loss"], rows)
    rows = ([escape(name), f"{loss:.4f}", f"{loss / score.actual - 1:+.2%}"] for name, loss in forecasts.items())
    actual = [[f"actual, {escape(run.run_id)}", f"{run.loss:.4f}", ""] for run in score.actuals]
    return "<h2>Beside naive forecasts</h2>" + _table(["forecast", "loss", "error"], [*rows, *actual])


def _warnings(forecast: Forecast | None, score: Score | None) -> str:
    given = [*(forecast.warnings if forecast else ()), *(score.warnings if score else ())]
    if not given:
        return ""
    items = "".join(f"<li>{escape(w.message)} <code>{escape(w.code)}</code></li>" for w in given)
    return f"<h2>Warnings</h2><ul>{items}</ul>"


def _figures(table: RunTable, forecast: Forecast | None, score: Score | None, curves: pd.DataFrame | None) -> str:
    parabolas = isoflop(table.points)
    drawings: list[tuple[str, Callable[[Axes], Axes], str]] = [
        (
            "flops",
            lambda axes: plots.loss_vs_flops(table, forecast, score, axes),
            "Each dot is a fitted run. The forecast stands where the dashed line's laws were continued to; "
            "the target's own runs are drawn just beside it.",
        ),
        (
            "tokens",
            lambda axes: plots.loss_vs_tokens(table, forecast, curves, axes),
            "Thin: loss as measured during training. Dashed: what the laws expect a finished run of that "
            "size and length to lose; only endpoints (dots) are fitted, as the loss falls when the learning "
            "rate decays.",
        ),
        (
            "isoflop",
            lambda axes: plots.isoflop_parabolas(parabolas, axes),
            _isoflop_caption(parabolas.exponent),
        ),
    ]
    if forecast is not None:
        made = forecast
        drawings.append(
            (
                "residuals",
                lambda axes: plots.residuals(table, made, axes),
                "A pattern along the axis, rather than scatter, would say that the laws have the wrong form.",
            )
        )
    parts = ["<h2>Figures</h2>"]
    for name, draw, caption in drawings:
        picture = plots.svg(plots.figure(draw), name)
        parts.append(f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>")
    parts += [f'<p class="soft">{escape(warning.message)}</p>' for warning in parabolas.warnings]
    return "\n".join(parts)


def _no_figures(reason: str) -> str:
    return f'<h2>Figures</h2><p class="soft">There is nothing to draw yet. {escape(reason)}.</p>'


def _isoflop_caption(exponent: float | None) -> str:
    stars = (
        "Runs of one budget lie on a parabola over log parameters; a star marks its minimum, hollow dots a "
        "budget left out."
    )
    return stars if exponent is None else f"{stars} The best size grows as FLOPs to the power {exponent:.2f}."


def _laws(forecast: Forecast | None) -> str:
    if forecast is None:
        return ""
    rows = []
    for name, fit in forecast.fits.items():
        values = ", ".join(
            f"{escape(key)} = {value:.4g}" + (f" ± {error:.2g}" if (error := fit["stderr"][key]) is not None else "")
            for key, value in fit["params"].items()
        )
        rows.append([escape(name), f"{forecast.weights[name]:.0%}", values, f"{fit['objective']:.6g}"])
    return "<h2>Laws</h2>" + _table(["law", "weight", "parameters", "objective"], rows)


def _noise(forecast: Forecast | None, score: Score | None) -> str:
    if forecast is None or not forecast.noise["by_budget"]:
        return ""
    rows = [[f"{b['flops']:.3g}", str(b["runs"]), f"{b['std']:.2%}"] for b in forecast.noise["by_budget"]]
    if score is not None and score.seed_std is not None:
        rows.append([f"{forecast.flops:.3g} (target)", str(len(score.actuals)), f"{score.seed_std:.2%}"])
    head = ["FLOPs", "runs with a replicate", "seed standard deviation of the loss"]
    return "<h2>Seed noise by budget</h2>" + _table(head, rows)


def _runs(frame: pd.DataFrame) -> str:
    names = [name for name in _COLUMNS if name in frame]
    ordered = frame.sort_values(["flops", "params"] if "flops" in frame else ["params"])
    rows = [[escape(_cell(value)) for value in row] for row in ordered[names].itertuples(index=False, name=None)]
    return f"<h2>Runs</h2>{_table(names, rows)}"


def _sweep(path: Path) -> str:
    if not path.exists():
        return ""
    return f"<h2>The sweep</h2><pre>{escape(path.read_text(errors='replace'))}</pre>"


def _summary(path: Path) -> str:
    if not path.exists():
        return ""
    try:
        summary = dict(json.loads(path.read_text()))
    except (ValueError, TypeError, OSError) as error:
        raise InputError(f"{path}: not a readable JSON object ({str(error).splitlines()[0]})") from None
    rows = [[escape(_LABELS.get(key, str(key))), escape(_plain(value))] for key, value in summary.items()]
    return "<h2>Corpus, held-out text and time</h2>" + _table(["", ""], rows)


def _provenance(table: RunTable, forecast: Forecast | None, score: Score | None) -> str:
    rows = [["fitted rows", f"<code>{table.hash()}</code>"]] if table.unfit is None else []
    if forecast is not None:
        rows += [
            ["forecast", f"<code>{forecast.sha256}</code>"],
            ["frozen", escape(forecast.created)],
            ["version", escape(forecast.version)],
            ["counted as", escape(forecast.convention)],
        ]
    if score is not None:
        rows.append(["scored against forecast", f"<code>{escape(score.forecast_sha256)}</code>"])
    return "<h2>Provenance</h2>" + _table(["", "SHA-256"], rows)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A table of cells that are already HTML; the head is plain text."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


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
