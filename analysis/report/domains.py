"""Losses by domain of a table of runs: a forecast of each, the figure of all, and their table.

The forecasts are made with the page, not frozen: from the fitted rows alone, for the target, by the laws and with the
settings of the sweep's own forecast. They are what ``scaling predict --columns loss=loss_<domain>`` says, but for the
ends of the intervals in their last digit, which come from fewer resamples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis import plots
from analysis.errors import InputError
from analysis.forecasting.forecast import Forecast, forecast
from analysis.pages.table import Table
from analysis.plots.domains import Panel, losses_by_domain
from analysis.plots.panels import size_of
from analysis.report.figures import Drawing, Kind, ReportFigure
from analysis.report.findings import Findings
from analysis.report.words import count
from analysis.runs.schema import NATS
from analysis.runs.table import RunTable

NAME = "domains"
_PREFIX, _OTHERS = "loss_", ("_stderr", "_spikes")
_FEWEST = 2
_SAME_SHARE = 1e-3
_RESAMPLES = 200  # of each forecast: a page has many


@dataclass(frozen=True, eq=False)
class Domain:
    """The losses on one domain.

    Attributes:
        name: of the domain.
        table: the runs with their losses on it, nats per token.
        forecast: of the target; None without one.
        reason: why there is none; empty otherwise.
        actual: the loss of each of the target's runs.
    """

    name: str
    table: RunTable
    forecast: Forecast | None
    reason: str
    actual: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean loss of the target's runs; NaN without any."""
        return float(np.mean(self.actual)) if self.actual else np.nan

    @property
    def covered(self) -> bool:
        """Whether the forecast's interval holds the mean loss of the target's runs."""
        return self.forecast is not None and self.forecast.interval[0] <= self.mean <= self.forecast.interval[1]


def domain_tables(table: RunTable) -> Mapping[str, RunTable]:
    """The table of each domain, whose losses are a column ``loss_<domain>``; none where fewer than two have losses."""
    frame = table.frame
    names = [str(name) for name in frame if _is_domain(str(name))]
    found = {}
    for name in names:
        losses = pd.to_numeric(frame[name], errors="coerce").astype(float)
        error = f"{name}_stderr"
        kept = frame.drop(columns=[other for other in ("loss_stderr", "bits_per_byte") if other in frame])
        kept = kept.assign(loss=losses.where(losses > 0))
        if error in frame:
            kept = kept.assign(loss_stderr=pd.to_numeric(frame[error], errors="coerce").astype(float))
        of_domain = replace(table, frame=kept)
        if of_domain.unfit is None:
            found[name.removeprefix(_PREFIX)] = of_domain
    return found if len(found) >= _FEWEST else {}


def _is_domain(column: str) -> bool:
    return column.startswith(_PREFIX) and column != _PREFIX and not column.endswith(_OTHERS)


def read_domains(found: Findings) -> tuple[Domain, ...]:
    """The domains of a table with several, each forecast as the table's own loss is; none where it has not several.

    Runs on several mixtures make no forecast of a domain: which mixture it would be for, a choice must say.
    """
    return tuple(_domain(name, table, found.forecast) for name, table in domain_tables(found.table).items())


def _mixed(table: RunTable) -> bool:
    """Whether the fitted runs are on several mixtures."""
    shares = table.fit[[name for name in table.fit if str(name).startswith("mix_")]]
    return bool(((shares.max() - shares.min()) > _SAME_SHARE).any())


def _domain(name: str, table: RunTable, like: Forecast | None) -> Domain:
    if like is None:
        return Domain(name, table, None, "there is no forecast of the target", ())
    targets = table.targets
    actual = tuple(targets["loss"][table.near(targets, like.params, like.tokens)].tolist())
    if _mixed(table):
        return Domain(name, table, None, "the runs are on several mixtures; see `scaling mixture choose`", actual)
    law = "auto" if len(like.weights) > 1 else like.law
    try:
        made = forecast(
            table, like.params, like.tokens, like.flops, law, like.level, _RESAMPLES, target_seeds=like.target_seeds
        )
    except InputError as error:
        reason = "; ".join(line.removeprefix(f"{table.source}: ") for line in error.errors)
        return Domain(name, table, None, reason, actual)
    return Domain(name, table, made, "", actual)


