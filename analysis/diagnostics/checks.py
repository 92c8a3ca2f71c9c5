"""The warnings that a careful expert would give about a table or a fit."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.diagnostics.codes import Code, Diagnostic
from analysis.diagnostics.endpoints import correlated, undecayed
from analysis.diagnostics.mixed_conventions import disagreements
from analysis.formatting import listed
from analysis.laws import Inputs, Law
from analysis.runs.arrays import RunArrays, training_cost
from analysis.runs.schema import ALIASES, NUMBERS, TEXTS
from analysis.runs.subsample import MOST_ROWS, representative
from analysis.runs.table import RunTable

_TWICE = 2.0
_FEWEST = 5  # runs, for the law of the fewest parameters
_FAILED = 0.15  # log loss above the fit
_ONE_LINE = 0.1  # root-mean-square distance in log params and log tokens
_ODD_COST = 10.0  # head and attention make up for a factor of 3 in tiny models
_PADDED = 1.05  # vocabularies are padded to round numbers
_TEXTS: dict[str, Code] = {"corpus": "pooled-corpora", "tokenizer": "tokenizer-mismatch"}
# Columns of the schema that may tell recipes apart; those that tune have their own warning.
_RECIPES = frozenset(["sweep", "schedule", "dtype", "seq_len"])


def of_table(table: RunTable, needs: tuple[str, ...] = ()) -> tuple[Diagnostic, ...]:
    """What the columns of the rows to fit tell.

    Args:
        table: the runs.
        needs: the columns that the law reads, if it is one law.
    """
    told = {"repeated-data"} if "unique_tokens" in needs else set()
    return tuple(warning for warning in _all_of(table) if warning.code not in told)


@lru_cache(maxsize=1)
def _all_of(table: RunTable) -> tuple[Diagnostic, ...]:
    """Of one table, asked once for each law."""
    rows = table.fit
    return (
        *_left_out(table),
        *_pooled(rows),
        *_repeated(rows),
        *_untuned(rows),
        *_conventions(rows),
        *_mixed(table),
        *undecayed(rows),
        *_progress(rows),
        *correlated(rows),
    )


def of_points(points: RunArrays, parameters: int) -> Iterator[Diagnostic]:
    """What the design of the runs tells about a law with so many parameters."""
    if points.cells < 2 * parameters:
        yield Diagnostic(
            "few-runs",
            f"{points.cells} different (params, tokens) for {parameters} parameters: expect little",
        )
    yield from collinear(points.inputs)


def collinear(x: Inputs) -> Iterator[Diagnostic]:
    """Whether runs lie so close to one line in (log params, log tokens) that no fit can separate the two."""
    centred = np.stack([x.n - x.n.mean(), x.d - x.d.mean()])
    spread = np.linalg.svd(centred, compute_uv=False) / np.sqrt(len(x.n))
    if spread.min() < _ONE_LINE:
        yield Diagnostic(
            "collinear",
            _line(centred)
            + f" (off their common line by less than {_ONE_LINE:.0%}): the fit cannot tell what each of them buys; "
            "add runs off that line",
        )


def _line(centred: Float[np.ndarray, "2 rows"]) -> str:
    """Which line the runs lie on, in (log params, log tokens)."""
    still = np.ptp(centred, axis=1) < _ONE_LINE / 10
    if still.any():
        alike = " and ".join(word for word, one in zip(("size", "length"), still, strict=True) if one)
        return f"all runs are of one {alike}"
    if float(centred[0] @ centred[1]) < 0:
        return "all runs are of one FLOP budget, where params are what tokens are not"
    return "params and tokens move together"


def of_floor(
    params: Mapping[str, float], law: Law[Inputs], samples: Float[np.ndarray, "resamples params"], lowest: float
) -> Iterator[Diagnostic]:
    """Whether the irreducible loss E is known."""
    if "E" not in params:
        return
    if params["E"] < 1e-3 * lowest:
        yield Diagnostic("floor-unidentified", "the runs do not show the irreducible loss: E fits best at 0")
    elif len(samples):
        low, high = np.quantile(np.exp(samples[:, law.names.index("E")]), [0.05, 0.95])
        if high - low > 0.25 * lowest:
            yield Diagnostic(
                "floor-unidentified",
                f"the irreducible loss is hardly known: E = {params['E']:.3g}, "
                f"90 % of resamples {low:.3g} to {high:.3g}",
            )


def of_repeats(law: Law[Inputs], samples: Float[np.ndarray, "resamples params"]) -> Iterator[Diagnostic]:
    """Whether it is known what repeated tokens, and parameters in excess of the unique ones, are worth."""
    for i, name in enumerate(law.names if len(samples) else ()):
        if name in ("R_N", "R_D"):
            low, high = np.exp(np.quantile(samples[:, i], [0.05, 0.95]))
            if high > 4 * low:
                yield Diagnostic(
                    "repeated-data",
                    f"{name} is hardly known (90 % of resamples {low:.3g} to {high:.3g}): trust the law as far as the "
                    "fitted runs repeat their data, and not beyond",
                )


def of_residuals(excess: Float[np.ndarray, " rows"]) -> Iterator[Diagnostic]:
    """Whether some rows lie so far above their own fit (log loss) that training must have failed.

    Far is seen from the other rows' scatter: no loss is too high as such, for tiny runs reach any.
    """
    scatter = 1.4826 * float(np.median(np.abs(excess)))
    if failed := int((excess > max(_FAILED, 10 * scatter)).sum()):
        yield Diagnostic(
            "diverged-rows",
            f"{failed} runs lost far more than the fit expects (up to {np.exp(excess.max()) - 1:.0%} more): have they "
            "diverged? leave them out with --where, or keep the best runs with --best",
        )


def of_target(points: RunArrays, target: Inputs, tested: float) -> Iterator[Diagnostic]:
    """Whether a target lies no further out than the fitted runs themselves can vouch for.

    Args:
        points: the fitted runs.
        target: one point.
        tested: the largest log(FLOPs / largest FLOPs fitted) that a nested extrapolation among them has tried.
    """
    reach = float(target.c[0] - points.inputs.c.max())
    span = float(np.ptp(points.inputs.c))
    if reach > tested + np.log(3.0):
        yield Diagnostic(
            "far-extrapolation",
            f"the target needs {np.exp(reach):.3g} times the FLOPs of the largest fitted run; the fitted runs span "
            f"{np.exp(span):.3g} times, and extrapolation among them could be tried over "
            + (f"{np.exp(tested):.3g} times" if tested else "nothing"),
        )
    if reach < -(span + np.log(10.0)):
        yield Diagnostic(
            "far-extrapolation",
            f"the target needs {np.exp(-reach - span):.3g} times fewer FLOPs than the smallest fitted run",
        )
    ratios = np.exp(points.inputs.d - points.inputs.n)
    ratio = float(np.exp(target.d[0] - target.n[0]))
    if not ratios.min() / 2 <= ratio <= 2 * ratios.max():
        yield Diagnostic(
            "far-extrapolation",
            f"the target has {ratio:.3g} tokens per parameter, and the fitted runs {ratios.min():.3g} to "
            f"{ratios.max():.3g}: how laws bend beyond is not known",
        )
    usual = target.n + target.d + np.log(training_cost(points.inputs, target.n))
    if abs(target.c[0] - usual[0]) > np.log(_TWICE):
        yield Diagnostic(
            "mixed-conventions",
            f"the target's {np.exp(target.c[0]):.3g} FLOPs are counted otherwise than the runs': of their kind it "
            f"would need {np.exp(usual[0]):.3g}",
        )


def of_vocabulary(rows: pd.DataFrame, vocab: int) -> Iterator[Diagnostic]:
    """Whether a target's vocabulary is that of the fitted runs, where they tell."""
    known = rows["vocab"].dropna() if "vocab" in rows else pd.Series(dtype=float)
    if len(known) and not known.min() / _PADDED <= vocab <= _PADDED * known.max():
        yield Diagnostic(
            "tokenizer-mismatch",
            f"the target has a vocabulary of {vocab} and the fitted runs one of {known.max():.0f}: what is forecast is "
            "the loss per token of the runs' tokenizer, not of the target's own",
        )


