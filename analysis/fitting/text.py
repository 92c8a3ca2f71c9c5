"""Fits as text."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from analysis.fitting.annealing import AnnealingFit
    from analysis.fitting.fit import FitResult
    from analysis.laws import Law


def fit_text(result: "FitResult | AnnealingFit", law: "Law[Any]") -> str:
    """Text of a fit: formula, parameters with standard errors, objective, and the runs fitted."""
    lines = [f"{law.name}: {law.formula}    ({law.source})"]
    for name, value in result.params.items():
        error = result.stderr[name]
        lines.append(f"{name:<11} {value:<12.5g}{'' if error is None else f' +- {error:.2g}'}".rstrip())
    found = "" if result.objective is None else f"{result.objective:.9g}    "
    lines.append(f"objective   {found}{result.status.value}")
    origin = f"runs        {result.n_runs}" if result.n_runs else f"source      {result.table_hash}"
    lines.append(f"{origin}    {result.convention}")
    return "\n".join(lines)


def fit_frame(result: "FitResult | AnnealingFit") -> "pd.DataFrame":
    """Frame with one row a parameter: ``value``, ``stderr``."""
    import pandas as pd

    frame = pd.DataFrame({"value": dict(result.params), "stderr": dict(result.stderr)}, dtype="float64")
    return frame.rename_axis("parameter")
