"""What the commands on mixtures print."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.mixing.choice import Choice


def choice_text(choice: "Choice") -> str:
    """The text of ``scaling mixture choose``."""
    raise NotImplementedError
