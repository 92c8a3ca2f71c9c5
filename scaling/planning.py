"""What a sweep would train, and what a forecast from it would be worth: before anything is spent."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.design.seeds import PlannedCell, SeedPlan, plan_seeds
from analysis.design.simulate import ExpectedForecast, simulate_forecast
from analysis.diagnostics.codes import Diagnostic
from analysis.diagnostics.fit_checks import check_vocabulary
from analysis.runs.table import RunTable, read_table
from analysis.tuning.rate_laws import ScaledHyperparameter, Tuning, fit_tuning
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params, flops_per_token
from scaling.sweep.folder.file_names import PLAN, TABLE
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_text import SweepText
from scaling.sweep.plan.evaluation import evaluation_leaks, load_sweep_text
from scaling.sweep.plan.expand import PlannedRun, expand
from scaling.sweep.plan.mixtures import Mixture
from scaling.sweep.spec.sweep_spec import SweepSpec
from scaling.train.recipe import Tuned

# Factor in params or tokens by which a run may lie outside the cells that its recipe was tuned at.
_NEAR = 3.0
# Factor in FLOPs by which a run may lie outside the finished ones that determine law and noise.
_COMPARABLE = 100.0
Count = Callable[[LlamaConfig, float], dict[str, float]]


def plan_sweep(spec: SweepSpec) -> list[PlannedRun]:
    """The planned runs of a sweep, the fitted ones first: the first result of :func:`plan_with_warnings`."""
    return plan_with_warnings(spec)[0]


def plan_with_warnings(spec: SweepSpec) -> tuple[list[PlannedRun], list[Diagnostic]]:
    """The planned runs of a sweep on this machine's copy of its corpus, and warnings about its text and recipe.

    Raises:
        InputError: an impossible sweep, or a table to take the recipe from that determines no law.
    """
    text = load_sweep_text(spec)
    leaks = [Diagnostic("evaluation-leak", message) for message in evaluation_leaks(text)]
    runs, warnings = expand_tuned(spec, text)
    return runs, [*leaks, *warnings]


def expand_tuned(
    spec: SweepSpec, text: SweepText, chosen: Mixture | None = None
) -> tuple[list[PlannedRun], list[Diagnostic]]:
    """The planned runs of a sweep on its text, and warnings about its recipe.

    Args:
        spec: the sweep.
        text: its corpus on this machine, with its evaluation sets.
        chosen: as of ``expand``.

    Raises:
        InputError: as of :func:`plan_with_warnings`.
    """
    source = spec.recipe.source
    if source is None:
        return expand(spec, text, chosen=chosen), []
    try:
        table = read_table(source)
        tuning = fit_tuning(table)
    except InputError as error:
        raise InputError(f"{spec.where('recipe', 'from')}: {line}" for line in error.errors) from None
    if not any(tuning.laws.values()):
        raise InputError(f"{spec.where('recipe', 'from')}: {source}: no law of learning rate or batch can be fitted")
    count = _counting(table.fit)
    runs = expand(spec, text, Tuned(_rule(tuning, "lr", count), _rule(tuning, "batch_tokens", count)), chosen)
    requested = [count(run.config.model, run.config.tokens) for run in runs]
    warnings = [*tuning.warnings, *_far_from_tuned(tuning, requested)]
    return runs, [replace(warning, message=f"recipe from {source}: {warning.message}") for warning in warnings]


def _counting(rows: pd.DataFrame) -> Count:
    """A function that counts a run's parameters, tokens and training FLOPs as a table counts those of its rows."""
    nonembedding = "params_nonembedding" in rows and rows["params"].equals(rows["params_nonembedding"])
    textbook = np.allclose(rows["flops"], 6 * rows["params"] * rows["tokens"], rtol=0.01)

    def count(model: LlamaConfig, tokens: float) -> dict[str, float]:
        counts = count_params(model)
        params = counts.nonembedding if nonembedding else counts.total
        per_token = 6 * params if textbook else flops_per_token(model, model.seq_len)
        return {"params": float(params), "tokens": float(tokens), "flops": float(tokens * per_token)}

    return count


def _rule(tuning: Tuning, name: ScaledHyperparameter, count: Count) -> Callable[[LlamaConfig, float], float] | None:
    """The law of a hyperparameter in Step Law's form, or else in DeepSeek's; None where the runs determine neither."""
    forms = tuning.laws[name]
    law = forms.get("step", forms.get("deepseek"))
    if law is None:
        return None

    def rule(model: LlamaConfig, tokens: float) -> float:
        counts = count(model, tokens)
        return law.predict(*(counts[column] for column in law.form.inputs))[0]

    return rule


