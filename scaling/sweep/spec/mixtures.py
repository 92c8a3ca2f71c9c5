"""The mixtures of a sweep file: shares of the corpus's sources, by name or from a design."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, model_validator

from scaling.quantity import parse_quantity
from scaling.sweep.spec.fields import Count, Name, Positive, Strict, not_negative, positive, show

CHOSEN, PROPORTIONAL, UNIFORM = "chosen", "proportional", "uniform"
ALWAYS = (PROPORTIONAL, UNIFORM)
_MOST = 1000
# People round shares: three thirds of 33.33 % are a whole.
_NEAR_ONE = 1e-3
_SPREADS = (0.01, 100.0)
_EXAMPLE = "{code-heavy: {code: 60%, docs: 40%}}"


def _share(value: object) -> float:
    share = not_negative(value)
    if share > 1:
        raise ValueError(f"{show(value)} is more than the whole; shares are 40% or 0.4")
    return share


def _whole(shares: dict[str, float]) -> dict[str, float]:
    total = math.fsum(shares.values())
    if abs(total - 1) > _NEAR_ONE:
        raise ValueError(f"the shares sum to {total:.6g}, not to 1")
    return shares if abs(total - 1) < 1e-9 else {source: share / total for source, share in shares.items()}


def _as_shares(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError(f"must be a mapping of names to shares, such as {{code: 60%, docs: 40%}}, not {show(value)}")
    return value


def _own_name(name: str) -> str:
    if name in (CHOSEN, *ALWAYS):
        raise ValueError(f"{name!r} is there without being named")
    return name


def _around(value: object) -> object:
    if isinstance(value, str) and value in ALWAYS:
        return value
    if not isinstance(value, dict):
        raise ValueError(f"must be 'proportional', 'uniform' or shares by name, not {show(value)}")
    shares = {}
    for source, share in value.items():
        try:
            shares[source] = _share(share)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from None
    return _whole(shares)


def _own_names(value: object) -> object:
    if value is not None and (not isinstance(value, dict) or not value):
        raise ValueError(f"must be a mapping of names to shares, such as {_EXAMPLE}, not {show(value)}")
    return value


def _design(count: int) -> int:
    if count > _MOST:
        raise ValueError(f"{count} mixtures are more than the {_MOST} that are allowed")
    return count


def _spread(value: float) -> float:
    if not _SPREADS[0] <= value <= _SPREADS[1]:
        raise ValueError(f"{value:g} is not between 1/100 and 100")
    return value


def _count_or_names(value: object) -> object:
    """A count of a design's mixtures, or names of mixtures: one or several."""
    if isinstance(value, dict) or value is None or isinstance(value, bool):
        raise ValueError(f"must be a count, or names such as [proportional, uniform], not {show(value)}")
    if isinstance(value, list | tuple):
        return _distinct(value)
    try:
        parse_quantity(str(value))
    except ValueError:
        return (value,)
    number = positive(value)
    if not number.is_integer():
        raise ValueError(f"{show(value)} is not a whole number")
    return int(number)


def _names(value: object) -> object:
    return _distinct(value if isinstance(value, list | tuple) else (value,))


def _distinct(names: Sequence[object]) -> tuple[str, ...]:
    if not names:
        raise ValueError("the list is empty")
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"must be names of mixtures, not {show(name)}")
    for name, times in Counter(map(str, names)).items():
        if times > 1:
            raise ValueError(f"{name!r} is given twice")
    return tuple(map(str, names))


Shares = Annotated[
    dict[str, Annotated[float, BeforeValidator(_share)]], BeforeValidator(_as_shares), AfterValidator(_whole)
]
CountOrNames = Annotated[int | tuple[str, ...], BeforeValidator(_count_or_names)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Mixtures(Strict):
    """Mixtures of the corpus's sources that runs are trained on: a design, mixtures by name, or both.

    Shares are written as 40% or 0.4, and sum to 1. ``proportional`` (each source by the training tokens that it has)
    and ``uniform`` are there without being named.

    Attributes:
        count: mixtures of a design whose every beginning fills the space of shares. The first is ``around``.
        around: ``proportional``, ``uniform``, or a share of every source: what the design lies around.
        spread: how far from it the mixtures lie: they are of a Dirichlet distribution with the concentration
            sources * around / spread.
        least: the smallest share of every source in the design.
        names: shares by names of one's own, such as ``{code-heavy: {code: 60%, docs: 40%}}``; a source without a
            share has none of it.
    """

    count: Annotated[Count, AfterValidator(_design)] | None = None
    around: Annotated[str | dict[str, float], BeforeValidator(_around)] = PROPORTIONAL
    spread: Annotated[Positive, AfterValidator(_spread)] = 1.0
    least: Annotated[float, BeforeValidator(_share)] = 0.0
    names: Annotated[dict[Annotated[Name, AfterValidator(_own_name)], Shares] | None, BeforeValidator(_own_names)] = (
        None
    )

    @model_validator(mode="after")
    def _something(self) -> "Mixtures":
        if self.count is None and self.names is None:
            raise ValueError("needs a count, of a design, or names of shares")
        design = [key for key in ("around", "spread", "least") if key in self.model_fields_set]
        if self.count is None and design:
            raise ValueError(f"{design[0]} belongs to a design, which has a count")
        return self
