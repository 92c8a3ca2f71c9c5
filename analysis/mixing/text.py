"""What the commands on mixtures print: the verdict first."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from analysis.formatting import format_power, format_quantity, listed
from analysis.table_text import table_text

if TYPE_CHECKING:
    from analysis.mixing.choice import Candidate, Choice, ScarceText, Span
    from analysis.mixing.contrast.fitted import MixtureFit

_MOST_NAMED = 6
_MOST_COLUMNS = 8
_WORDS = {"best_run": "the best run", "mean_tried": "the mean of those tried"}
_TITLES = {"best_run": "best run", "mean_tried": "mean tried"}


def choice_text(choice: "Choice") -> str:
    """The text of ``scaling mixture choose``."""
    level = f"{100 * choice.level:.4g}%"
    lines = [*verdict(choice), table_text("ll", ("", ""), _summary(choice)), ""]
    lines += [f"what the chosen mixture is worth, with {level} intervals", _worth(choice), ""]
    lines += [f"shares; mixtures within the ranges cannot be told from the chosen one at {level}", _shares(choice), ""]
    lines += [f"losses at the target, nats per token, with {level} intervals, and how much higher they are of others"]
    lines += [_losses(choice)]
    if choice.scarce is not None:
        lines += ["", *_scarce(choice.scarce)]
    return "\n".join(lines)


def verdict(choice: "Choice") -> Iterator[str]:
    """The chosen mixture in a line, and how surely it is better than each other one in another."""
    yield f"the best mixture: {mixture_text(choice.shares)}"
    others = [f"{_called(choice, name, _WORDS)} {chance(better)}" for name, better in choice.p_better.items()]
    yield f"probability that it is better than {', '.join(others)}"


def _called(choice: "Choice", name: str, words: Mapping[str, str]) -> str:
    """A candidate in words; where the sources' sizes are unknown, the mean of those tried stands for proportional."""
    if name == "proportional" and any(warning.code == "sizes-unknown" for warning in choice.warnings):
        name = "mean_tried"
    return words.get(name, name)


def mixture_text(shares: Mapping[str, float]) -> str:
    """A mixture in words, the largest shares first: ``docs 52%, code 31% and 3 more 17%``."""
    ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    named = [item for item in ordered[:_MOST_NAMED] if item[1] >= 0.005]
    rest = [share for _, share in ordered[len(named) :]]
    text = ", ".join(f"{name} {100 * share:.0f}%" for name, share in named)
    return text + (f" and {len(rest)} more {100 * sum(rest):.0f}%" if rest and sum(rest) >= 0.005 else "")


def chance(share: float) -> str:
    """A probability: ``97%``; at its ends ``>99%`` and ``<1%``."""
    return f"{100 * share:.0f}%" if 0.005 <= share < 0.995 else (">99%" if share > 0.5 else "<1%")


def _summary(choice: "Choice") -> Iterator[tuple[str, str]]:
    size = f"{format_quantity(choice.params)} parameters, {format_quantity(choice.tokens)} tokens"
    times = f"{choice.extrapolation:.3g}" if choice.extrapolation < 1000 else f"{choice.extrapolation:,.0f}"
    far = f"{times} times the FLOPs of the largest runs"
    far = "within the FLOPs of the runs" if choice.extrapolation <= 1 else far
    yield "target", f"{size}, {format_power(choice.flops)} FLOPs: {far}"
    yield "objective", objective_text(choice.objective)
    limits = [f"{name} {limit:.2f}".rstrip("0").rstrip(".") for name, limit in choice.limits.items()]
    yield "epochs", f"at most {listed(limits)}" if limits else "no limit"
    yield "fitted", f"{choice.n_runs} runs of {choice.n_mixtures} mixtures"
    yield "laws", laws_text(choice.weights, choice.misses)


def objective_text(weights: Mapping[str, float]) -> str:
    """Weights of domains in words."""
    if len(set(weights.values())) == 1:
        return f"the mean loss of {len(weights)} domains" if len(weights) > 1 else f"the loss on {next(iter(weights))}"
    return "the loss, " + listed([f"{name} {100 * w:.3g}%" for name, w in weights.items() if w > 0], 12)


def laws_text(weights: Mapping[str, float], misses: Mapping[str, float | None]) -> str:
    """Laws by weight, each with what it missed of mixtures and runs that it was not fitted to."""
    parts = []
    for name, weight in sorted(weights.items(), key=lambda item: -item[1]):
        missed = misses[name]
        parts.append(f"{name} {100 * weight:.0f}%" + ("" if missed is None else f" (missed {100 * missed:.2g}%)"))
    return ", ".join(parts)


def _worth(choice: "Choice") -> str:
    rows = [
        (
            *(
                _called(choice, name, _TITLES),
                f"{100 * gain.value:+.2f}%",
                f"{100 * gain.low:+.2f} to {100 * gain.high:+.2f}%",
            ),
            *(chance(choice.p_better[name]), _beyond(choice.candidates[name], choice.limits)),
        )
        for name, gain in choice.gain.items()
    ]
    return table_text("lrrrl", ("mixture", "objective", "interval", "P(chosen is better)", ""), rows, indent=2)


