"""The one exception for input that a user can mend."""

from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: one line per fault, each naming row and column where there is one.

    ``analysis`` stands alone, so it has its own class beside the one of ``scaling``; the command line knows
    both.
    """

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))
