"""Axes of the house style: an axis can be read whatever it spans."""

import pytest
from matplotlib.axes import Axes

from analysis.plots import figure
from analysis.plots.style import log_height

SPANS = {
    "a multiplier near one": ((0.92, 1.83), [1.0, 1.2, 1.4, 1.6, 1.8]),
    "far below a decade": ((1.04, 1.11), [1.04, 1.06, 1.08, 1.1]),
    "decades": ((0.8, 30.0), [1.0, 2.0, 5.0, 10.0, 20.0]),
}


@pytest.mark.parametrize(("ends", "ticks"), SPANS.values(), ids=SPANS)
def test_a_logarithmic_height_has_several_ticks(ends: tuple[float, float], ticks: list[float]) -> None:
    def draw(axes: Axes) -> Axes:
        axes.set_ylim(*ends)
        log_height(axes, "multiplier", lambda value, _: f"{value:g}")
        return axes

    made = figure(draw).axes[0]
    made.figure.canvas.draw()
    found = [value for value in made.get_yticks() if ends[0] <= value <= ends[1]]
    assert found == pytest.approx(ticks)
    assert made.get_yscale() == "log"
