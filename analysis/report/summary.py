"""The head of the report: the forecast in a sentence, what it cost, its warnings, and what it is worth."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.formatting import format_quantity
from analysis.report.findings import Findings
from analysis.report.tables import table

_CONSTANT = 1e-3  # bits per byte follow the loss of one corpus and tokenizer by a constant
_UNITS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"))


def title(found: Findings, place: Path) -> str:
    """The sweep's name, or else that of the folder or file."""
    frame = found.table.frame
    names = list(frame["sweep"].dropna().unique()) if "sweep" in frame else []
    return "Sweep " + str(names[0]) if len(names) == 1 else f"Runs of {place.resolve().name}"


def verdict(found: Findings) -> str:
    """The forecast in one sentence with its interval and, once it is known, the actual loss."""
    forecast, score = found.forecast, found.score
    if forecast is None:
        return '<p class="verdict">No forecast has been frozen yet.</p>'
    low, high = forecast.interval
    said = (
        f"Expected loss of {format_quantity(forecast.params)} parameters on {format_quantity(forecast.tokens)} tokens, "
        f"{forecast.extrapolation:.3g} times the FLOPs of the largest fitted run: <b>{forecast.loss:.4f}</b> "
        f"nats per token{_bits(found.table.frame, forecast.loss)}, {forecast.level:.0%} interval {low:.4f} to "
        f"{high:.4f} ({low / forecast.loss - 1:+.1%}, {high / forecast.loss - 1:+.1%})."
    )
    if score is None:
        return f'<p class="verdict">{said} The target has not been scored yet.</p>'
    count = len(score.actuals)
    seeds = f"mean of {count} seeds" if count > 1 else "one seed"
    inside = "inside" if score.covered else "<b>outside</b>"
    return (
        f'<p class="verdict">{said} It came to <b>{score.actual:.4f}</b> ({seeds}), {inside} the interval; the '
        f"forecast missed by <b>{score.error:+.2%}</b>.</p>"
    )


def _bits(frame: pd.DataFrame, loss: float) -> str:
    """The same in bits per byte, which compares between tokenizers, where the runs tell how many bytes a token has."""
    if "bits_per_byte" not in frame:
        return ""
    ratio = (frame["bits_per_byte"] / frame["loss"]).dropna()
    if ratio.empty or not np.isfinite(ratio).all() or ratio.max() > (1 + _CONSTANT) * ratio.min():
        return ""
    return f" ({loss * ratio.median():.4f} bits per byte)"


def cost(found: Findings) -> str:
    """What the runs took, and what the target takes or took: FLOPs, and seconds where they were measured."""
    frame = found.table.frame
    frame = frame.assign(role="fit") if "role" not in frame else frame
    frame = frame.assign(flops=6 * frame["params"] * frame["tokens"]) if "flops" not in frame else frame
    ended = frame if "status" not in frame else frame[frame["status"].isin(["done", "diverged"])]
    fitted, target = (ended[ended["role"] == role] for role in ("fit", "target"))
    if fitted.empty:
        return ""
    spent = float(fitted["flops"].sum())
    said = f"{len(fitted)} small runs took {spent:.3g} FLOPs{_took(fitted)}."
    forecast = found.forecast
    if forecast is None:
        return f'<p class="cost">{said}</p>'
    said += (
        f" The target takes {forecast.flops:.3g} FLOPs a run, {forecast.flops / spent:.2g} times all of these together"
    )
    if not target.empty:
        took = f"its {len(target)} runs took" if len(target) > 1 else "it took"
        return f'<p class="cost">{said}; {took} {float(target["flops"].sum()):.3g} FLOPs{_took(target)}.</p>'
    seconds = _expected(fitted, forecast.flops)
    expected = "" if seconds is None else f", about {duration(seconds)} at the speed of the largest of them"
    return f'<p class="cost">{said}{expected}.</p>'


def _took(rows: pd.DataFrame) -> str:
    """The wall-clock time of some runs, where each tells it."""
    if "wall_s" not in rows or rows["wall_s"].isna().any():
        return ""
    devices = sorted(set(rows["device"].dropna().astype(str))) if "device" in rows else []
    on = f" on {', '.join(escape(device) for device in devices)}" if devices else ""
    return f" and {duration(float(rows['wall_s'].sum()))} of training{on}, summed over workers"


def _expected(rows: pd.DataFrame, flops: float) -> float | None:
    """Seconds of some FLOPs at the speed of the dearest runs."""
    if "wall_s" not in rows:
        return None
    dearest = rows[(rows["flops"] > 0.5 * rows["flops"].max()) & (rows["wall_s"] > 0)]
    return None if dearest.empty else flops / float(dearest["flops"].sum() / dearest["wall_s"].sum())


def duration(seconds: float) -> str:
    """Such as ``3.4 hours``."""
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} seconds"


def warnings(found: Findings) -> str:
    """What limits the forecast, each in a sentence with its code; that there is nothing, where there is a forecast."""
    forecast, score, curves = found.forecast, found.score, found.collapse
    given = [*(forecast.warnings if forecast else ()), *(score.warnings if score else ())]
    given += () if isinstance(curves, str) else curves.warnings
    if not given:
        return "" if forecast is None else '<p class="soft">The forecast has no warnings.</p>'
    items = "".join(f"<li>{escape(w.message)} <code>{escape(w.code)}</code></li>" for w in dict.fromkeys(given))
    return f"<h2>Warnings</h2><ul>{items}</ul>"


def baselines(found: Findings) -> str:
    """The forecast beside those that anybody could make."""
    forecast, score = found.forecast, found.score
    if forecast is None:
        return ""
    losses = {"fitted laws": forecast.loss, **forecast.baselines}
    rows: Iterable[list[str]]
    if score is None:
        rows = ([escape(name), f"{loss:.4f}"] for name, loss in losses.items())
        return "<h2>Beside naive forecasts</h2>" + table(["forecast", "loss"], rows)
    rows = [[escape(name), f"{loss:.4f}", f"{loss / score.actual - 1:+.2%}"] for name, loss in losses.items()]
    actual = [[f"actual, {escape(run.run_id)}", f"{run.loss:.4f}", ""] for run in score.actuals]
    return "<h2>Beside naive forecasts</h2>" + table(["forecast", "loss", "error"], [*rows, *actual])
