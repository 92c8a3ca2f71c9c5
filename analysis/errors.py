"""The one exception for input that a user can mend."""

from collections.abc import Iterable


class InputError(ValueError):
    """Bad input.

    Attributes:
        faults: one line per fault, each naming where it is: row and column, or file, line and column.
    """

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))