def drawing_of(domains: Sequence[Domain]) -> Drawing:
    """The figure of some domains.

    Raises:
        InputError: if there are none.
    """
    if not domains:
        raise InputError("no losses by domain: fewer than two columns loss_<domain> have a loss of a fitted run")
    panels = [_panel(each) for each in domains]
    made = [each.forecast for each in domains if each.forecast is not None]
    level = made[0].level if made else None
    return Drawing(
        lambda axes: losses_by_domain(panels, level, NATS, axes), of_domains(domains), size=size_of(len(panels))
    )


def _panel(domain: Domain) -> Panel:
    made = domain.forecast
    expected = None if made is None else (made.loss, *made.interval)
    flops = float(domain.table.targets["flops"].mean()) if made is None and domain.actual else None
    return Panel(
        domain.name, domain.table.fit, flops if made is None else made.flops, expected, domain.actual, laws=made
    )


def of_domains(domains: Sequence[Domain]) -> str:
    """Caption of the figure: the least and the largest forecast, and what they missed by."""
    known = [each for each in domains if each.forecast is not None]
    if not known:
        means = {each.name: float(each.table.fit["loss"].min()) for each in domains}
        return f"The lowest losses of the runs are {_range(means)}; no domain is forecast: {domains[0].reason}."
    losses = {each.name: each.forecast.loss for each in known if each.forecast is not None}
    text, missing = f"The losses of the target are expected {_range(losses)}", len(domains) - len(known)
    if missing:
        text += f"; {count(missing, 'domain')} {'is' if missing == 1 else 'are'} not forecast"
    scored = [each for each in known if each.actual]
    if not scored:
        return f"{text}."
    missed = np.mean([abs(each.forecast.loss / each.mean - 1) for each in scored if each.forecast is not None])
    held = sum(each.covered for each in scored)
    return (
        f"{text}; they missed by {missed:.2%} on average, and {held} of {count(len(scored), 'interval')} held the loss."
    )


def _range(losses: Mapping[str, float]) -> str:
    least, most = (end(losses, key=lambda name: losses[name]) for end in (min, max))
    return f"from {losses[least]:.4g} on {least} to {losses[most]:.4g} on {most}"


def domain_figure(domains: Sequence[Domain]) -> ReportFigure:
    """The figure of some domains, at least one, for the report."""
    drawing = drawing_of(domains)
    picture = plots.svg(plots.figure(drawing.draw, *drawing.size), NAME)
    return ReportFigure(NAME, DOMAINS.title, drawing.reading, picture, broad=drawing.broad)


def domain_table(domains: Sequence[Domain]) -> Table:
    """The forecasts by domain with their intervals, what they came to, and the errors."""
    scored, made = any(each.actual for each in domains), [e.forecast for e in domains if e.forecast is not None]
    level = f"{100 * made[0].level:.4g}% interval" if made else "interval"
    head = ("domain", "forecast loss", level, *(("actual", "error", "") if scored else ()))
    return Table(NAME, "Losses by domain", head, tuple(tuple(_cells(each, scored)) for each in domains))


def _cells(domain: Domain, scored: bool) -> Iterator[str]:
    made = domain.forecast
    yield domain.name
    if made is None:
        yield from ("", f"not forecast: {domain.reason}")
    else:
        yield from (f"{made.loss:.4f}", f"{made.interval[0]:.4f} to {made.interval[1]:.4f}")
    if scored:
        known = made is not None and bool(domain.actual)
        yield f"{domain.mean:.4f}" if domain.actual else ""
        yield f"{made.loss / domain.mean - 1:+.2%}" if made is not None and known else ""
        yield ("inside" if domain.covered else "outside") if known else ""


def _make(found: Findings) -> Drawing:
    return drawing_of(read_domains(found))


DOMAINS = Kind("Losses by domain", _make)
