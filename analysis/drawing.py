"""What a figure needs beside its table: found in the sweep's folder, where there is one."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from analysis import plots
from analysis.envelope import envelope
from analysis.errors import InputError
from analysis.forecast import Forecast, read_forecast
from analysis.isoflop import isoflop
from analysis.rate_plot import loss_vs_rate
from analysis.score import Score, read_score
from analysis.table import RunTable
from analysis.warning import Warning


def draw(kind: str, table: RunTable, place: Path, output: Path) -> tuple[Warning, ...]:
    """Draws a figure into a file.

    Args:
        kind: flops, tokens, isoflop, envelope, rates or residuals.
        table: the runs.
        place: the table's file, or the sweep's folder, whose forecast, score and curves are shown too.
        output: .png, .svg or .pdf.

    Raises:
        InputError: for residuals without a frozen forecast, or a place that cannot be written.
    """
    drawn, warnings = _drawing(kind, table, place)
    made = plots.figure(drawn)
    try:
        plots.save(made, str(output))
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror})") from None
    return warnings


def _drawing(kind: str, table: RunTable, place: Path) -> tuple[Callable[[Axes], Axes], tuple[Warning, ...]]:
    """What to draw, and the warnings that go with it."""
    match kind:
        case "isoflop":
            parabolas = isoflop(table.points)
            return lambda axes: plots.isoflop_parabolas(parabolas, axes), parabolas.warnings
        case "rates":
            return lambda axes: loss_vs_rate(table, axes), ()
        case "envelope":
            lowest = envelope(table.points)
            return lambda axes: plots.envelope_of_sizes(lowest, axes), lowest.warnings
    forecast, score, curves = companions(place)
    match kind:
        case "flops":
            return lambda axes: plots.loss_vs_flops(table, forecast, score, axes), ()
        case "tokens":
            return lambda axes: plots.loss_vs_tokens(table, forecast, curves, axes), ()
    if forecast is None:
        raise InputError(f"{place}: no forecast.json beside the table, so there is nothing to be off from")
    made = forecast
    return lambda axes: plots.residuals(table, made, axes), ()


def companions(place: Path) -> tuple[Forecast | None, Score | None, pd.DataFrame | None]:
    """The forecast, the score and the curves in a sweep's folder, as far as there are any."""
    if not place.is_dir():
        return None, None, None
    forecast, score, curves = (place / name for name in ("forecast.json", "score.json", "curves.parquet"))
    return (
        read_forecast(forecast) if forecast.exists() else None,
        read_score(score) if score.exists() else None,
        _read_curves(curves) if curves.exists() else None,
    )


def _read_curves(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=["run_id", "tokens", "loss"])
    except (ValueError, OSError, KeyError) as error:  # pyarrow's errors are ValueErrors
        raise InputError(f"{path}: not a readable table of curves ({str(error).strip().splitlines()[0]})") from None
