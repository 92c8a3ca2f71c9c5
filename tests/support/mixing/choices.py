"""Choices of mixtures and their scores with any numbers, as if they had been made."""

import hashlib

import numpy as np
from jaxtyping import Float

from analysis.diagnostics.codes import Diagnostic
from analysis.mixing.choice import CHOSEN, Candidate, Choice, Span
from analysis.mixing.score import ChoiceScore, ScoredCandidate, ScoredDecision, ScoredLoss
from analysis.plots.mixtures.landscape import Grid, Landscape

NAMES = ("chosen", "proportional", "uniform", "best_run")
LAWS = ("inverse", "inverse-joint", "exponential", "exponential-joint", "bimix")
ODD = "a <b>&$x$ _very long name_ of a \u202esource\u2066"


def names(count: int, prefix: str = "source") -> tuple[str, ...]:
    """Names of sources or domains, of which the first is odd."""
    return (ODD, *(f"{prefix}_{number}" for number in range(1, count)))


def choice(seed: int, sources: int = 3, domains: int = 3) -> Choice:
    """A choice with random numbers, some of them at their ends."""
    random = np.random.default_rng(seed)
    by_source, by_domain = names(sources), names(domains, "domain")
    shares = {name: random.dirichlet(np.full(sources, 0.7)) for name in NAMES}
    shares["uniform"] = np.full(sources, 1 / sources)
    if random.random() < 0.2:
        shares["proportional"] = shares[CHOSEN]
    objective = random.dirichlet(np.ones(domains)) if random.random() < 0.5 else np.full(domains, 1 / domains)
    losses = random.uniform(1, 4, domains) * np.exp(0.03 * random.standard_normal((len(NAMES), domains)))
    middle = np.abs(random.dirichlet(np.ones(sources)))
    with_sizes = random.random() < 0.7
    laws = LAWS[: int(random.integers(1, 6))]
    weights = random.dirichlet(np.ones(len(laws)))
    made = {
        name: Candidate(
            dict(zip(by_source, shares[name].tolist(), strict=True)),
            {domain: _span(losses[place, at], random) for at, domain in enumerate(by_domain)},
            _span(float(losses[place] @ objective), random),
            {source: float(random.uniform(0.01, 8)) for source in by_source} if with_sizes else {},
        )
        for place, name in enumerate(NAMES)
    }
    low = np.minimum(shares[CHOSEN], middle)
    high = np.maximum(shares[CHOSEN], middle) if random.random() < 0.8 else low
    gains = {n: made[n].objective.value / made[CHOSEN].objective.value - 1 for n in NAMES[1:]}
    return Choice(
        candidates=made,
        ranges={name: (float(low[at]), float(high[at])) for at, name in enumerate(by_source)},
        flat=by_source[1:2] if random.random() < 0.3 else (),
        p_better={name: float(random.choice([0.0, 1.0, random.random()])) for name in NAMES[1:]},
        gain={name: Span(gain, gain - random.uniform(0, 0.02), gain + 0.01) for name, gain in gains.items()},
        scarce=None,
        objective=dict(zip(by_domain, objective.tolist(), strict=True)),
        kl=0.05,
        limits=dict.fromkeys(by_source, 4.0) if with_sizes else {},
        params=1.2e5,
        tokens=1.4e7,
        flops=1e13,
        seeds=int(random.integers(1, 4)),
        extrapolation=float(random.choice([0.5, 8.2])),
        level=float(random.choice([0.8, 0.9])),
        weights=dict(zip(laws, weights.tolist(), strict=True)),
        misses={law: None if random.random() < 0.2 else float(random.uniform(0.001, 0.06)) for law in laws},
        level_sd=dict.fromkeys(by_domain, 0.01),
        n_runs=40,
        n_mixtures=22,
        source="nowhere.csv",
        where=None,
        columns=None,
        mix="mix_*",
        losses_pattern="loss_*",
        held_out={by_domain[0]: "1" * 64} if random.random() < 0.5 else {},
        table_hash="0" * 64,
        warnings=(Diagnostic("one-scale", f"mixtures of {ODD} were tried at one amount of compute only"),),
        version="0",
        created="2026-01-01T00:00:00+00:00",
    )