def absurd(fitted: Inputs, log_flops: float) -> str | None:
    """Why nothing honest can be said of a target with these log FLOPs, or None.

    It lies more than a thousand times beyond the runs and further than thrice their span, or ten million times
    beyond: the longest forecast on record that came true reached 333 times.
    """
    if len(fitted.c) < _FEWEST:
        return None  # too few for any law, which is told first
    reach = log_flops - float(fitted.c.max())
    span = float(np.ptp(fitted.c))
    most = min(max(3 * span, np.log(1e3)), np.log(1e7))
    if reach <= most:
        return None
    return (
        f"the target needs {np.exp(reach):.3g} times the FLOPs of the largest fitted run, and the fitted runs span "
        f"{np.exp(span):.3g} times: no forecast reaches that far; train larger runs, or aim lower (up to "
        f"{np.exp(fitted.c.max() + most):.2g} FLOPs)"
    )


def _progress(rows: pd.DataFrame) -> Iterator[Diagnostic]:
    """Whether more compute lowers the loss at all."""
    middle = np.sqrt(rows["flops"].min()) * np.sqrt(rows["flops"].max())
    cheap, dear = (rows["loss"][side] for side in (rows["flops"] <= middle, rows["flops"] > middle))
    if len(cheap) and len(dear) and dear.min() >= cheap.min():
        yield Diagnostic(
            "floor-unidentified",
            f"none of the {len(dear)} dearer runs has a lower loss than the best of the {len(cheap)} cheaper: the runs "
            "do not show what compute buys",
        )


