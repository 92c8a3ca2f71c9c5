"""The evidence for the recipe ``transfer``: writes ``recipe.md`` and its figures from the runs in its folder.

    python benchmarks/recipe.py

Under ``recipe/`` and ``quickstart/`` is what these commands, run here, left of tables, forecasts and scores: two to
three hours on 2 cores.

    BAD='recipe={learning_rate: 0.02, warmup: 1%}'
    for corpus in sotu python; do
      scaling run ../sweeps/tune.yaml corpus=$corpus --out recipe/tune-$corpus
      check="scaling recipe check ../sweeps/quickstart.yaml corpus=$corpus --json"
      $check --out recipe/check-$corpus > recipe/check-$corpus.json
      $check "$BAD" --out recipe/check-bad-$corpus > recipe/check-bad-$corpus.json
      scaling run ../sweeps/quickstart.yaml corpus=$corpus --out quickstart/$corpus
      scaling run ../sweeps/quickstart.yaml corpus=$corpus "$BAD" --out recipe/bad-$corpus
      [ $corpus = sotu ] && python replicate.py ../sweeps/quickstart.yaml 1 "$BAD" --out recipe/bad-sotu-1
      for replicate in 1 2; do
        python replicate.py ../sweeps/quickstart.yaml $replicate corpus=$corpus --out quickstart/$corpus-$replicate
      done
    done
    scaling run ../sweeps/larger.yaml --out recipe/larger
    scaling run ../sweeps/tune.yaml 'fit=[{sizes: 400k, flops: 3e12, seeds: 2}]' \\
      'grid={learning_rate: [0.5x, 1x, 2x]}' --out recipe/tune-400k
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.fitting.fit import fit
from analysis.plots import figure, save
from analysis.plots.rates import loss_vs_rate
from analysis.runs.arrays import inputs_at
from analysis.runs.seed_noise import seed_noise
from analysis.runs.table import RunTable, read_table
from analysis.tuning.recipe_check import TOLERANCE, CheckedCell, RecipeCheck, check_recipe

HERE = Path(__file__).parent
CORPORA = ("sotu", "python")
TARGET = 3e12
SEPARATE = ("chinchilla", "chinchilla-tied", "skaling", "farseer", "data-constrained", "compute")


def main() -> None:
    parts = ["# The recipe", "Written by `python benchmarks/recipe.py`, which names the commands that made the runs."]
    parts += [*rates(), *checks(), *replicates(), *larger()]
    (HERE / "recipe.md").write_text("\n\n".join(parts) + "\n")


def rates() -> Iterator[str]:
    """Learning rates around the recipe's."""
    yield "## Learning rates around the recipe's"
    yield """\
`sweeps/tune.yaml`: a quarter, half, once, twice and four times the recipe's rate at the quickstart's smallest and
largest fitted size and at its target's, seeds 0, 1 and 2, paired. A parabola in the log rate, the seeds' levels taken
out, is fitted to the rates within 1 % of the best (four of them at least); its noise is pooled over the three sizes.
Intervals are two standard errors to either side; *allowed* is 0.7 % and two standard errors."""
    for corpus in CORPORA:
        table = read_table(HERE / "recipe" / f"tune-{corpus}")
        rows = pd.read_parquet(HERE / "recipe" / f"tune-{corpus}" / "runs.parquet")
        # The recipe's own rate is the middle one of those tried.
        check = check_recipe(rows.assign(usual_lr=rows.groupby(["params", "tokens"])["lr"].transform("median")), TARGET)
        head = ["params", "tokens", "FLOPs", "the recipe's rate", "loss at 1/4, 1/2, 1, 2, 4 times that"]
        head += ["best rate, times that", "the recipe loses", "allowed"]
        yield f"### `{corpus}`\n\n" + markdown(head, [row(rows, cell) for cell in check.cells])
        first = check.cells[0]
        fixed = check_recipe(rows.assign(usual_lr=first.lr), TARGET)
        yield (
            f"From the smallest to the target the best rate moves by a factor of {moved(check)} against the recipe's, "
            f"and by {moved(fixed)} against one rate for all sizes. That of the smallest, {first.lr:.4f}, would lose "
            f"{fixed.cells[1].loss:.1%} at the largest fitted size and {fixed.cells[-1].loss:.1%} at the target."
        )
        drawn = figure(lambda axes, table=table: loss_vs_rate(table, axes))
        save(drawn, str(HERE / "recipe" / f"rates-{corpus}.svg"))
        yield f"![What each learning rate loses, {corpus}](recipe/rates-{corpus}.svg)"


