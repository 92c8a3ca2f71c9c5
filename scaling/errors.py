"""The one exception for input that a user can mend."""

from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: one line per fault; the command line prints them and exits 2.

    Args:
        faults: one line, or several, each naming the place (``file:line:column`` where there is one), what is
            wrong and, where possible, what would be right.
    """

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))
