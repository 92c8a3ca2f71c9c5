"""Functional forms of the loss that a run ends with.

To add a law, write its function and one entry in the tuple below it, in ``parametric.py`` (parameters and tokens) or
``compute.py`` (compute alone). Fit, choice of law, intervals and backtest find it here.
A law of your own, outside this package, is added by :func:`register`.
"""

from analysis.errors import InputError
from analysis.laws import compute, parametric
from analysis.laws.law import Inputs, Law, X

__all__ = ["LAWS", "Inputs", "Law", "X", "register", "weighed"]

LAWS: dict[str, Law[Inputs]] = {law.name: law for law in (*parametric.LAWS, *compute.LAWS)}


def weighed() -> tuple[str, ...]:
    """Names of the laws that ``auto`` weighs.

    The one for repeated data is among them: where nothing repeats it is Chinchilla's with tied exponents, and also
    models parameters in excess of the tokens.
    """
    return tuple(law.name for law in LAWS.values() if law.auto)


def register(law: Law[Inputs]) -> None:
    """Registers a law, so that fits, ``auto``, intervals and backtests find it by its name.

    A process that reads a forecast made with it must register it too.

    Raises:
        InputError: if there is another law of that name.
    """
    if LAWS.get(law.name, law) is not law:
        raise InputError(f"law {law.name!r}: there is one of that name; choose another name")
    LAWS[law.name] = law