def _beyond(candidate: "Candidate", limits: Mapping[str, float]) -> str:
    """Which sources a candidate repeats more than is allowed."""
    beyond = [f"{n} {_passes(e)}" for n, e in candidate.epochs.items() if n in limits and e > 1.001 * limits[n]]
    return f"beyond the limit on epochs: {listed(beyond, 3)}" if beyond else ""


def _passes(epochs: float) -> str:
    return "<0.01" if 0 < epochs < 0.01 else f"{epochs:.2g}" if epochs < 100 else f"{epochs:.0f}"


def _shares(choice: "Choice") -> str:
    others = [name for name in choice.candidates if name != "chosen"]
    epochs = choice.candidates["chosen"].epochs
    rows = []
    for name, share in sorted(choice.shares.items(), key=lambda item: (-item[1], item[0])):
        low, high = choice.ranges[name]
        rows.append(
            (
                *(name, f"{100 * share:.1f}%", f"{100 * low:.0f} to {100 * high:.0f}%"),
                *([_passes(epochs[name]) if name in epochs else ""] if epochs else []),
                *(f"{100 * choice.candidates[other].shares[name]:.1f}%" for other in others),
                "hardly matters" if name in choice.flat else "",
            )
        )
    head = (
        "source",
        "share",
        "range",
        *(["epochs"] if epochs else []),
        *(_called(choice, name, _TITLES) for name in others),
        "",
    )
    return table_text("l" + "r" * (len(head) - 2) + "l", head, rows, indent=2)


def _losses(choice: "Choice") -> str:
    chosen = choice.candidates["chosen"]
    others = {name: each for name, each in choice.candidates.items() if name != "chosen"}
    rows = [
        (name, f"{100 * choice.objective[name]:.3g}%", *_spanned(span), *_against(chosen, others, name))
        for name, span in chosen.losses.items()
    ]
    worse = (f"{100 * (each.objective.value / chosen.objective.value - 1):+.2f}%" for each in others.values())
    rows.append(("objective", "", *_spanned(chosen.objective), *worse))
    head = ("domain", "weight", "loss", "interval", *(_called(choice, name, _TITLES) for name in others))
    return table_text("lrrr" + "r" * len(others), head, rows, indent=2)


def _scarce(scarce: "ScarceText") -> Iterator[str]:
    """What is chosen for shorter and longer training, as sources run out."""
    yield f"as text runs out (repeated text is worth new text that fades with {scarce.repeat:.3g} epochs)"
    names = sorted(scarce.endless, key=lambda name: -scarce.endless[name])[:_MOST_COLUMNS]
    rows = [
        (
            format_quantity(each.tokens),
            *(f"{100 * each.shares[name]:.0f}%{_repeated(each.epochs.get(name))}" for name in names),
            f"{100 * each.cost:+.2f}%",
        )
        for each in scarce.lengths
    ]
    rows.append(("without end", *(f"{100 * scarce.endless[name]:.0f}%" for name in names), ""))
    yield table_text("r" * (len(names) + 2), ("tokens", *names, "costs"), rows, indent=2)


def _repeated(epochs: float | None) -> str:
    return "" if epochs is None or epochs <= 1 else f" x{_passes(epochs)}"


def _spanned(span: "Span") -> tuple[str, str]:
    return f"{span.value:.4f}", f"{span.low:.4f} to {span.high:.4f}"


def _against(chosen: "Candidate", others: "Mapping[str, Candidate]", domain: str) -> Iterator[str]:
    for each in others.values():
        yield f"{100 * (each.losses[domain].value / chosen.losses[domain].value - 1):+.2f}%"


def fit_text(fit: "MixtureFit") -> str:
    """The text of ``scaling mixture fit``."""
    best = max(fit.weights, key=lambda name: fit.weights[name])
    count = f"{fit.n_runs} runs of {fit.n_mixtures} mixtures, {fit.n_scales} sizes and lengths"
    start = f"{best} has the largest weight of {len(fit.laws)} laws" if len(fit.laws) > 1 else best
    lines = [f"{start}: {count}", laws_text(fit.weights, fit.misses), ""]
    names = list(fit.weights)
    rows = []
    for name, each in fit.domains.items():
        noise = "" if each.noise is None else f"{100 * each.noise:.2f}%"
        cells = (_weighed(each.weights.get(law), each.misses.get(law)) for law in names)
        rows.append((name, *cells, f"{each.growth:+.3f}", noise))
    lines += ["weight of each law on a domain (what it missed of mixtures and runs left out of its fit)"]
    head = ("domain", *names, "growth", "noise")
    lines += [table_text("l" + "r" * (len(head) - 1), head, rows, indent=2), ""]
    lines += ["growth is the exponent q of FLOPs by which what a mixture changes grows; noise is of one run's loss"]
    if len(fit.laws) == 1:
        lines += ["", f"{fit.laws[best].formula} ({fit.laws[best].source})", _parameters(fit.laws[best].params)]
    return "\n".join(lines)


def _parameters(params: Mapping[str, Mapping[str, float]]) -> str:
    """The parameters of a law, a column a domain."""
    names = next(iter(params.values()))
    rows = [(name, *(f"{params[domain][name]:.3g}" for domain in params)) for name in names]
    return table_text("l" + "r" * len(params), ("", *params), rows, indent=2)


def _weighed(weight: float | None, missed: float | None) -> str:
    if weight is None:
        return "-"
    return f"{100 * weight:.0f}%" + ("" if missed is None else f" ({100 * missed:.2f}%)")
