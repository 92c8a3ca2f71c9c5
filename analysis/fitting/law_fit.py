"""What every fit of a law reports: its parameters with standard errors, the objective and the end of the search."""

from abc import abstractmethod
from collections.abc import Mapping
from enum import Enum
from typing import Any

import pandas as pd

from analysis.laws import Law
from analysis.result import Result


class FitStatus(Enum):
    """The end of a search for parameters; the value is the message."""

    CONVERGED = "converged"
    ITERATIONS = "stopped at the iteration limit before the objective settled"
    AT_EDGE = "converged with a parameter at the edge of the search"
    NO_FLOOR = "converged with the irreducible loss E at zero"
    PUBLISHED = "constants as published, not fitted here"


class LawFit(Result):
    """A fit of one law.

    Attributes:
        law: the law's name.
        params: parameters by name, as reported (coefficients, not logarithms).
        stderr: standard errors by name; None where they are not known.
        objective: sum of Huber terms of the log loss (delta 1e-3); None for published constants.
        status: how the search ended.
        n_runs: runs fitted.
        table_hash: of what was fitted, or its published source.
        convention: how the inputs were counted.
        at_edge: the parameters at the edge of the search, which the runs do not determine.
    """

    law: str
    params: Mapping[str, float]
    stderr: Mapping[str, float | None]
    objective: float | None
    status: FitStatus
    n_runs: int
    table_hash: str
    convention: str
    at_edge: tuple[str, ...]

    @property
    @abstractmethod
    def form(self) -> Law[Any]:
        """The law: its formula and source."""

    def to_dict(self) -> dict[str, object]:
        """The JSON object of ``scaling fit``."""
        return {
            "law": self.law,
            "params": dict(self.params),
            "stderr": dict(self.stderr),
            "objective": self.objective,
            "status": self.status.value,
            "at_edge": list(self.at_edge),
            "n_runs": self.n_runs,
            "warnings": [warning.to_dict() for warning in self.warnings],
            "convention": self.convention,
            "table_hash": self.table_hash,
        }

    def __str__(self) -> str:
        """Formula, parameters with standard errors, objective, and the runs fitted."""
        lines = [f"{self.form.name}: {self.form.formula}    ({self.form.source})"]
        for name, value in self.params.items():
            error = self.stderr[name]
            spread = "" if error is None else f" +- {error:.2g}"
            edge = "    at the edge of the search" if name in self.at_edge else ""
            lines.append(f"{name:<11} {value:<12.5g}{spread}{edge}".rstrip())
        found = "" if self.objective is None else f"{self.objective:.9g}    "
        lines.append(f"objective   {found}{self.status.value}")
        origin = f"runs        {self.n_runs}" if self.n_runs else f"source      {self.table_hash}"
        lines.append(f"{origin}    {self.convention}")
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row a parameter: ``value``, ``stderr``."""
        frame = pd.DataFrame({"value": dict(self.params), "stderr": dict(self.stderr)}, dtype="float64")
        return frame.rename_axis("parameter")
