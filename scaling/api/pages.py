"""Reports and figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis import plots
from analysis.diagnostics.codes import Diagnostic
from analysis.files import check_figure
from analysis.forecasting.forecast import Forecast, read_forecast
from analysis.report import write_report
from analysis.report.comparisons.figures import COMPARISON_KINDS, draw_comparison
from analysis.report.draw import TABLE_KINDS, draw, save_figure
from analysis.report.figures import Drawing
from analysis.report.mixtures.figures import MIXTURE_KINDS, draw_mixture
from analysis.report.mixtures.findings import is_mixture
from analysis.report.stages.draw import draw_stage
from analysis.report.stages.figures import STAGE_KINDS
from analysis.result import Result
from scaling.api.tables import Runs, read_runs


@dataclass(frozen=True)
class Report(Result):
    """A page that was written.

    Attributes:
        path: its file.
        warnings: none.
    """

    path: Path
    warnings: tuple[Diagnostic, ...] = ()

    def __str__(self) -> str:
        return f"report         {self.path}"

    def to_dict(self) -> dict[str, Any]:
        return {"report": str(self.path)}

    def to_frame(self) -> pd.DataFrame:
        """One row: the page's path."""
        return pd.DataFrame([self.to_dict()])


def report(
    place: str | Path,
    *,
    forecast: str | Path | None = None,
    output: str | Path | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Report:
    """Writes the HTML page about a sweep's folder or a table's file; the tables of a sweep are made anew first.

    Args:
        place: the folder or file.
        forecast: a frozen forecast; by default the folder's, if it has one.
        output: the page; by default ``report.html`` in the folder, or beside the file.
        where, columns: as for :func:`read_runs`; by default those of the forecast.

    Raises:
        InputError: if there is no table of runs, or a file is not what its name says.
    """
    place = Path(place)
    if _trained_here(place):
        from scaling.pipeline import write_tables  # late: imports JAX
        from scaling.sweep.folder.sweep_folder import SweepFolder

        folder = SweepFolder(place)
        if "stage" not in folder.sweep():  # the tables of a stage are made by its chain
            write_tables(folder)
    table = read_runs(place, where=where, columns=columns) if columns or where else None
    return Report(write_report(place, output, forecast, table))


def _trained_here(place: Path) -> bool:
    """Whether a folder has a plan and run folders; a copy without them keeps the tables that it has."""
    from scaling.sweep.folder.file_names import PLAN
    from scaling.sweep.folder.sweep_folder import RUNS

    return (place / PLAN).exists() and (place / RUNS).is_dir()


@dataclass(frozen=True)
class Plot(Result):
    """A figure of a table of runs.

    Attributes:
        kind: such as ``isoflop``; ``scaling plot --help`` lists them.
        drawing: what it draws and says.
        figure: of matplotlib.
        path: the file that it was written to, or None.
        warnings: what limits it.
    """

    kind: str
    drawing: Drawing
    figure: Figure
    path: str | None
    warnings: tuple[Diagnostic, ...]

    def save(self, path: str | Path) -> None:
        """Writes the figure to a .png, .svg or .pdf.

        Raises:
            InputError: for another kind of file, or one that cannot be written.
        """
        save_figure(self.figure, path)

    def __str__(self) -> str:
        return f"figure         {self.path or self.kind}"

    def to_dict(self) -> dict[str, Any]:
        return {"figure": self.path, "warnings": [warning.to_dict() for warning in self.warnings]}

    def to_frame(self) -> pd.DataFrame:
        """One row: the kind, the file, and what the figure shows in a sentence."""
        return pd.DataFrame([{"kind": self.kind, "figure": self.path, "reading": self.drawing.reading}])

    def _repr_html_(self) -> str:
        """An SVG within the page, which names a run under the pointer."""
        return plots.svg(self.figure, self.kind)

    def _repr_png_(self) -> bytes:
        """For viewers that show no SVG within HTML, such as code hosts."""
        return plots.png(self.figure)


def plot(
    kind: str,
    runs: Runs,
    *,
    forecast: Forecast | str | Path | None = None,
    output: str | Path | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    best: bool = False,
) -> Plot:
    """Draws one figure from a table of runs.

    Args:
        kind: such as ``isoflop``; ``scaling plot --help`` lists them. Those of stages take a stage's folder or a table,
            those of comparisons a folder with contenders or what ``scaling compare --freeze`` wrote, those of mixtures
            a sweep's folder with a frozen choice or what ``scaling mixture choose --freeze`` wrote.
        runs: see :func:`read_runs`, also for ``where``, ``columns`` and ``best``. Of a sweep's folder, its forecast,
            score and curves are shown too.
        forecast: a forecast from these runs, or the file that it is frozen in, to show in place of the folder's.
        output: a .png, .svg or .pdf to write; by default none, as a notebook shows the figure.

    Raises:
        InputError: for a figure that the table cannot give, a forecast from other runs, or a file that cannot be
            written.
    """
    if kind in COMPARISON_KINDS and isinstance(runs, str | Path):
        return plot_comparison(kind, runs, output=output)
    if kind in MIXTURE_KINDS and isinstance(runs, str | Path):
        of_table = kind in TABLE_KINDS and (bool(where or columns or best) or not is_mixture(Path(runs)))
        if not of_table:
            return plot_mixture(kind, runs, output=output)
    if kind in STAGE_KINDS and isinstance(runs, str | Path):
        return plot_stage(kind, runs, output=output, where=where, columns=columns)
    if output is not None:
        check_figure("output", output)
    table = read_runs(runs, where=where, columns=columns, best=best)
    place = Path(runs) if isinstance(runs, str | Path) else Path(table.source)
    frozen = forecast if forecast is None or isinstance(forecast, Forecast) else read_forecast(forecast)
    drawing, figure = draw(kind, table, place, frozen)
    if output is not None:
        save_figure(figure, output)
    return Plot(kind, drawing, figure, None if output is None else str(output), drawing.warnings)


def plot_stage(
    kind: str,
    place: str | Path,
    *,
    output: str | Path | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Plot:
    """Draws one figure of a stage after pre-training.

    Args:
        kind: such as ``rewards``; ``scaling plot --help`` lists them.
        place: the stage's folder, whose forecast is shown too, or a table's file.
        output: a .png, .svg or .pdf to write; by default none, as a notebook shows the figure.
        where, columns: as for :func:`read_runs`.

    Raises:
        InputError: for a figure that the table cannot give, or a file that cannot be written.
    """
    if output is not None:
        check_figure("output", output)
    drawing, figure = draw_stage(kind, Path(place), where, columns)
    if output is not None:
        save_figure(figure, output)
    return Plot(kind, drawing, figure, None if output is None else str(output), drawing.warnings)


def plot_comparison(kind: str, place: str | Path, *, output: str | Path | None = None) -> Plot:
    """Draws one figure of a comparison, with its score where ``comparison_score.json`` is beside it.

    Args:
        kind: such as ``multiplier``; ``scaling plot --help`` lists them.
        place: a folder with contenders, or the file of a frozen comparison.
        output: a .png, .svg or .pdf to write; by default none, as a notebook shows the figure.

    Raises:
        InputError: for a figure that the comparison cannot give, or a file that cannot be read or written.
    """
    if output is not None:
        check_figure("output", output)
    drawing, figure = draw_comparison(kind, Path(place))
    if output is not None:
        save_figure(figure, output)
    return Plot(kind, drawing, figure, None if output is None else str(output), drawing.warnings)


def plot_mixture(kind: str, place: str | Path, *, output: str | Path | None = None) -> Plot:
    """Draws one figure of a mixture's choice, with its score where ``choice_score.json`` is beside it.

    Args:
        kind: such as ``mixtures``; ``scaling plot --help`` lists them.
        place: the folder of a sweep with mixtures, or the file of a frozen choice.
        output: a .png, .svg or .pdf to write; by default none, as a notebook shows the figure.

    Raises:
        InputError: for a figure that the choice cannot give, or a file that cannot be read or written.
    """
    if output is not None:
        check_figure("output", output)
    drawing, figure = draw_mixture(kind, Path(place))
    if output is not None:
        save_figure(figure, output)
    return Plot(kind, drawing, figure, None if output is None else str(output), drawing.warnings)
