"""Functional forms of the loss that a run ends with.

To add a law, write its function and one entry in the tuple below it, in ``parametric.py`` (parameters and tokens),
``compute.py`` (compute alone) or ``finetuning.py`` (after pre-training). Fit, choice of law, intervals and backtest
find it here.
A law of your own, outside this package, is added by :func:`register`.
"""

from analysis.errors import InputError
from analysis.laws import compute, finetuning, parametric
from analysis.laws.law import Inputs, Law, X

__all__ = ["LAWS", "Inputs", "Law", "X", "register", "usual", "weighed"]

LAWS: dict[str, Law[Inputs]] = {law.name: law for law in (*parametric.LAWS, *compute.LAWS, *finetuning.LAWS)}


def weighed(fine_tuning: bool = False) -> tuple[str, ...]:
    """Names of the laws that ``auto`` weighs.

    The one for repeated data is among them: where nothing repeats it is Chinchilla's with tied exponents, and also
    models parameters in excess of the tokens.

    Args:
        fine_tuning: for runs of a stage of fine-tuning, where both the product of the powers of N and D and their sum
            have described published runs best.
    """
    return tuple(law.name for law in LAWS.values() if (law.fine_tuning if fine_tuning else law.auto))


def usual() -> tuple[str, ...]:
    """Names of the laws of pre-training, also of those that ``auto`` does not weigh."""
    return tuple(law.name for law in LAWS.values() if law.auto or not law.fine_tuning)


def register(law: Law[Inputs]) -> None:
    """Registers a law, so that fits, ``auto``, intervals and backtests find it by its name.

    A process that reads a forecast made with it must register it too.

    Raises:
        InputError: if there is another law of that name.
    """
    if LAWS.get(law.name, law) is not law:
        raise InputError(f"law {law.name!r}: there is one of that name; choose another name")
    LAWS[law.name] = law
