"""The one exception for input that a user can mend, of both packages."""

from analysis.errors import InputError

__all__ = ["InputError"]
