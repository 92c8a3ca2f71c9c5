"""Functional forms of the loss that a run ends with.

To add a law, write its function and one entry in the tuple below it, in ``parametric.py`` (parameters and tokens) or
``compute.py`` (compute alone). Fit, choice of law, intervals and backtest find it here.
"""

from analysis.laws import compute, parametric
from analysis.laws.law import Inputs, Law, X

__all__ = ["LAWS", "WEIGHED", "Inputs", "Law", "X"]

LAWS: dict[str, Law[Inputs]] = {law.name: law for law in (*parametric.LAWS, *compute.LAWS)}


# Those that auto weighs. The one for repeated data is among them: it also tells what parameters in excess of the tokens
# are worth, and forecasts well where nothing repeats.
WEIGHED: tuple[str, ...] = tuple(law.name for law in LAWS.values() if law.auto)
