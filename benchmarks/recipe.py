"""The evidence for the recipe ``transfer``: writes ``recipe.md`` and its figures from the runs kept beside it.

    python benchmarks/recipe.py

Under ``recipe/`` and ``quickstart/`` is what the commands below left, without checkpoints: two hours on 2 cores.

    for corpus in sotu python; do
      scaling run sweeps/tune.yaml corpus=$corpus --out recipe/tune-$corpus
      scaling recipe check sweeps/quickstart.yaml corpus=$corpus --json > recipe/check-$corpus.json
      scaling recipe check sweeps/quickstart.yaml corpus=$corpus "$BAD" --json > recipe/check-bad-$corpus.json
      scaling run sweeps/quickstart.yaml corpus=$corpus "$BAD" --out recipe/bad-$corpus
      scaling run sweeps/quickstart.yaml corpus=$corpus --out quickstart/$corpus
      for replicate in 1 2; do
        python benchmarks/replicate.py sweeps/quickstart.yaml $replicate corpus=$corpus \\
          --out quickstart/$corpus-$replicate
      done
    done
    scaling run sweeps/larger.yaml --out recipe/larger

with BAD='recipe={learning_rate: 0.02, warmup: 1%}'.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.plots import figure, save
from analysis.rate_plot import loss_vs_rate
from analysis.recipe_check import CheckedCell, RecipeCheck, check_recipe
from analysis.table import read_table

HERE = Path(__file__).parent
CORPORA = ("sotu", "python")
TARGET = 3e12
# What the recipe may lose to the best rate, beyond two standard errors.
ALLOWED = 0.007


def main() -> None:
    parts = ["# The recipe", "Written by `python benchmarks/recipe.py`, which names the commands that made the runs."]
    parts += [*rates(), *checks(), *replicates(), *larger()]
    (HERE / "recipe.md").write_text("\n\n".join(parts) + "\n")


def rates() -> Iterator[str]:
    """Learning rates around the recipe's."""
    yield "## Learning rates around the recipe's"
    yield (
        "`sweeps/tune.yaml`: a quarter, half, once, twice and four times the recipe's rate at the quickstart's "
        "smallest and "
        "largest fitted size and at its target's, seeds 0, 1 and 2, paired. A parabola in the log rate, the seeds' "
        "levels taken "
        "out, is fitted to the rates within 1 % of the best (at least four of them); the noise is pooled over the "
        "three "
        "sizes. Intervals are two standard errors to either side; *allowed* is 0.7 % + two standard errors."
    )
    for corpus in CORPORA:
        rows = pd.read_parquet(HERE / "recipe" / f"tune-{corpus}" / "runs.parquet")
        check = judged(rows)
        lines = [
            f"### `{corpus}`",
            "| params | tokens | FLOPs | the recipe's rate | loss at 1/4, 1/2, 1, 2, 4 times that | best rate, times "
            "that | "
            "the recipe loses | allowed |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for cell in check.cells:
            low, high = cell.best_interval
            lines.append(
                f"| {cell.params:,.0f} | {cell.tokens:,.0f} | {cell.flops:.2g} | {cell.lr:.4f} | "
                f"{at_rates(rows, cell)} | {cell.best:.2f} ({low:.2f} to {high:.2f}) | {cell.loss:.2%} +- "
                f"{cell.loss_stderr:.2%} | "
                f"{'yes' if cell.loss < ALLOWED + 2 * cell.loss_stderr else '**no**'} |"
            )
        yield "\n".join(lines)
        first, last = check.cells[0], check.cells[-1]
        yield (
            f"From the smallest to the target the best rate moves by a factor of {told(check)} against the recipe's, "
            f"and by "
            f"{told(fixed(rows, first.lr))} against one rate for all sizes, {first.lr:.4f}, which at the target "
            f"would be "
            f"{first.lr / (last.lr * last.best):.1f} times the best."
        )
        table = read_table(HERE / "recipe" / f"tune-{corpus}")
        drawn = figure(lambda axes, table=table: loss_vs_rate(table, axes))
        save(drawn, str(HERE / "recipe" / f"rates-{corpus}.svg"))
        yield f"![Loss over learning rate, {corpus}](recipe/rates-{corpus}.svg)"


def judged(rows: pd.DataFrame) -> RecipeCheck:
    """The recipe's own rate is the middle one of those tried."""
    return check_recipe(rows.assign(usual_lr=rows.groupby(["params", "tokens"])["lr"].transform("median")), TARGET)


def fixed(rows: pd.DataFrame, rate: float) -> RecipeCheck:
    return check_recipe(rows.assign(usual_lr=rate), TARGET)


def at_rates(rows: pd.DataFrame, cell: CheckedCell) -> str:
    here = rows[(rows.params == cell.params) & (rows.tokens == cell.tokens)]
    return " ".join(f"{loss:.4f}" for loss in here.groupby("lr").loss.mean())


def told(check: RecipeCheck) -> str:
    low, high = (math.exp(check.drift + side * 2 * check.drift_stderr) for side in (-1, 1))
    zero = "zero within its error" if low < 1 < high else "not zero"
    return f"{math.exp(check.drift):.2f} ({low:.2f} to {high:.2f}; {zero})"


def checks() -> Iterator[str]:
    """What the check says of the recipe and of a bad one, before the sweep is run."""
    yield "## The check, and what came of it"
    yield (
        "`scaling recipe check` on the quickstart under `transfer`, and under a deliberately bad recipe: one "
        "learning rate for "
        "all sizes, 0.02, the best at the smallest, and 1 % warm-up. Beside it the forecast of the sweep itself, "
        "seeds as in its file."
    )
    lines = [
        "| corpus | recipe | loses at the smallest | at the largest | best rate moves by | bias told | cost | "
        "verdict | forecast | "
        "actual | error | interval |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
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
            verdict = "holds" if check["ok"] else ", ".join(sorted({w["code"] for w in check["warnings"]}))
            lines.append(
                f"| {corpus} | {recipe} | {lost[0]} | {lost[-1]} | {math.exp(check['drift']):.2f} | "
                f"{check['bias']:+.1%} | {check['share']:.0%} | {verdict} | {score['predicted']:.4f} | "
                f"{score['actual']:.4f} | {score['error']:+.2%} | +-{half_width(score):.1%}, {covered(score)} |"
            )
    yield "\n".join(lines)


def replicates() -> Iterator[str]:
    """The quickstart three times on each corpus."""
    yield "## The quickstart three times"
    yield (
        "Replicate r trains every run of `sweeps/quickstart.yaml` with seeds 10 r, 10 r + 1, ... instead of 0, 1, "
        "...; each has "
        "forecast and trained its own two targets."
    )
    scores = {(c, r): read(replicate_of(c, r) / "score.json") for c in CORPORA for r in range(3)}
    lines = [
        "| corpus | replicate | forecast | 90 % interval | actual, each seed | error |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (corpus, replicate), score in scores.items():
        low, high = score["interval"]
        seeds = ", ".join(f"{run['loss']:.4f}" for run in score["actuals"])
        lines.append(
            f"| {corpus} | {replicate} | {score['predicted']:.4f} | {low:.4f} to {high:.4f} "
            f"(+-{half_width(score):.1%}), {covered(score)} | {score['actual']:.4f} ({seeds}) | {score['error']:+.2%} |"
        )
    yield "\n".join(lines)
    errors = [abs(score["error"]) for score in scores.values()]
    yield f"Mean absolute error {np.mean(errors):.2%}; {sum(s['covered'] for s in scores.values())} of 6 inside."
    for corpus in CORPORA:
        frames = [read_table(replicate_of(corpus, r)).fit for r in range(3)]
        rows = pd.concat(frames)
        rows["budget"] = rows.flops.map(lambda flops: float(f"{flops:.1e}"))
        logs = rows.assign(log=np.log(rows.loss)).groupby(["budget", "params"]).log
        noise = (logs.var() * (logs.count() - 1)).groupby("budget").sum() / (logs.count() - 1).groupby("budget").sum()
        told = ", ".join(f"{budget:.2g}: {math.sqrt(value):.2%}" for budget, value in noise.items())
        yield f"Standard deviation between seeds on `{corpus}`, all replicates together, by FLOPs: {told}."


def replicate_of(corpus: str, number: int) -> Path:
    return HERE / "quickstart" / (f"{corpus}-{number}" if number else corpus)


def larger() -> Iterator[str]:
    folder = HERE / "recipe" / "larger"
    score, runs = read(folder / "score.json"), pd.read_parquet(folder / "runs.parquet")
    fitted, target = runs[runs.role == "fit"], runs[runs.role == "target"]
    low, high = score["interval"]
    seeds = ", ".join(f"{run['loss']:.4f}" for run in score["actuals"])
    yield "## Thirty times further"
    yield (
        f"`sweeps/larger.yaml`: {len(fitted)} runs up to {fitted.flops.max():.2g} FLOPs and "
        f"{fitted.params.max():,.0f} parameters, a "
        f"target of {target.params.iloc[0]:,.0f} parameters and {target.flops.max():.3g} FLOPs, "
        f"{score['extrapolation']:.1f} times as "
        f"dear. Forecast {score['predicted']:.4f}, 90 % interval {low:.4f} to {high:.4f} "
        f"(+-{half_width(score):.1%}); actual "
        f"{score['actual']:.4f} ({seeds}); error {score['error']:+.2%}, {covered(score)}."
    )


def half_width(score: dict[str, Any]) -> float:
    low, high = score["interval"]
    return (high - low) / 2 / score["predicted"]


def covered(score: dict[str, Any]) -> str:
    return "inside" if score["covered"] else "**outside**"


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


if __name__ == "__main__":
    main()
