"""Tuned recipes, and the check of one, as text."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.fitting.power_law import PowerLaw
    from analysis.tuning.grid import Hyperparameter, TunedCell
    from analysis.tuning.rate_laws import Tuning
    from analysis.tuning.recipe_check import RecipeCheck

_TITLES = {"lr": "learning rate", "batch_tokens": "batch in tokens"}
_COLUMNS: "dict[Hyperparameter, str]" = {
    "lr": "lr",
    "batch_tokens": "batch",
    "warmup": "warm-up share",
    "weight_decay": "weight decay",
}


def check_text(verdict: "RecipeCheck", share: float | None = None) -> str:
    """What the recipe loses at each size, and the verdict; ``share`` is the check's part of the sweep's FLOPs."""
    lines = [
        f"{'params':>9} {'tokens':>9} {'recipe lr':>9} {'best lr, times that':>24} {'the recipe loses':>20} {'runs':>5}"
    ]
    for cell in verdict.cells:
        error = "" if cell.loss_stderr is None else f" +- {cell.loss_stderr:.2%}"
        lost = "unknown" if cell.loss is None else f"{'' if cell.bracketed else '>= '}{cell.loss:.2%}{error}"
        lines.append(
            f"{cell.params:>9.3g} {cell.tokens:>9.3g} {cell.lr:>9.3g} {_times(*cell.best):>24} {lost:>20} "
            f"{cell.runs:>5}"
        )
    lines.append(f"drift        best rate times {_times(*verdict.drift)} from the smallest to the largest")
    if verdict.bias is not None:
        least = "" if verdict.drift[1] is not None else " or more"
        lines.append(f"bias         the target's loss {verdict.bias:+.2%}{least} against its forecast, if that goes on")
    if share is not None:
        lines.append(f"cost         {share:.1%} of the sweep's FLOPs")
    lines.append("verdict      " + ("not ready: see the warnings" if verdict.warnings else "the recipe holds"))
    return "\n".join(lines)


def _times(low: float, value: float | None, high: float) -> str:
    """A factor with its interval, from logs."""
    if value is not None:
        return f"{math.exp(value):.2f} ({math.exp(low):.2f} to {math.exp(high):.2f})"
    if math.isfinite(low) and math.isfinite(high):
        return f"{math.exp(low):.2g} to {math.exp(high):.2g}"
    if math.isfinite(low):
        return f"above {math.exp(low):.2g}"
    return f"below {math.exp(high):.2g}" if math.isfinite(high) else "unknown"


def tuning_text(tuning: "Tuning") -> str:
    """The laws of learning rate and batch, and the best values at each size and length."""
    parts = [
        _law(f"{_TITLES[name]}, {form}", law) for name, forms in tuning.laws.items() for form, law in forms.items()
    ]
    if not parts:
        parts.append("no law: learning rate and batch were not tuned at enough sizes and lengths")
    parts.append(_cells(tuning.cells))
    parts.append(f"runs {tuning.n_runs}, sizes and lengths {len(tuning.cells)}")
    return "\n\n".join(parts)


def _law(title: str, law: "PowerLaw") -> str:
    lines = [f"{title}: {law.form.formula}    ({law.form.source})"]
    for name, value in law.params.items():
        error, interval = law.stderr[name], law.interval[name]
        if value is None:
            lines.append(f"{name:<8} not known")
            continue
        spread = "" if error is None else f" +- {error:<8.2g}"
        spread += "" if interval is None else f" 90 % {interval[0]:.3g} to {interval[1]:.3g}"
        lines.append(f"{name:<8} {value:<10.4g}{spread}".rstrip())
    lines.append(f"scatter  {law.scatter:.1%} between {law.points} optima, beyond their noise")
    return "\n".join(lines)


def _cells(cells: "tuple[TunedCell, ...]") -> str:
    corpora = any(cell.corpus for cell in cells)
    tried = {name: f"best {title}" for name, title in _COLUMNS.items() if any(cell.grid(name) for cell in cells)}
    titles = "".join(f" {title:>19}" for title in tried.values())
    lines = [f"{'params':>9} {'tokens':>9}{titles} {'runs':>5}" + "  corpus" * corpora]
    for cell in cells:
        best = "".join(f" {_best(cell.best(name)):>19}" for name in tried)
        line = f"{cell.params:>9.3g} {cell.tokens:>9.3g}{best} {cell.runs:>5}"
        line += f"  {cell.corpus or ''}" if corpora else ""
        lines.append(line if cell.reason is None else f"{line}  {cell.reason}")
    return "\n".join(lines)


def _best(best: tuple[float, float | None] | None) -> str:
    if best is None:
        return "-"
    value, error = best
    return f"{value:.3g}" if error is None else f"{value:.3g} +- {value * error:.1g}"
