"""Functional forms of the loss that a run ends with.

To add a law, write its function and one entry in the tuple below it, in ``surface.py`` (parameters and tokens) or
``compute.py`` (compute alone). Fit, choice of law, intervals and backtest find it here.
"""

from analysis.laws import compute, surface
from analysis.laws.law import Inputs, Law, X

__all__ = ["LAWS", "Inputs", "Law", "X", "candidates"]

LAWS: dict[str, Law[Inputs]] = {law.name: law for law in (*surface.LAWS, *compute.LAWS)}


def candidates(inputs: Inputs) -> list[Law[Inputs]]:
    """The laws to weigh against each other on these runs: one for repeated data only where data repeat."""
    return [law for law in LAWS.values() if law.auto and ("unique_tokens" not in law.needs or inputs.repeated)]
