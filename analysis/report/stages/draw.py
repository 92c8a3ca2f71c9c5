"""One figure of a stage."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from analysis import plots
from analysis.errors import InputError
from analysis.report.figures import Drawing
from analysis.report.stages.figures import SIZE, STAGE_KINDS
from analysis.report.stages.findings import StageFindings, is_stage, read_stage


def draw_stage(
    kind: str, place: Path, where: str | None = None, columns: Mapping[str, str] | None = None
) -> tuple[Drawing, Figure]:
    """Draws a figure of a stage.

    Args:
        kind: a name in ``STAGE_KINDS``.
        place: the stage's folder, whose forecast is shown too, or a table's file.
        where: a filter of the rows.
        columns: our column -> the table's own.

    Raises:
        InputError: for a figure that the table cannot give.
    """
    if kind not in STAGE_KINDS:
        raise InputError(f"no figure {kind!r} of a stage; there are {', '.join(STAGE_KINDS)}")
    found = read_stage(place) if is_stage(place) else StageFindings(place)
    _, make = STAGE_KINDS[kind]
    drawing = make(replace(found, where=where, columns=columns))
    return drawing, plots.figure(drawing.draw, *SIZE)
