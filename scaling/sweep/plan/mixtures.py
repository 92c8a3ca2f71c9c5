"""The mixtures of a sweep's runs: shares of its corpus's sources, by the names that the sweep file has for them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from scaling.data.mixing.shares import rounded_shares
from scaling.errors import InputError
from scaling.sweep.plan.corpus_text import SweepText
from scaling.sweep.plan.swarm import swarm
from scaling.sweep.spec.mixture_checks import Path, source_violations
from scaling.sweep.spec.mixtures import PROPORTIONAL, UNIFORM, Mixtures
from scaling.sweep.spec.sweep_spec import SweepSpec
from scaling.sweep.spec.violations import dotted

Mixture: TypeAlias = Mapping[str, float]


@dataclass(frozen=True)
class SweepMixtures:
    """The mixtures that a sweep knows, each a share of every source, in multiples of one in a million.

    Attributes:
        named: by name, ``proportional`` and ``uniform`` among them.
        design: those of the design, in order; none without one.
    """

    named: Mapping[str, Mixture]
    design: Sequence[Mixture]

    def of_block(self, wanted: int | Sequence[str] | None) -> Sequence[Mixture]:
        """Those of a block of runs: a number of the design's, or names."""
        if isinstance(wanted, int):
            return self.design[:wanted]
        return [self.named[name] for name in wanted or ()]

    def name_of(self, mixture: Mixture) -> str | None:
        """A mixture's name, or its number in the design: ``design 3``; None for one of neither."""
        known = [*self.named.items(), *((f"design {number}", each) for number, each in enumerate(self.design, 1))]
        return next((name for name, shares in known if shares == mixture), None)


def sweep_mixtures(spec: SweepSpec, text: SweepText) -> SweepMixtures:
    """The mixtures of a sweep on its text.

    Raises:
        InputError: a line for everything in the sweep's mixtures that does not suit its sources, with its location.
    """
    mixtures, sources = spec.mixtures, tuple(text.sources)
    assert mixtures is not None
    violations = list(source_violations(mixtures, spec.objective, sources, tuple(spec.evaluate or ())))
    violations += _unmeasured(spec, text)
    if violations:
        raise InputError(f"{spec.where(*path)}: {dotted(path)}: {message}" for path, message in violations)
    named: dict[str, Mixture] = {
        PROPORTIONAL: text.by_source.proportional,
        UNIFORM: rounded_shares(dict.fromkeys(sources, 1 / len(sources))),
    }
    for name, shares in (mixtures.names or {}).items():
        named[name] = whole(shares, sources)
    return SweepMixtures(named, list(_design(mixtures, named, sources)))


def measured_sources(spec: SweepSpec, text: SweepText) -> list[str]:
    """Names of the sources that have held-out text enough for a loss."""
    return list(text.by_source.windows(spec.model.seq_len, spec.eval_tokens))


def _unmeasured(spec: SweepSpec, text: SweepText) -> Iterator[tuple[Path, str]]:
    for name in spec.objective or ():
        if name in text.sources and name not in measured_sources(spec, text) and name not in (spec.evaluate or ()):
            yield ("target", "for", name), "has no held-out text as long as the context, and so no loss"


def whole(shares: Mixture, sources: Sequence[str]) -> dict[str, float]:
    """A share of every source, those that none is given for included, in multiples of one in a million."""
    return rounded_shares({source: shares.get(source, 0.0) for source in sources})


def shares_text(mixture: Mixture) -> str:
    """The shares of a mixture in percent, in the order of its sources: ``60/40``."""
    return "/".join(f"{100 * share:.1g}" if share < 0.01 else f"{100 * share:.0f}" for share in mixture.values())


def _design(mixtures: Mixtures, named: Mapping[str, Mixture], sources: Sequence[str]) -> Iterator[Mixture]:
    if mixtures.count is None:
        return
    around = named[mixtures.around] if isinstance(mixtures.around, str) else whole(mixtures.around, sources)
    centre = np.array([around[source] for source in sources])
    yield around
    for row in swarm(centre, mixtures.count, mixtures.spread, mixtures.least)[1:]:
        yield rounded_shares(dict(zip(sources, row.tolist(), strict=True)))
