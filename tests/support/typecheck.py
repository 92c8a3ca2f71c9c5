"""The type checker of the tests: beartype, with an int allowed for a float, as mypy has it (PEP 484).

Each function is checked in a test's first thousand calls of it. A solver's inner function, which a bootstrap calls a
hundred thousand times with the same shapes, would take half of the test's time to check.
"""

import functools
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from beartype import BeartypeConf, beartype

F = TypeVar("F", bound=Callable[..., Any])
CHECKS = 2000  # a call's parameters are checked before it, and again with its result
_strict = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checks: Counter[tuple[str, str]] = Counter()
_off: list[Any] = []


def check(function: F) -> F:
    """Checks calls of a function, which has the name of the one that jaxtyping wraps."""
    checked, name = _strict(function), (function.__module__, function.__qualname__)

    @functools.wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        _checks[name] += 1
        if _checks[name] == CHECKS:
            _switch_off(*name)
        return checked(*args, **kwargs)

    return counted  # type: ignore[return-value]


def _switch_off(module: str, name: str) -> None:
    found: Any = sys.modules.get(module)
    for part in name.split("."):  # a function within a function has no place, and is always checked
        found = getattr(found, part, None)
    found = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
    if hasattr(found, "__wrapped__"):
        found.__no_type_check__ = True  # which jaxtyping looks for at each call
        _off.append(found)


def begin() -> None:
    """Checks every function again, as a test begins."""
    _checks.clear()
    while _off:
        del _off.pop().__no_type_check__
