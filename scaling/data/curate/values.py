"""Values of a curation's options as people write them, each checked with a message that says what it must be."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator

from scaling.data.curate.rules.thresholds import RULES
from scaling.data.curate.text.language_codes import check_code
from scaling.quantity import parse_quantity

_Item = TypeVar("_Item")
_LONGEST_GRAM = 64


def _number(value: object) -> float:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError("must be a number such as 0.65, 6, 30M or 40%")
    return parse_quantity(value)


def _share(value: object) -> float:
    number = _number(value)
    if not 0 < number <= 1:
        raise ValueError("must be a share above 0 and at most 1, such as 80%")
    return number


def _similarity(value: object) -> float:
    number = _share(value)
    if number < 0.5:
        raise ValueError("must be a share of 0.5 at least, as fewer common words make no near-duplicates")
    return number


def _share_or_references(value: object) -> object:
    if value == "references":
        return value
    try:
        return _share(value)
    except ValueError:
        raise ValueError("must be a share above 0 and at most 1, such as 50%, or the word references") from None


def _count(value: object) -> int:
    number = _number(value)
    if not number.is_integer() or not 1 <= number <= 2**48:
        raise ValueError("must be a whole number of 1 at least, such as 6 or 30M")
    return int(number)


def _gram(value: object) -> int:
    count = _count(value)
    if count > _LONGEST_GRAM:
        raise ValueError(f"must be at most {_LONGEST_GRAM} words")
    return count


def _or_off(value: object) -> object:
    return None if value in ("off", "none") or value is False else value


def _switch(value: object) -> bool:
    if value != "off" and not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value is True


def _language(value: object) -> object:
    if isinstance(value, str) and (message := check_code(value)) is not None:
        raise ValueError(message)
    return value


def _limit(value: object) -> object:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("must be a pair [least, most], such as [50, 100k] or [null, 0.3]")
    least, most = (None if each is None or each == "off" else _number(each) for each in value)
    if least is not None and most is not None and least > most:
        raise ValueError(f"the least, {least:g}, is above the most, {most:g}")
    return least, most


def _rule(value: object) -> object:
    if isinstance(value, str):
        if value not in SETS:
            raise ValueError(f"'{value}' is no set of rules; they are {', '.join(SETS)}{_close(value, SETS)}")
        return value
    if not isinstance(value, Mapping) or not value:
        raise ValueError("must be a set of rules, or limits of single rules such as {gopher.words: [50, 100k]}")
    known, errors = {}, []
    for name, limits in value.items():
        if name not in RULES:
            errors.append(f"no rule is called '{name}'{_close(str(name), tuple(RULES))}")
            continue
        try:
            known[name] = _limit(limits)
        except ValueError as error:
            errors.append(f"{name}: {error}")
    if errors:
        raise ValueError("; ".join(errors))
    return known


def _once(items: tuple["RuleItem", ...]) -> tuple["RuleItem", ...]:
    limited = [name for item in items if not isinstance(item, str) for name in item]
    for name in limited:
        if limited.count(name) > 1:
            raise ValueError(f"the limits of {name} are given twice")
    return items


def _some(values: tuple[_Item, ...]) -> tuple[_Item, ...]:
    if not values:
        raise ValueError("the list is empty")
    return values


def _close(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str | Mapping) else value


def _words(value: object) -> object:
    return [value] if isinstance(value, str) else value


Share = Annotated[float, BeforeValidator(_share)]
Count = Annotated[int, BeforeValidator(_count)]
Gram = Annotated[int, BeforeValidator(_gram)]
Names = Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(_some)]
Limit = tuple[float | None, float | None]
"""Least and most of a rule; None has no limit."""
SETS = ("gopher", "fineweb", "c4")
RuleItem = Annotated[str | dict[str, Limit], BeforeValidator(_rule)]
Rules = Annotated[tuple[RuleItem, ...], BeforeValidator(_listed), AfterValidator(_once)]
Paths = Annotated[tuple[str, ...], BeforeValidator(_words)]
Languages = Annotated[
    tuple[Annotated[str, BeforeValidator(_language)], ...], BeforeValidator(_words), AfterValidator(_some)
]
Thirds = Annotated[tuple[Literal["head", "middle", "tail"], ...], BeforeValidator(_words), AfterValidator(_some)]
Similarity = Annotated[float, BeforeValidator(_similarity)]
ShareOrReferences = Annotated[float | Literal["references"], BeforeValidator(_share_or_references)]
ShareOrOff = Annotated[Share | None, BeforeValidator(_or_off)]
Switch = Annotated[bool, BeforeValidator(_switch)]