def row(rows: pd.DataFrame, cell: CheckedCell) -> list[str]:
    here = rows[(rows.params == cell.params) & (rows.tokens == cell.tokens)]
    assert cell.loss is not None
    assert cell.loss_stderr is not None
    return [
        f"{cell.params:,.0f}",
        f"{cell.tokens:,.0f}",
        f"{cell.flops:.2g}",
        f"{cell.lr:.4f}",
        " ".join(f"{loss:.4f}" for loss in here.groupby("lr").loss.mean()),
        factor(cell.best),
        f"{cell.loss:.2%} +- {cell.loss_stderr:.2%}",
        "yes" if cell.loss < TOLERANCE + 2 * cell.loss_stderr else "**no**",
    ]


def moved(check: RecipeCheck) -> str:
    low, _, high = check.drift
    return f"{factor(check.drift)}, {'zero within its error' if low < 0 < high else 'not zero'},"


def factor(log: tuple[float, float | None, float]) -> str:
    low, value, high = log
    return f"{math.exp(value or 0.0):.2f} ({math.exp(low):.2f} to {math.exp(high):.2f})"


def checks() -> Iterator[str]:
    """Results of the check of the recipe and of a bad one, before the sweep is run."""
    yield "## The check, and what came of it"
    yield """\
`scaling recipe check` on the quickstart under `transfer`, and under a deliberately bad recipe: one learning rate
for all sizes, 0.02, the best at the smallest, and 1 % warm-up. Next to it the forecast of the sweep itself, with the
seeds of its file. *Best rate moves by* is the drift from the smallest fitted size to the largest, *bias* by how much
the target will then exceed its forecast."""
    head = ["corpus", "recipe", "loses at the smallest", "at the largest", "best rate moves by", "bias", "cost"]
    head += ["verdict", "forecast", "actual", "error", "90 % interval"]
    lines = []
    for corpus in CORPORA:
        for recipe, name, folder in (
            ("transfer", f"check-{corpus}", HERE / "quickstart" / corpus),
            ("bad", f"check-bad-{corpus}", HERE / "recipe" / f"bad-{corpus}"),
        ):
            check, score = read(HERE / "recipe" / f"{name}.json"), read(folder / "score.json")
            lost = [
                f"{'' if cell['bracketed'] else '>= '}{cell['loss']:.1%} +- {cell['loss_stderr']:.1%}"
                for cell in check["cells"]
            ]
            moved = f"{check['drift']:.2f}" if check["drift"] else f"<= {check['drift_interval'][1]:.2f}"
            bias = f"{check['bias']:+.1%}{'' if check['drift'] else ' or more'}"
            verdict = "holds" if check["ok"] else ", ".join(sorted({w["code"] for w in check["warnings"]}))
            line = [corpus, recipe, *lost, moved, bias, f"{check['share']:.0%}", verdict]
            lines.append([*line, *outcome(score)])
    yield markdown(head, lines)
    again = outcome(read(HERE / "recipe" / "bad-sotu-1" / "score.json"))
    yield f"""\
The bad recipe's targets lose 2 to 3 % more, and its forecasts miss by more on both corpora. But it is not shown that
they always do: transfer's own replicates miss by up to 1.6 %, and replicate 1 of the bad sweep on `sotu`, forecast
{again[0]} and actual {again[1]}, missed by {again[2]} only, where transfer's replicate 1 missed by -1.62 %."""


