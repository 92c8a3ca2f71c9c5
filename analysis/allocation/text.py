"""Allocations, isoFLOP curves and envelopes as text."""

import textwrap
from typing import TYPE_CHECKING

from analysis.formatting import format_quantity
from analysis.table_text import table_text

if TYPE_CHECKING:
    from analysis.allocation.approaches import FrontierAllocation
    from analysis.allocation.envelope import Envelope
    from analysis.allocation.frontier import FrontierLaw
    from analysis.allocation.isoflop import IsoFlop
    from analysis.allocation.results import Allocation, LawAllocation, OptimalSplit

_WIDTH, _INDENT = 110, 15
_ROUNDING = 1e-6


def law_allocation_text(made: "LawAllocation") -> str:
    """An allocation by laws, beside the compute-optimal model of the same loss."""
    return _joined(made, _counts(made), _beside(made))


def frontier_allocation_text(made: "FrontierAllocation") -> str:
    """An allocation along the frontier, with the power laws that it follows."""
    return _joined(made, _counts(made), _frontier(made))


def isoflop_text(found: "IsoFlop") -> str:
    """One line per budget, then the power laws through the minima."""
    rows = [
        (f"{p.flops:.3g}", str(len(p.n)), format_quantity(p.params), f"{p.minimum:.4f}", p.reason or "")
        for p in found.parabolas
    ]
    table = table_text("rrrrl", ("FLOPs", "runs", "best size", "loss", "left out"), rows)
    return "\n".join([table, *_laws(found.params, found.tokens)])


def envelope_text(found: "Envelope") -> str:
    """Where the optimum is bracketed, what is left out and why, and the power laws."""
    used = "nowhere" if not found.used else "{:.3g} to {:.3g} FLOPs".format(*found.used)
    lines = [
        f"sizes          {len(found.curves)} trained at two computes or more",
        f"bracketed      {used}",
        *(
            _wrapped("left out", "{:.3g} to {:.3g} FLOPs: ".format(*left.flops) + left.reason)
            for left in found.left_out
        ),
    ]
    return "\n".join([*lines, *_laws(found.params, found.tokens)])


def _laws(params: "FrontierLaw | None", tokens: "FrontierLaw | None") -> list[str]:
    if params is None or tokens is None:
        return ["N*(C)          unknown: fewer than two budgets bracket their optimum"]
    return [
        f"{label:<14} {law.at(1.0):.3g} C^{law.exponent:.3f}"
        + ("" if law.exponent_interval is None else " [{:.3f} to {:.3f}]".format(*law.exponent_interval))
        for label, law in (("N*(C)", params), ("D*(C)", tokens))
    ]


def _counts(made: "Allocation") -> list[str]:
    """The counts, the loss and the compute of any allocation."""
    low, high = map(format_quantity, made.near_optimal["params"])
    few, many = map(format_quantity, made.near_optimal["tokens_per_param"])
    ratio = format_quantity(made.tokens_per_param)
    return [
        f"parameters     {format_quantity(made.params)}{_span(made, 'params')}",
        f"tokens         {format_quantity(made.tokens)}{_span(made, 'tokens')}: {ratio} per parameter",
        f"loss           {made.loss:.4f}{_span(made, 'loss', '.4f')} {made.unit}",
        f"training       {made.flops:.4g}{_span(made, 'flops', '.3g')} FLOPs: {made.extrapolation:.3g} times the "
        "largest run's",
        f"near-optimal   {low} to {high} parameters, {few} to {many} tokens per parameter: within 0.25 %",
        f"counts         {made.convention}",
    ]


