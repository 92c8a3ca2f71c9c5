"""The legend of every figure: each label is a known one, and what it says of the data holds."""

import re

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from sentences.numbers_shown import shows
from sentences.odd_tables import Case

PLAIN = {
    "a run",
    "the common curve",
    "leaves it",
    "while training",
    "finished run",
    "fitted laws",
    "fitted laws at one size",
    "fitted laws, best split",
    "envelope of the runs",
    "envelope",
    "optimum bracketed",
    "naive: largest fitted run",
    "naive: log-log line",
    "minimum",
    "budget left out",
    "N* by isoFLOP minima",
    "D* by isoFLOP minima",
    "N* by the envelope",
    "D* by the envelope",
    "the target's own",
    "best rate",
    "no best rate to believe",
}
WITH_INTERVAL = {f"{name}, 90 %" for name in PLAIN if "minima" in name} | {
    "minimum, 90 % interval",
    "best rate, two standard errors",
}


def check_labels(case: Case, axes: Axes) -> None:
    """Checks the labels of a figure's legend, and that there is something to see."""
    legend = axes.get_legend()
    for label in [] if legend is None else [text.get_text() for text in legend.get_texts()]:
        if label in WITH_INTERVAL:
            assert [c for c in axes.collections if not isinstance(c, PathCollection)], label
        elif label == "actual, each run":
            assert case.found.score is not None
        elif (level := re.fullmatch(r"(?:forecast|the frozen forecast), ([\d.]+)% interval", label)) is not None:
            assert abs(float(level[1]) - 100 * case.forecast.level) < 1e-9
        elif (split := re.fullmatch(r"from (\d+) runs up to (\S+) FLOPs", label)) is not None:
            flops = case.rows["flops"].sort_values().to_numpy()
            limits = [each.train_below for each in case.found.backtest.splits if each.n_train == int(split[1])]
            assert any(shows(split[2], limit, 2) for limit in limits)
            assert flops[int(split[1]) - 1] <= 1.03 * max(limits)
        else:
            assert label in PLAIN, f"seed {case.seed}: no check of the label {label!r}"
    places = [np.transpose(line.get_data()) for line in axes.lines]
    places += [np.asarray(dots.get_offsets()) for dots in axes.collections if isinstance(dots, PathCollection)]
    seen = np.concatenate([np.asarray(each, float).reshape(-1, 2) for each in places])
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    inside = (seen[:, 0] >= left) & (seen[:, 0] <= right) & (seen[:, 1] >= low) & (seen[:, 1] <= high)
    assert inside.any(), f"seed {case.seed}: an empty figure"