def replicates() -> Iterator[str]:
    """The quickstart three times on each corpus."""
    yield "## The quickstart three times"
    yield """\
Replicate r trains every run of `sweeps/quickstart.yaml` with seeds 10 r, 10 r + 1, ... instead of 0, 1, ...; each has
forecast and trained its own two targets."""
    folders = {
        (corpus, number): HERE / "quickstart" / (f"{corpus}-{number}" if number else corpus)
        for corpus in CORPORA
        for number in range(3)
    }
    scores = {key: read(folder / "score.json") for key, folder in folders.items()}
    head = ["corpus", "replicate", "forecast", "actual (each seed)", "error", "90 % interval"]
    lines = []
    for (corpus, number), score in scores.items():
        forecast, actual, error, interval = outcome(score)
        seeds = ", ".join(f"{run['loss']:.4f}" for run in score["actuals"])
        lines.append([corpus, str(number), forecast, f"{actual} ({seeds})", error, interval])
    yield markdown(head, lines)
    errors = [abs(score["error"]) for score in scores.values()]
    yield f"Mean absolute error {np.mean(errors):.2%}; {sum(s['covered'] for s in scores.values())} of 6 inside."
    for corpus in CORPORA:
        runs = pd.concat([read_table(folder).fit for (name, _), folder in folders.items() if name == corpus])
        noise = seed_noise(RunTable.from_frame(runs).arrays)
        by_budget = ", ".join(f"{budget.flops:.2g}: {budget.std:.2%}" for budget in noise.by_budget)
        yield f"Standard deviation between seeds on `{corpus}`, all replicates together, by FLOPs: {by_budget}."


def larger() -> Iterator[str]:
    folder = HERE / "recipe" / "larger"
    score, runs = read(folder / "score.json"), pd.read_parquet(folder / "runs.parquet")
    fitted, target = runs[runs.role == "fit"], runs[runs.role == "target"]
    seeds = ", ".join(f"{run['loss']:.4f}" for run in score["actuals"])
    forecast, actual, error, interval = outcome(score)
    yield "## Thirty times further"
    yield (
        f"`sweeps/larger.yaml`, seeds as in the file: {len(fitted)} runs up to {fitted.flops.max():.2g} FLOPs and "
        f"{fitted.params.max():,.0f} parameters, a target of {target.params.iloc[0]:,.0f} parameters and "
        f"{target.flops.max():.3g} FLOPs, {score['extrapolation']:.1f} times the FLOPs of the largest of them."
    )
    naive = "; ".join(f"{name} {b['error']:+.2%}" for name, b in score["baselines"].items())
    yield markdown(
        ["forecast", "actual (each seed)", "error", "90 % interval", "naive"],
        [[forecast, f"{actual} ({seeds})", error, interval, naive]],
    )
    table = read_table(folder)
    (aim,) = table.targets.iloc[:1].itertuples()
    at = inputs_at(*(np.array([value]) for value in (aim.params, aim.tokens, aim.flops)))
    alone = {law: float(fit(table, law, 0).predict(at)[0]) / score["actual"] - 1 for law in SEPARATE}
    yield "Alone, laws would have missed by: " + ", ".join(f"{law} {miss:+.1%}" for law, miss in alone.items()) + "."


def outcome(score: dict[str, Any]) -> list[str]:
    """Forecast, actual, error and interval of a score."""
    low, high = score["interval"]
    return [
        f"{score['predicted']:.4f}",
        f"{score['actual']:.4f}",
        f"{score['error']:+.2%}",
        f"{low:.4f} to {high:.4f} (+-{(high - low) / 2 / score['predicted']:.1%}), "
        f"{'inside' if score['covered'] else '**outside**'}",
    ]


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


if __name__ == "__main__":
    main()
