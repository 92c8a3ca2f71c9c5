"""The mixtures that a sweep file asks for: their shares, what they span, and how well they fill the space."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.diagnostics.codes import Diagnostic
from analysis.mixing.optimum import Allowed
from analysis.result import Result
from analysis.table_text import table_text
from scaling.errors import InputError
from scaling.sweep.plan.evaluation import load_sweep_text
from scaling.sweep.plan.mixtures import SweepMixtures, sweep_mixtures
from scaling.sweep.spec.mixtures import PROPORTIONAL, UNIFORM
from scaling.sweep.spec.sweep_file import load_sweep

_DRAWN = 1000  # mixtures that are drawn to see how far they lie from those of the design
_FEWEST_MORE = 2  # mixtures than sources, that laws want
_SPAN = 3.0  # times by which a source's share must differ


@dataclass(frozen=True)
class MixtureDesign(Result):
    """The mixtures of a sweep's runs.

    Attributes:
        mixtures: share of each source, by the mixture's name; ``design 3`` is the third of the file's design.
        spans: least and largest share of each source.
        nearest: distance of the two mixtures that are nearest to each other.
        gap: distance at which the median of mixtures drawn evenly from all lies from the nearest of these.
        holds: of ``proportional`` and ``uniform``, those that lie in the convex hull.
        warnings: in words and codes.

    Distances are Hellinger's: 0 for the same shares, 1 for no source in common.
    """

    mixtures: Mapping[str, Mapping[str, float]]
    spans: Mapping[str, tuple[float, float]]
    nearest: float | None
    gap: float
    holds: tuple[str, ...]
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        sources = list(self.spans)
        head = f"{len(self.mixtures)} mixtures of {len(sources)} sources; shares in percent"
        rows = [
            (name, *(f"{100 * shares[source]:.1f}" for source in sources)) for name, shares in self.mixtures.items()
        ]
        rows += [
            (title, *(f"{100 * self.spans[source][end]:.1f}" for source in sources))
            for end, title in enumerate(("least", "largest"))
        ]
        nearest = "" if self.nearest is None else f"; the two nearest to each other {self.nearest:.3f}"
        return "\n".join(
            [
                head,
                table_text("l" + "r" * len(sources), ("mixture", *sources), rows, indent=2),
                f"in their convex hull: {', '.join(self.holds) or 'neither proportional nor uniform'}",
                f"any mixture lies {self.gap:.3f} from the nearest of these (median){nearest}: of 0 to 1",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling mixture design``."""
        plain = asdict(self)
        return {
            **plain,
            "spans": {name: list(ends) for name, ends in self.spans.items()},
            "holds": list(self.holds),
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """One row a mixture, one column a source."""
        return pd.DataFrame(self.mixtures).T


def design_mixtures(sweep: str | Path, *, overrides: Sequence[str] = ()) -> MixtureDesign:
    """Lists the mixtures that a sweep file asks for; spends nothing.

    Args:
        sweep: the sweep's file.
        overrides: ``key=value`` each, in place of what the file says.

    Raises:
        InputError: an impossible sweep, with file, line and column, or one without mixtures.
    """
    spec = load_sweep(str(sweep), tuple(overrides))
    if spec.mixtures is None:
        raise InputError(f"{sweep}: has no mixtures: its runs are all on its corpus as it is")
    known = sweep_mixtures(spec, load_sweep_text(spec))
    wanted = {name for block in spec.fit for name in (block.mixtures if isinstance(block.mixtures, tuple) else ())}
    mixtures = {
        **{f"design {number}": shares for number, shares in enumerate(known.design, 1)},
        **{name: shares for name, shares in known.named.items() if name in wanted and shares not in known.design},
    }
    return _described(mixtures, known)


def _described(mixtures: Mapping[str, Mapping[str, float]], known: SweepMixtures) -> MixtureDesign:
    sources = list(known.named[UNIFORM])
    shares = np.array([[each[source] for source in sources] for each in mixtures.values()])
    hull, nowhere = Allowed(shares, np.ones(len(sources))), np.zeros(len(sources))
    common = {name: np.array([known.named[name][source] for source in sources]) for name in (PROPORTIONAL, UNIFORM)}
    apart = _distances(shares, shares)[np.triu_indices(len(shares), 1)]
    drawn = np.random.default_rng(0).dirichlet(np.ones(len(sources)), _DRAWN)
    low, high = shares.min(axis=0).tolist(), shares.max(axis=0).tolist()
    return MixtureDesign(
        mixtures=mixtures,
        spans={source: (low[place], high[place]) for place, source in enumerate(sources)},
        nearest=float(apart.min()) if len(apart) else None,
        gap=float(np.median(_distances(drawn, shares).min(axis=1))),
        holds=tuple(name for name, mixture in common.items() if hull.room(mixture, nowhere) > 0),
        warnings=tuple(_warnings(shares, sources)),
    )


def _warnings(shares: Float[np.ndarray, "mixtures sources"], sources: list[str]) -> Iterator[Diagnostic]:
    different, needed = len(np.unique(shares, axis=0)), len(sources) + _FEWEST_MORE
    if different < needed:
        yield Diagnostic(
            "few-runs", f"{different} different mixtures of {len(sources)} sources: laws want {needed} or more"
        )
    narrow = [source for source, column in zip(sources, shares.T, strict=True) if column.max() < _SPAN * column.min()]
    if narrow:
        yield Diagnostic(
            "few-runs",
            f"the share of {', '.join(narrow)} differs by less than three times: too little to tell what it does",
        )


def _distances(
    first: Float[np.ndarray, "first sources"], second: Float[np.ndarray, "second sources"]
) -> Float[np.ndarray, "first second"]:
    return np.sqrt(np.maximum(1 - np.sqrt(first) @ np.sqrt(second).T, 0.0))
