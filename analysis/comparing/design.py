"""The choice of further pairs of runs to decide a comparison."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from analysis.comparing.compare import DECIDED, CompareRequest, compare
from analysis.comparing.contenders import Contender
from analysis.comparing.deciding import Further, cheapest, further_pairs, verdict
from analysis.comparing.differences.difference import Surfaces, difference
from analysis.comparing.differences.pairs import pair
from analysis.comparing.text import design_text
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.formatting import format_power
from analysis.result import Result
from analysis.runs.arrays import inputs_at


@dataclass(frozen=True)
class PairDesign:
    """Further pairs of runs of two contenders.

    Attributes:
        first: its name.
        second: its name.
        confidence: the probability of the likelier contender as it is.
        ahead: that contender.
        further: what was considered.
        chosen: the cheapest that decides in expectation; None where none does, or it is decided.
        verdict: in words.
    """

    first: str
    second: str
    confidence: float
    ahead: str
    further: tuple[Further, ...]
    chosen: Further | None
    verdict: str


@dataclass(frozen=True)
class ComparisonDesign(Result):
    """Further runs that would decide a comparison.

    Attributes:
        pairs: of each two contenders that may be the best.
        decided: the probability that is a decision.
        spend: the most FLOPs for further runs of two contenders, or None.
        warnings: those of the comparison.
    """

    pairs: tuple[PairDesign, ...]
    decided: float
    spend: float | None
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return design_text(self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling design --compare``."""
        return {
            "pairs": [asdict(each) for each in self.pairs],
            "decided": self.decided,
            "spend": self.spend,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row for each further pairs that were considered."""
        return pd.DataFrame(
            {"first": each.first, "second": each.second, **asdict(plan), "chosen": plan == each.chosen}
            for each in self.pairs
            for plan in each.further
        )


def design_comparison(
    contenders: Sequence[Contender], request: CompareRequest, spend: float | None = None
) -> ComparisonDesign:
    """Says which further pairs of runs would decide a comparison, and what they cost.

    Args:
        contenders: two or more.
        request: as of the comparison.
        spend: the most FLOPs for further runs of two contenders; by default no limit.

    Raises:
        InputError: as of a comparison; or no further pair costs as little as ``spend``.
    """
    now = compare(contenders, request)
    surfaces = Surfaces()
    found: list[PairDesign] = []
    errors: list[str] = []
    for first, second in combinations([each for each in contenders if each.name in now.may_be_best], 2):
        try:
            found.append(_of_two(first, second, request, spend, surfaces))
        except InputError as error:
            errors += error.errors
    if errors:
        raise InputError(errors)
    return ComparisonDesign(tuple(found), DECIDED, spend, now.warnings)


def _of_two(
    first: Contender, second: Contender, request: CompareRequest, spend: float | None, surfaces: Surfaces
) -> PairDesign:
    points = request.point(first), request.point(second)
    here, there = (inputs_at(point.params, point.tokens, point.flops) for point in points)
    made = difference(
        first.cells, second.cells, (here, there), seeds=request.seeds, draws=request.bootstrap, surfaces=surfaces
    )
    pairs = pair(first.cells, second.cells)
    plans = further_pairs(made, pairs, here, there, decided=DECIDED, target_seeds=request.seeds)
    affordable = plans if spend is None else tuple(plan for plan in plans if plan.cost <= spend)
    if plans and not affordable:
        raise InputError(
            f"{first.name} and {second.name}: one further run of each at their largest budget costs "
            f"{format_power(plans[0].cost)} FLOPs, which is more than `spend`"
        )
    better = float(made.better[0])
    confidence = max(better, 1 - better)
    return PairDesign(
        first=first.name,
        second=second.name,
        confidence=confidence,
        ahead=second.name if better >= 0.5 else first.name,
        further=affordable,
        chosen=cheapest(affordable, DECIDED),
        verdict=verdict(affordable, confidence, DECIDED),
    )