def _far_from_tuned(tuning: Tuning, requested: Sequence[dict[str, float]]) -> Iterator[Diagnostic]:
    """Warnings of runs that lie far outside the sizes and lengths that their recipe was tuned at."""
    cells = [cell for cell in tuning.cells if cell.best("lr") or cell.best("batch_tokens")]
    for name, tuned in (("params", [cell.params for cell in cells]), ("tokens", [cell.tokens for cell in cells])):
        yield from _outside(name, [counts[name] for counts in requested], tuned, _NEAR, "tuned")


def _outside(
    name: str, requested: Sequence[float], known: Sequence[float], most: float, how: str
) -> Iterator[Diagnostic]:
    """Warnings of requested quantities that lie outside the known ones by more than the factor ``most``."""
    for factor, side, reach, edge in (
        (min(known) / min(requested), "below", min(requested), min(known)),
        (max(requested) / max(known), "beyond", max(requested), max(known)),
    ):
        if factor > most:
            yield Diagnostic(
                "far-extrapolation",
                f"a run of {reach:.3g} {name} lies a factor of {factor:.3g} {side} those {how} ({edge:.3g})",
            )


@dataclass(frozen=True)
class Prospect:
    """The forecast to expect of a plan, before anything is trained.

    Attributes:
        expected: its interval, by simulation; None where the runs are too few for one.
        seeds: how many each budget should have; None where no replicate determines the noise.
        source: the table of finished runs that determine law and noise; None if there is none.
        warnings: differences between these finished runs and the plan's own.
    """

    expected: ExpectedForecast | None
    seeds: SeedPlan | None
    source: str | None
    warnings: tuple[Diagnostic, ...]

    def to_dict(self) -> dict[str, Any]:
        """``expected``, ``noise`` and ``seeds`` in the JSON object of ``scaling plan``."""
        expected = None if self.expected is None else asdict(self.expected)
        return {
            "expected": expected,
            **({"noise": None, "seeds": None} if self.seeds is None else self.seeds.to_dict()),
        }


def prospect(plan: Sequence[PlannedRun], out: Path, source: str | None) -> Prospect:
    """The forecast to expect of a plan with a target.

    Args:
        plan: the runs.
        out: the sweep's folder, whose finished runs determine the law and the noise.
        source: a table of runs to take instead of the folder's.

    Raises:
        InputError : no table of runs.
    """
    finished = _finished(SweepFolder(out)) if source is None else read_table(source)
    if finished is not None and finished.unfit is not None:
        finished = None
    cells: dict[str, list[PlannedCell]] = {"fit": [], "target": []}
    runs = Counter((run.role, run.config.model, run.config.tokens, run.config.flops) for run in plan)
    for (role, model, tokens, flops), seeds in runs.items():
        params = count_params(model).total if finished is None else _counting(finished.fit)(model, tokens)["params"]
        cells[role].append(PlannedCell(float(params), float(tokens), float(flops), seeds))
    fitted, target = cells["fit"], cells["target"][0]
    if finished is None:
        return Prospect(simulate_forecast(fitted, target), None, None, ())
    return Prospect(
        simulate_forecast(fitted, target, finished.arrays),
        plan_seeds(finished, fitted, target),
        finished.source,
        tuple(_unlike(plan, finished)),
    )


def _unlike(plan: Sequence[PlannedRun], finished: RunTable) -> Iterator[Diagnostic]:
    """Warnings that the finished runs' law and noise may be far from those of the runs to be fitted."""
    rows, fitted = finished.fit, [run.config for run in plan if run.role == "fit"]
    flops = [float(config.flops) for config in fitted]
    for warning in _outside("FLOPs", flops, rows["flops"].tolist(), _COMPARABLE, "finished"):
        yield replace(warning, message=f"law and noise from {finished.source}: {warning.message}")
    vocab, tokenizer = fitted[0].model.vocab, fitted[0].data.tokenizer["name"]
    known = set(rows["tokenizer"].dropna() if "tokenizer" in rows else ())
    if any(check_vocabulary(rows, vocab)) or (known and tokenizer not in known):
        yield Diagnostic(
            "tokenizer-mismatch",
            f"law and noise from {finished.source}, whose runs count other tokens than the sweep's ({tokenizer}, of "
            f"{vocab}): losses per token of one say little of the other's",
        )


def _finished(folder: SweepFolder) -> RunTable | None:
    """A sweep's table of runs, rebuilt from its finished runs where it is not written yet; None without any."""
    if (folder.path / TABLE).exists():
        return read_table(folder.path)
    if not (folder.path / PLAN).exists():
        return None
    frame = folder.table()
    return None if frame.empty else RunTable.from_frame(frame, str(folder.path))
