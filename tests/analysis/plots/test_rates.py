"""The figure of a tuning sweep: what it draws of rates, of rates and batches, and of cells without a best rate."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from analysis.errors import InputError
from analysis.plots import figure
from analysis.plots.rates import loss_vs_rate
from analysis.runs.table import RunTable

CELLS = {1e5: 0.02, 1e6: 0.01}  # parameters: the best rate
CURVATURE = 0.02


def tuned(batches: tuple[float, ...] = (4096.0,), noise: float = 0.0005) -> pd.DataFrame:
    """Five rates at each batch, of which 4096 is the best; whole steps make the number of tokens, and so the FLOPs."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "params": params,
            "tokens": round(20 * params / batch) * batch,
            "lr": best * factor,
            "batch_tokens": batch,
            "seed": seed,
            "loss": 3.0
            * np.exp(
                0.03 * seed
                + CURVATURE * np.log(factor / 1.2) ** 2 / 2
                + 0.01 * np.log(batch / 4096) ** 2 / 2
                + noise * rng.standard_normal()
            ),
        }
        for params, best in CELLS.items()
        for batch in batches
        for factor in (0.25, 0.5, 1.0, 2.0, 4.0)
        for seed in range(2)
    ]
    return pd.DataFrame(rows)


def drawn(frame: pd.DataFrame) -> Axes:
    table = RunTable.from_frame(frame)
    return figure(lambda axes: loss_vs_rate(table, axes)).axes[0]


def marked(axes: Axes, marker: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_marker() == marker and len(np.asarray(line.get_xdata()))]


@pytest.mark.parametrize(
    "batches", [(4096.0,), (1024.0, 2048.0, 4096.0, 8192.0, 16384.0)], ids=["rates", "rates and batches"]
)
def test_a_star_at_each_best_rate_and_dots_along_the_curve(batches: tuple[float, ...]) -> None:
    axes = drawn(tuned(batches))
    stars = sorted(float(np.asarray(star.get_xdata())[0]) for star in marked(axes, "*"))
    assert stars == pytest.approx([0.012, 0.024], rel=0.1)
    assert len([c for c in axes.collections if isinstance(c, LineCollection)]) == len(stars)
    for dots, best in zip(marked(axes, "o"), CELLS.values(), strict=True):
        rate, loss = (np.asarray(values) for values in dots.get_data())
        assert len(rate) == 10  # five rates, two seeds, the best batch
        np.testing.assert_allclose(loss, 100 * np.expm1(CURVATURE * np.log(rate / best / 1.2) ** 2 / 2), atol=0.35)
        assert dots.get_markerfacecolor() != "none"
    assert axes.get_xlabel() == "peak learning rate"


def test_a_best_rate_at_the_edge_is_no_star() -> None:
    frame = tuned()
    frame = frame[(frame["params"] < 5e5) | (frame["lr"] > 0.0099)]
    two_rates = frame.iloc[:2].assign(params=5e4, tokens=1e6, lr=[0.01, 0.02])
    frame = pd.concat([frame, two_rates])
    axes = drawn(frame)
    assert len(marked(axes, "*")) == 1
    dots = marked(axes, "o")
    assert len(dots) == 2  # the cell with two rates is left out
    assert [line.get_markerfacecolor() == "none" for line in dots] == [False, True]
    assert min(np.asarray(dots[1].get_ydata())) < 0.3


def test_without_three_rates_there_is_nothing_to_draw() -> None:
    frame = tuned()
    with pytest.raises(InputError, match="three values of lr"):
        drawn(tuned((1024.0, 4096.0, 16384.0)).assign(lr=0.01))
    with pytest.raises(InputError, match="3 values"):
        drawn(frame[frame["lr"] < 1.1 * frame["params"].map(CELLS) / 2])
