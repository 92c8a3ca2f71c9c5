"""How many parameters on how many tokens: by laws, by isoFLOP curves, by the envelope."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path

from analysis.allocation import envelope as approach_1
from analysis.allocation import isoflop as approach_2
from analysis.allocation.allocate import allocate as allocate_on
from analysis.allocation.approaches import FrontierAllocation, allocate_by
from analysis.allocation.envelope import Envelope
from analysis.allocation.estimate import estimate_surface, published_surface
from analysis.allocation.isoflop import IsoFlop
from analysis.allocation.results import LawAllocation, Request
from analysis.files import check_figure
from analysis.fitting.published import PREFIX, constants
from analysis.forecasting.ensemble import AUTO
from scaling.api.tables import Runs, read_runs, refuse_given
from scaling.api.targets import leaves_out_embeddings, one_of
from scaling.errors import InputError


def allocate(
    runs: Runs,
    *,
    flops: float | None = None,
    loss: float | None = None,
    params: float | None = None,
    model: str | None = None,
    tokens: float | None = None,
    inference_tokens: float | None = None,
    unique_tokens: float | None = None,
    law: str = AUTO,
    plot: str | Path | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    best: bool = False,
) -> LawAllocation:
    """Finds the parameters and tokens for a training budget, for a loss, or beside a model that is given.

    Args:
        runs: see :func:`read_runs`, also for ``where``, ``columns`` and ``best``; or ``published:NAME``, for a paper's
            constants.
        flops: the training budget; or
        loss: the loss to reach, in nats per token.
        params: fixes the parameters; or
        model: a published Llama, which does.
        tokens: fixes the training tokens.
        inference_tokens: tokens to serve over the model's life. ``flops`` then stands for the loss of the
            compute-optimal model that it pays for (2401.00448).
        unique_tokens: training tokens before they repeat (2305.16264).
        law: a name in ``laws.LAWS``, or ``auto``.
        plot: a .png, .svg or .pdf to draw what other sizes would lose or cost.

    Raises:
        InputError: for a request that is incomplete or contradicts itself, a loss that cannot be reached, or what is
            absurdly far from the runs.
    """
    if plot is not None:
        check_figure("plot", plot)
    fresh = inf if unique_tokens is None else unique_tokens
    paper = runs if isinstance(runs, str) and runs.startswith(PREFIX) else None
    if paper is not None:
        refuse_given(paper, "a paper's fit", law=None if law == AUTO else law, where=where, columns=columns, best=best)
    table = None if paper is not None else read_runs(runs, where=where, columns=columns, best=best)
    bare = leaves_out_embeddings(table) if table is not None else constants(str(paper)).nonembedding
    # Before any fit, as that takes seconds.
    request = Request(flops, loss, one_of(params, model, bare), tokens, inference_tokens or 0.0)
    known = published_surface(str(paper), fresh) if table is None else estimate_surface(table, law, fresh)
    made = allocate_on(known, request)
    if plot is not None:
        from analysis.plots import save  # late: imports what draws
        from analysis.plots.allocation import allocation_figure

        save(allocation_figure(known, made), Path(plot))
    without = f"; {model} without its embeddings" if model is not None and bare else ""
    return replace(made, convention=made.convention + without, model=model)


def allocate_along(
    approach: str,
    runs: Runs,
    *,
    flops: float | None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    best: bool = False,
) -> FrontierAllocation:
    """The best split of a training budget by approach 1 or 2, which assume no form of the loss.

    Args:
        approach: ``isoflop`` or ``envelope``.
        runs, where, columns, best: as for :func:`read_runs`.
        flops: the training budget.

    Raises:
        InputError: where fewer than two budgets bracket their optimum.
    """
    if flops is None:
        raise InputError(f"`approach` {approach}: give `flops`, the training budget")
    return allocate_by(approach, read_runs(runs, where=where, columns=columns, best=best), flops)


def isoflop(
    runs: Runs, *, where: str | None = None, columns: Mapping[str, str] | None = None, best: bool = False
) -> IsoFlop:
    """Approach 2 (2203.15556): a curve through the sizes of each budget, and power laws through their minima.

    Args:
        runs, where, columns, best: as for :func:`read_runs`.
    """
    return approach_2.isoflop(read_runs(runs, where=where, columns=columns, best=best).arrays)


def envelope(
    runs: Runs, *, where: str | None = None, columns: Mapping[str, str] | None = None, best: bool = False
) -> Envelope:
    """Approach 1 (2203.15556): the lowest of the sizes' curves of loss over compute, and power laws through it.

    Args:
        runs, where, columns, best: as for :func:`read_runs`.
    """
    return approach_1.envelope(read_runs(runs, where=where, columns=columns, best=best).arrays)