def _span(value: float, random: np.random.Generator) -> Span:
    below, above = random.uniform(0.001, 0.05, 2)
    return Span(float(value), float(value * (1 - below)), float(value * (1 + above)))


def scored(made: Choice, seed: int) -> ChoiceScore:
    """A score of a choice with random losses; some candidates were not trained."""
    random = np.random.default_rng(seed)
    trained = [name for name in made.candidates if random.random() < 0.7] or [CHOSEN]
    found = {}
    for name in trained:
        each = made.candidates[name]
        losses = {domain: _came(span, random) for domain, span in each.losses.items()}
        found[name] = ScoredCandidate((f"{name}-0", f"{name}-1"), losses, _came(each.objective, random))
    decisions = []
    for name in trained if CHOSEN in trained else ():
        if name != CHOSEN:
            actual = found[name].objective.actual / found[CHOSEN].objective.actual - 1
            better, right = made.p_better[name], (made.p_better[name] >= 0.5) == (actual > 0)
            decisions.append(ScoredDecision(name, better, right, 0.1, made.gain[name].value, actual, True))
    every = [loss for each in found.values() for loss in each.losses.values()]
    objectives = {name: each.objective.actual for name, each in found.items()}
    return ChoiceScore(
        candidates=found,
        untrained=tuple(name for name in made.candidates if name not in trained),
        decisions=tuple(decisions),
        best=min(objectives, key=lambda name: objectives[name]),
        regret=objectives[CHOSEN] / min(objectives.values()) - 1 if CHOSEN in objectives else None,
        domain_error=float(np.mean([abs(loss.error) for loss in every])),
        contrast_error=0.01,
        level_error=0.01,
        coverage=float(np.mean([loss.covered for loss in every])),
        ranked=0.9,
        right=None,
        brier=None,
        extrapolation=made.extrapolation,
        level=made.level,
        choice_sha256=hashlib.sha256(made.to_json().encode()).hexdigest(),
        warnings=(),
    )


def _came(span: Span, random: np.random.Generator) -> ScoredLoss:
    actual = span.value * float(np.exp(0.02 * random.standard_normal()))
    return ScoredLoss(
        span.value, actual, span.value / actual - 1, (span.low, span.high), span.low <= actual <= span.high
    )


def landscape(made: Choice, seed: int = 0, tried: int = 30) -> Landscape:
    """A landscape of a choice: a bowl around the chosen mixture."""
    random, sources = np.random.default_rng(seed), tuple(made.shares)
    best = np.array(list(made.shares.values()))
    shares = random.dirichlet(np.ones(len(sources)), tried)

    def bowl(at: Float[np.ndarray, "mixtures sources"]) -> Float[np.ndarray, " mixtures"]:
        return np.asarray(2 + ((at - best) ** 2).sum(axis=1))

    grid = None
    if len(sources) in (2, 3):
        everywhere = random.dirichlet(np.ones(len(sources)), 400)
        everywhere = np.concatenate([everywhere, np.eye(len(sources))])
        everywhere = everywhere[np.argsort(everywhere[:, 0])]
        height = bowl(everywhere)
        grid = Grid(everywhere, height, height - 2.05, 0.1, np.full(len(height), 0.01))
    return Landscape(
        sources=sources,
        tried=shares,
        objective=bowl(shares),
        alike=int((bowl(shares) < 2.05).sum()),
        candidates={name: np.array(list(each.shares.values())) for name, each in made.candidates.items()},
        expected={name: float(bowl(np.array([list(e.shares.values())]))[0]) for name, e in made.candidates.items()},
        ranges=made.ranges,
        level=made.level,
        grid=grid,
    )