def _beside(made: "LawAllocation") -> list[str]:
    """The laws, what serving takes, and the answer beside the compute-optimal model of the same loss."""
    laws = sorted(made.weights.items(), key=lambda pair: -pair[1])
    lines = [_wrapped("law", ", ".join(f"{name} {weight:.0%}" for name, weight in laws) if laws[1:] else made.law)]
    if made.inference_tokens:
        lines.append(
            f"serving        {made.inference_flops:.4g} FLOPs for {format_quantity(made.inference_tokens)} tokens; "
            f"{made.total_flops:.4g}{_span(made, 'total_flops', '.3g')} FLOPs in all"
        )
    best = made.optimum
    if best is None:
        return lines
    if made.excess_loss > _ROUNDING:
        over = f"{made.excess_loss:.2%}{_span(made, 'excess_loss', '.2%')}"
        lines.append(f"excess loss    {over} over the best split of as many FLOPs")
    lines.append(
        _wrapped(
            "optimum",
            f"{format_quantity(best.params)}{_span(made, 'optimum_params')} on {format_quantity(best.tokens)}"
            f"{_span(made, 'optimum_tokens')} tokens, {best.flops:.4g}{_span(made, 'optimum_flops', '.3g')} FLOPs: the "
            "compute-optimal model of the same loss",
        )
    )
    costs = _costs(made, best)
    parts = [
        f"{made.model or format_quantity(made.params)} on {format_quantity(made.tokens)}: {costs or 'as the optimum'}"
    ]
    if costs and best.break_even_tokens is not None:
        even = f"{format_quantity(best.break_even_tokens)}{_span(made, 'break_even_tokens')}"
        parts.append(f"breaks even after {even} tokens of inference")
    if made.inference_tokens and (total := _less(best.total_saving, 2)):
        span = _span(made, "total_saving", ".2%") if best.total_saving > 0 else ""
        parts.append(f"what is served counted in, {total}{span} FLOPs")
    return [*lines, _wrapped("beside it", "; ".join(parts))]


def _costs(made: "LawAllocation", best: "OptimalSplit") -> str:
    """What training and serving cost beside the optimum; empty where that is the same."""
    parts = []
    if best.training_ratio > 1.005:
        span = _span(made, "training_ratio", ".3g")
        parts.append(f"{best.training_ratio:.3g}{span} times the training compute of the optimum")
    if serving := _less(best.inference_saving, 1):
        parts.append(f"{serving} inference FLOPs per token")
    return " and ".join(parts)


def _less(saving: float, digits: int) -> str:
    """'12.0% less', '50.0% more' or '34 times the' of what another takes; empty for nothing."""
    if abs(saving) < 0.5 * 10 ** -(digits + 2):
        return ""
    if saving < -1:
        return f"{1 - saving:.3g} times the"
    return f"{abs(saving):.{digits}%} {'less' if saving > 0 else 'more'}"


def _frontier(split: "FrontierAllocation") -> list[str]:
    lines = []
    for label, name, exponent, coefficient in (
        ("N*(C)", "exponent", split.exponent, split.coefficient),
        ("D*(C)", "tokens_exponent", split.tokens_exponent, split.tokens_coefficient),
    ):
        lines.append(f"{label:<14} {coefficient:.3g} C^{exponent:.3f}{_span(split, name, '.3f')}")
    if split.skew is not None:
        lines.append("skew           {:.2g} +- {:.2g}, taken out; an even parabola has 0".format(*split.skew))
    used, out = split.budgets.used, split.budgets.left_out
    lines.append(f"budgets        {min(used):.3g} to {max(used):.3g} FLOPs; left out: {len(out) or 'none'}")
    return lines


def _joined(made: "Allocation", *parts: list[str]) -> str:
    lines = [line for part in parts for line in part]
    return "\n".join([*lines, _wrapped("source", made.source), _wrapped("intervals", f"90 %: {made.covers}")])


def _span(made: "Allocation", name: str, form: str | None = None) -> str:
    """The 90 % interval of a number in brackets, if it has one that shows."""
    if made.interval is None or name not in made.interval:
        return ""
    low, high = ("" if x is None else format(x, form) if form else format_quantity(x) for x in made.interval[name])
    if low and high:
        return f" [{low} to {high}]" if low != high else ""
    return f" [at least {low}]" if low else f" [at most {high}]" if high else " [no limit either way]"


def _wrapped(label: str, text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=f"{label:<{_INDENT}}",
        subsequent_indent=" " * _INDENT,
        break_on_hyphens=False,
        break_long_words=False,
    )
