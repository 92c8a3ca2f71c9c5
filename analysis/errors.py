"""The one exception for input that a user can mend."""

from collections.abc import Iterable


class InputError(ValueError):
    """Bad input.

    Attributes:
        errors: one line each, naming where it is: row and column, or file, line and column.
    """

    def __init__(self, errors: str | Iterable[str]) -> None:
        self.errors: tuple[str, ...] = (errors,) if isinstance(errors, str) else tuple(errors)
        super().__init__("\n".join(self.errors))
