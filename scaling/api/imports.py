"""Runs that other tools have logged, as one table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd

from analysis.diagnostics.codes import Code, Diagnostic
from analysis.formatting import format_quantity
from analysis.imports.importing import ImportedRuns, check_output, import_sources, write_table
from analysis.imports.readers.trainer import Count
from analysis.imports.rewards import import_rewards
from analysis.result import Result
from analysis.table_text import table_text
from scaling.hf.config import llama_of
from scaling.llama.counts import count_params

_ROWS, _COLUMNS = 5, 8  # of the preview
_LOSSES = ("loss", "bits_per_byte", "bits_per_character", "bits_per_token", "perplexity")
TableKind = Literal["runs", "rewards"]
_COUNTS = ("params", "params_nonembedding", "tokens", "batch_tokens", "flops")


@dataclass(frozen=True, eq=False)
class Imported(Result):
    """A table of runs made from the logs of other tools.

    Attributes:
        source: where they were read.
        runs: the table, and what was recognised.
        output: the file that was written, if any.
        warnings: what was chosen, left out or is not known.
    """

    source: str
    runs: ImportedRuns
    output: str | None
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        frame, unfinished = self.runs.frame, self.runs.unfinished
        lines = [f"{self.source}: {'; '.join(self.runs.tools)}"]
        taken = {name: _as(name, own) for name, own in self.runs.taken.items() if name in frame}
        loss = next((name for name in _LOSSES if name in taken), "")
        first = [taken.pop(name) for name in ("params", "tokens", loss, "run_id") if name in taken]
        lines.append(f"recognised  {', '.join(first)}")
        if taken:
            lines.append(f"also        {', '.join(taken.values())}")
        number = frame["run_id"].nunique() if "run_id" in frame else len(frame)
        steps = f", {len(frame)} rows" if len(frame) > number else ""
        lines.append(f"runs        {number}{steps}" + (f", {len(unfinished)} not finished" if unfinished else ""))
        if unfinished:
            named = [f"{run} ({state})" for run, state in list(unfinished.items())[:8]]
            more = f" and {len(unfinished) - len(named)} more" if len(unfinished) > len(named) else ""
            lines.append(f"left out    {', '.join(named)}{more}: rows that fits leave out by their status")
        shown = list(frame.columns[:_COLUMNS])
        rows = [
            [_cell(str(name), value) for name, value in row.items()]
            for row in frame[shown].head(_ROWS).to_dict("records")
        ]
        align = "".join("r" if pd.api.types.is_numeric_dtype(frame[name].dtype) else "l" for name in shown)
        lines += ["", table_text(align, shown, rows, indent=2)]
        if len(frame) > _ROWS or len(frame.columns) > _COLUMNS:
            lines.append(f"  {len(frame)} rows, {len(frame.columns)} columns in all")
        return "\n".join([*lines, *(["", f"wrote       {self.output}"] if self.output else [])])

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling import-runs``."""
        return {
            "rows": len(self.runs.frame),
            "source": self.source,
            "recognised": dict(self.runs.taken),
            "unfinished": dict(self.runs.unfinished),
            "output": self.output,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """The table of runs, which :func:`scaling.fit` and its like take."""
        return self.runs.frame.copy()


def import_runs(
    source: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    table: TableKind = "runs",
) -> Imported:
    """Reads the logs of other tools as one table of runs, one row a run: its last evaluated endpoint.

    Args:
        source: a file or folder of W&B, MLflow, TensorBoard, Hugging Face's Trainer, Levanter, nanoGPT or Excel, known
            by its content, or ``wandb:ENTITY/PROJECT``; or several. Results of lm-evaluation-harness are joined with
            the runs by the name of the model.
        output: a .parquet, .csv or .jsonl to write; by default none.
        columns: our column -> the tool's name or a number for all runs, such as ``{"loss": "eval/c4/loss"}``, where
            the usual names do not suffice; other names of ours become further columns.
        table: ``rewards`` for a row a step instead, of what trainers of policies and reward models log (TRL, verl):
            ``run_id step kl proxy gold accuracy length stopped ...``, whichever there are.

    Raises:
        InputError: one line per error; also where parameters, tokens or loss are not recognised, with the candidates.
    """
    sources = [str(source)] if isinstance(source, str | Path) else [str(each) for each in source]
    if output is not None:
        check_output(Path(output), sources)
    runs = (import_rewards if table == "rewards" else import_sources)(sources, columns or {}, _count)
    if output is not None:
        write_table(runs.frame, Path(output))
    warnings = tuple(Diagnostic(cast(Code, note.code), note.message) for note in runs.notes)
    return Imported(", ".join(sources), runs, None if output is None else str(output), warnings)


def _count(config: Mapping[str, Any], where: str) -> Count:
    counted = count_params(llama_of(config, where))
    return Count(counted.total, counted.embedding)


def _as(ours: str, theirs: str) -> str:
    return ours if ours == theirs else f"{ours} from {theirs}"


def _cell(name: str, value: object) -> str:
    if isinstance(value, float | int) and value == value:
        return format_quantity(value) if name in _COUNTS else f"{value:.5g}"
    return "" if value is None or value != value else str(value)[:40]
