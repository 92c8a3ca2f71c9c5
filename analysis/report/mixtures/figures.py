"""The kinds of figures of a choice: title, drawing and caption of each."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis import plots
from analysis.errors import InputError
from analysis.mixing.choice import CHOSEN
from analysis.plots.domains import Panel, losses_by_domain
from analysis.plots.mixtures.candidates import candidate_losses, law_misses, laws_size
from analysis.plots.mixtures.parallel import parallel, width_of
from analysis.plots.mixtures.simplex import share_line, simplex
from analysis.plots.panels import size_of
from analysis.report.domains import NAME as DOMAINS
from analysis.report.figures import Drawing, ReportFigure
from analysis.report.mixtures import captions
from analysis.report.mixtures.findings import MixtureFindings, is_mixture, read_mixture_findings
from analysis.report.mixtures.landscape import landscape_of
from analysis.runs.schema import NATS

Make = Callable[[MixtureFindings], Drawing]


def _mixtures(found: MixtureFindings) -> Drawing:
    made = landscape_of(found)
    reading, k = captions.of_landscape(made), len(made.sources)
    if k == 3:
        return Drawing(lambda axes: simplex(made, axes), reading, size=(6.4, 5.2))
    if k == 2:
        return Drawing(lambda axes: share_line(made, axes), reading, size=(6.4, 4.2))
    return Drawing(lambda axes: parallel(made, axes), reading, size=(width_of(k), 4.4))


def _losses(found: MixtureFindings) -> Drawing:
    choice, score = found.choice, found.score
    count = len(choice.losses) + (len(choice.losses) > 1)
    return Drawing(
        lambda axes: candidate_losses(choice, score, axes), captions.of_losses(choice, score), size=size_of(count)
    )


def _laws(found: MixtureFindings) -> Drawing:
    choice = found.choice
    if all(missed is None for missed in choice.misses.values()):
        raise InputError("no law could be tested on runs that were left out of its fit")
    return Drawing(lambda axes: law_misses(choice, axes), captions.of_laws(choice), size=laws_size(choice))


def _domains(found: MixtureFindings) -> Drawing:
    choice, panels = found.choice, list(_panels(found))
    return Drawing(
        lambda axes: losses_by_domain(panels, choice.level, NATS, axes, "the chosen mixture's forecast"),
        captions.of_domains(choice, found.score),
        size=size_of(len(panels)),
    )


def _panels(found: MixtureFindings) -> Iterator[Panel]:
    choice, points, targets = found.choice, found.runs.fit, found.runs.targets
    ids = () if found.score is None else found.score.candidates[CHOSEN].runs if CHOSEN in found.score.candidates else ()
    mine = [] if targets is None else [row for row, name in enumerate(targets.run_ids) if name in ids]
    columns = {"run_id": points.run_ids, "params": points.params, "tokens": points.tokens, "flops": points.flops}
    for place, name in enumerate(points.domains):
        rows = pd.DataFrame({**columns, "loss": points.losses[:, place]})
        span = choice.losses[name]
        actual = () if targets is None else tuple(targets.losses[mine, place].tolist())
        yield Panel(name, rows, choice.flops, (span.value, span.low, span.high), actual)


# In the order of the page: the narrow ones beside each other.
MIXTURE_KINDS: dict[str, tuple[str, Make]] = {
    "mixtures": ("Mixtures and their objective", _mixtures),
    "mixture-laws": ("The laws of mixtures", _laws),
    "mixture-losses": ("The candidates by domain", _losses),
    DOMAINS: ("Losses by domain and compute", _domains),
}


def mixture_figures(found: MixtureFindings) -> Iterator[ReportFigure]:
    """The figures of a choice; each has its SVG, or the reason why there is none."""
    for name, (title, make) in MIXTURE_KINDS.items():
        try:
            drawing = make(found)
        except InputError as error:
            yield ReportFigure(name, title, "; ".join(error.errors), None)
            continue
        picture = plots.svg(plots.figure(drawing.draw, *drawing.size), name)
        yield ReportFigure(name, title, drawing.reading, picture, broad=drawing.broad)


def draw_mixture(kind: str, place: Path) -> tuple[Drawing, Figure]:
    """Draws a figure of a choice.

    Args:
        kind: a name in ``MIXTURE_KINDS``.
        place: a sweep's folder, or the file of a frozen choice.

    Raises:
        InputError: for a figure that the choice cannot give, or a file that is none.
    """
    if kind not in MIXTURE_KINDS:
        raise InputError(f"no figure {kind!r} of a mixture; there are {', '.join(MIXTURE_KINDS)}")
    if place.exists() and not is_mixture(place):
        raise InputError(
            f"{place}: no frozen choice of a mixture; give the folder of a sweep with mixtures, or what `scaling "
            "mixture choose --freeze` wrote"
        )
    _, make = MIXTURE_KINDS[kind]
    try:
        drawing = make(read_mixture_findings(place))
    except InputError as error:
        raise InputError(line if str(place) in line else f"{place}: {line}" for line in error.errors) from None
    return drawing, plots.figure(drawing.draw, *drawing.size)
