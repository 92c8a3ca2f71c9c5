"""Laws of the loss after fine-tuning, by the answers, examples or pairs trained on (D) and the model's parameters (N).

Their curves bend: few examples teach little, and only from about as many as pre-training was worth does the loss fall
as a power (2402.02314). Such losses scatter by a percent where those of pre-training scatter by a tenth of that, so
Huber's delta is 3 %. ``E`` is fitted as it is, not as a logarithm: curves that stop before they bend back have none,
and a search down an endless slope would not settle.
"""

import numpy as np

from analysis.laws.law import Inputs, Law, Losses, Parameters, Partials


def _finetuning(p: Parameters, x: Inputs) -> tuple[Losses, Partials]:
    e, coefficient, a, b = p
    rest = np.exp(coefficient - a * x.n - b * x.d)
    return e + rest, (np.ones_like(rest), rest, -x.n * rest, -x.d * rest)


def _rectified(p: Parameters, x: Inputs) -> tuple[Losses, Partials]:
    e, coefficient, learned, b = p
    both = np.logaddexp(learned, b * x.d)
    rest = np.exp(coefficient - both)
    data = np.exp(b * x.d - both)  # 0 where the examples teach next to nothing, 1 where they are all that counts
    return e + rest, (np.ones_like(rest), rest, -rest * (1 - data), -x.d * rest * data)


def _finetuning_rectified(p: Parameters, x: Inputs) -> tuple[Losses, Partials]:
    e, coefficient, transferred, a, b = p
    data = np.logaddexp(transferred, x.d)
    rest = np.exp(coefficient - a * x.n - b * data)
    share = np.exp(transferred - data)
    return e + rest, (np.ones_like(rest), rest, -b * share * rest, -x.n * rest, -data * rest)


def _data(p: Parameters, x: Inputs) -> tuple[Losses, Partials]:
    e, coefficient, b = p
    rest = np.exp(coefficient - b * x.d)
    return e + rest, (np.ones_like(rest), rest, -x.d * rest)


def _transferred(x: Inputs) -> tuple[float, ...]:
    """Starts of the data transferred: from none, by the runs' own D, to the most of them."""
    return tuple(np.exp(np.linspace(x.d.min() - 5.0, x.d.max(), 6)).tolist())


def _learned(x: Inputs) -> tuple[float, ...]:
    """Starts of D_l, which is D to the power b where the curve bends."""
    return tuple(np.exp(np.linspace(0.1 * x.d.min(), 1.5 * x.d.max(), 16)).tolist())


_GRID = (0.1, 0.2, 0.35, 0.5, 0.8, 1.2)
_SIZE_GRID = (0.05, 0.15, 0.3, 0.6)
_FLOOR, _NONE = (0.0, np.inf), (1e-3, np.inf)
_EXPONENT, _RECTIFIED_EXPONENT = (0.0, 4.0), (0.01, 4.0)  # at 0, D_l is all and nothing falls
_DELTA = 0.03

LAWS = (
    Law(
        name="finetuning",
        formula="E + A / (N^a D^b)",
        source="2402.17193, equation 1 with model size: one term for both",
        needs=("params", "tokens"),
        names=("E", "A", "a", "b"),
        logs=frozenset("A"),
        starts={"a": (0.02, *_SIZE_GRID), "b": (0.03, *_GRID)},
        domains={"E": _FLOOR, "a": _EXPONENT, "b": _EXPONENT},
        function=_finetuning,
        auto=False,
        fine_tuning=True,
        absent=frozenset("E"),
        delta=_DELTA,
    ),
    Law(
        name="rectified",
        formula="E + B / (D_l + D^b)",
        source="2402.02314, for one size: D_l is what pre-training taught",
        needs=("tokens",),
        names=("E", "B", "D_l", "b"),
        logs=frozenset({"B", "D_l"}),
        starts={"D_l": _learned, "b": _GRID},
        domains={"E": _FLOOR, "D_l": _NONE, "b": _RECTIFIED_EXPONENT},
        function=_rectified,
        auto=False,
        fine_tuning=True,
        absent=frozenset({"E", "D_l"}),
        delta=_DELTA,
    ),
    Law(
        name="finetuning-rectified",
        formula="E + A / (N^a (D_t + D)^b)",
        source="2402.17193 and 2402.02314; D_t is the data transferred of 2102.01293",
        needs=("params", "tokens"),
        names=("E", "A", "D_t", "a", "b"),
        logs=frozenset({"A", "D_t"}),
        starts={"D_t": _transferred, "a": _SIZE_GRID, "b": _GRID},
        domains={"E": _FLOOR, "D_t": _NONE, "a": _EXPONENT, "b": _EXPONENT},
        function=_finetuning_rectified,
        auto=False,
        fine_tuning=True,
        absent=frozenset({"E", "D_t"}),
        delta=_DELTA,
    ),
    Law(
        name="data",
        formula="E + B / D^beta",
        source="2001.08361 and 1712.00409: tokens, examples or pairs alone, for one size or where size shows no effect",
        needs=("tokens",),
        names=("E", "B", "beta"),
        logs=frozenset("B"),
        starts={"beta": (0.03, *_GRID)},
        domains={"E": _FLOOR, "beta": _EXPONENT},
        function=_data,
        auto=False,
        fine_tuning=True,
        absent=frozenset("E"),
        delta=_DELTA,
    ),
)