def _left_out(table: RunTable) -> Iterator[Diagnostic]:
    if table.diverged:
        told = f"{len(table.diverged)} diverged runs are left out of the fit: {listed(table.diverged)}"
        yield Diagnostic("diverged-rows", told)
    if len(table.fit) > MOST_ROWS:
        yield Diagnostic(
            "sampled-rows",
            f"the fit uses {len(table.arrays)} of {len(table.fit)} rows, spread evenly over FLOPs and trunks",
        )


def _pooled(rows: pd.DataFrame) -> Iterator[Diagnostic]:
    """Losses per token on another text, or of other tokens, are not comparable."""
    for column, code in _TEXTS.items():
        names = sorted(rows[column].dropna().unique().tolist()) if column in rows else []
        if len(names) > 1:
            yield Diagnostic(
                code,
                f"{len(rows)} runs of {len(names)} {column} values share one fit ({listed(names)}): their losses are "
                f"not comparable; choose one, such as --where \"{column} == '{names[0]}'\"",
            )
    if "vocab" in rows and rows["vocab"].max() > _PADDED * rows["vocab"].min():
        yield Diagnostic(
            "tokenizer-mismatch",
            f"vocabularies of {rows['vocab'].min():.0f} to {rows['vocab'].max():.0f} tokens share one fit: a loss per "
            "token means something else for each; choose one with --where",
        )


def _repeated(rows: pd.DataFrame) -> Iterator[Diagnostic]:
    epochs = np.ones(len(rows))
    if "epochs" in rows:
        epochs = np.fmax(epochs, rows["epochs"].to_numpy())
    if "unique_tokens" in rows:
        epochs = np.fmax(epochs, (rows["tokens"] / rows["unique_tokens"]).to_numpy())
    repeated = int((epochs > 1.05).sum())
    if repeated:
        mend = '--where "epochs <= 1"' if "epochs" in rows else '--where "tokens <= unique_tokens"'
        yield Diagnostic(
            "repeated-data",
            f"{repeated} of {len(rows)} runs repeat their data (up to {epochs.max():.3g} epochs), which every law but "
            f"data-constrained counts as fresh tokens; use that law, or leave them out with {mend}",
        )


def _untuned(rows: pd.DataFrame) -> Iterator[Diagnostic]:
    knobs = [c for c in ("lr", "batch_tokens", "weight_decay") if c in rows]
    if not knobs:
        return
    cell = [c for c in ("params", "tokens", "corpus", "seq_len", "width", "depth") if c in rows]
    settings = rows.groupby(cell, dropna=False)[knobs].nunique()
    varied = [c for c in knobs if (settings[c] > 1).any()]
    if varied:
        grids = int((settings > 1).any(axis=1).sum())
        yield Diagnostic(
            "untuned-grid",
            f"{grids} of {len(settings)} (params, tokens) have runs at several {' and '.join(varied)}: a law is of "
            "well-tuned runs; keep the best of each with --best",
        )


def _conventions(rows: pd.DataFrame) -> Iterator[Diagnostic]:
    ratio = rows["flops"] / (6 * rows["params"] * rows["tokens"])
    shared = rows["params"].duplicated(keep=False)
    by_size = ratio[shared].groupby(rows["params"][shared]).agg(["min", "max"])
    if (by_size["max"] > 1.1 * by_size["min"]).any():
        yield Diagnostic(
            "mixed-conventions",
            "runs of one size count FLOPs per parameter and token differently: exponents move with the convention",
        )
    middle = float(ratio.median())
    if not 1 / _ODD_COST < middle < _ODD_COST:
        yield Diagnostic(
            "mixed-conventions",
            f"flops are about {middle:.1g} times 6 params tokens: are these counts, and not billions, and are the "
            "params those that every token passes?",
        )


def _mixed(table: RunTable) -> Iterator[Diagnostic]:
    """Whether some column, whatever it means, tells apart recipes or conventions that disagree."""
    told = {*NUMBERS, *TEXTS, *chain(*ALIASES.values()), *(table.columns or {}).values()} - _RECIPES
    columns = [c for c in map(str, table.fit) if c.lower() not in told and c not in told]
    if not columns:
        return
    rows = representative(table.fit)
    settings = [c for c in columns if pd.api.types.is_numeric_dtype(rows[c]) and len(rows[c].dropna().unique()) > 2]
    # What a sweep tries is numbers; what tells a convention is names and flags.
    if not any(_untuned(rows)) and (found := disagreements(rows, settings)):
        yield Diagnostic(
            "untuned-grid",
            f"runs of several {listed([each.column for each in found])} lie {np.expm1(found[0].gap):.1%} apart in "
            "loss at the same FLOPs and params: a law is of well-tuned runs; keep the best of each with --best",
        )
    if found := disagreements(rows, [c for c in columns if c not in settings]):
        first = found[0]
        others = f"; so do {listed([each.column for each in found[1:]])}" if found[1:] else ""
        yield Diagnostic(
            "mixed-conventions",
            f"{first.column} ({listed(first.groups)}) splits the runs into groups whose losses at the same FLOPs and "
            f"params lie {np.expm1(first.gap):.1%} apart{others}: choose one, such as "
            f'--where "{first.column} == {first.groups[0]!r}"',
        )
