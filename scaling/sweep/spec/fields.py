"""Types of a sweep file's values: numbers as people write them, lists that may be a single value."""

import re
from collections import Counter
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from scaling.quantity import parse_quantity

_LARGEST = 10**15
_Item = TypeVar("_Item")
_Number = TypeVar("_Number", int, float)


class Strict(BaseModel):
    """A frozen model that takes no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


def show(value: object) -> str:
    """Text of a value in messages, at most 40 characters long."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = str(value)
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be a number such as 3e18, 15T or 40%, not {show(value)}")
    try:
        return parse_quantity(value)
    except ValueError:
        raise ValueError(f"{show(value)} is not a number such as 3e18, 15T or 40%") from None


def positive(value: object) -> float:
    """A positive number as people write it; ValueError otherwise."""
    number = _number(value)
    if number <= 0:
        raise ValueError(f"{show(value)} is not positive")
    return number


def not_negative(value: object) -> float:
    """0 or a positive number as people write it; ValueError otherwise."""
    number = _number(value)
    if number < 0:
        raise ValueError(f"{show(value)} is negative")
    return number


def _fraction(value: object) -> float:
    number = _number(value)
    if not 0 < number < 1:
        raise ValueError(f"{show(value)} is not a fraction between 0 and 1, such as 20%")
    return number


def _ratio(value: object) -> float:
    number = positive(value)
    if not 1e-3 <= number <= 1e6:
        raise ValueError(f"{show(value)} is not a ratio between 1/1000 and a million")
    return number


def _count(value: object) -> int:
    number = positive(value)
    if not number.is_integer():
        raise ValueError(f"{show(value)} is not a whole number")
    if number > _LARGEST:
        raise ValueError(f"{show(value)} is larger than anything here can be")
    return int(number)


def _seed(value: object) -> int:
    number = not_negative(value)
    if not number.is_integer() or number >= 2**32:
        raise ValueError(f"{show(value)} is not a whole number below 2^32")
    return int(number)


def _seeds(value: object) -> object:
    if isinstance(value, list | tuple):
        return value
    number = _count(value)
    if number > 1000:
        raise ValueError(f"{show(value)} seeds are more than the 1000 that are allowed; for one seed write [{number}]")
    return range(number)


def as_text(value: object) -> str:
    """A value as text, which must not be empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be text, not {show(value)}")
    return value


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


def _filled(values: tuple[_Item, ...]) -> tuple[_Item, ...]:
    if not values:
        raise ValueError("the list is empty")
    return values


def _distinct(values: tuple[_Number, ...]) -> tuple[_Number, ...]:
    for value, times in Counter(values).items():
        if times > 1:
            raise ValueError(f"{value:g} is given twice")
    return _filled(values)


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", value):
        raise ValueError(
            f"{show(value)} cannot name a folder: use up to 64 of a-z, 0-9, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    return value


Positive = Annotated[float, BeforeValidator(positive)]
NotNegative = Annotated[float, BeforeValidator(not_negative)]
Fraction = Annotated[float, BeforeValidator(_fraction)]
Ratio = Annotated[float, BeforeValidator(_ratio)]
Count = Annotated[int, BeforeValidator(_count)]
Name = Annotated[str, AfterValidator(_name)]
Seeds = Annotated[
    tuple[Annotated[int, BeforeValidator(_seed)], ...], BeforeValidator(_seeds), AfterValidator(_distinct)
]
Budgets = Annotated[tuple[Positive, ...], BeforeValidator(_as_list), AfterValidator(_distinct)]
OneOrMore = Annotated[tuple[_Item, ...], BeforeValidator(_as_list), AfterValidator(_filled)]
