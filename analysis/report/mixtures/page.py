"""The page about a choice of a mixture: its content as plain data, and the HTML made of it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.files import readable
from analysis.pages.table import Table
from analysis.report.figures import ReportFigure
from analysis.report.findings import RUNS
from analysis.report.mixtures.figures import mixture_figures
from analysis.report.mixtures.findings import MixtureFindings, read_mixture_findings
from analysis.report.mixtures.sentences import LEVEL_AND_CONTRAST, outcome, verdict, worth
from analysis.report.mixtures.tables import tables_of
from analysis.report.rendering import rendered, write_page
from analysis.report.tables import runs, spent, sweep_file


@dataclass(frozen=True)
class MixturePage:
    """Everything that the page shows, from top to bottom.

    Attributes:
        title: with the folder's or the file's name.
        verdict: the mixture to train on, and its objective, in sentences.
        worth: against each other candidate, and what cannot be told from it, a sentence each.
        outcome: what came of it.
        parts: what a forecast consists of.
        warnings: of the choice and its score.
        figures: drawn, or with the reason why they are not.
        tables: of shares, candidates, losses by domain, lengths, and provenance.
        runs: every run; None where only the choice is at hand.
        sweep_file: the text of the sweep's file, or None.
        spent: the corpus, its held-out text and the time spent, or None.
    """

    title: str
    verdict: str
    worth: tuple[str, ...]
    outcome: str
    parts: str
    warnings: tuple[Diagnostic, ...]
    figures: tuple[ReportFigure, ...]
    tables: tuple[Table, ...]
    runs: Table | None
    sweep_file: str | None
    spent: Table | None


def mixture_page(found: MixtureFindings) -> MixturePage:
    """The page about a choice."""
    choice, score, place = found.choice, found.score, found.place
    text, time = (sweep_file(place), spent(place)) if place.is_dir() else (None, None)
    return MixturePage(
        title=f"Mixture of {place.resolve().name}",
        verdict=verdict(choice),
        worth=tuple(worth(choice)),
        outcome=outcome(score),
        parts=LEVEL_AND_CONTRAST,
        warnings=tuple(dict.fromkeys([*choice.warnings, *(() if score is None else score.warnings)])),
        figures=tuple(mixture_figures(found)),
        tables=tuple(tables_of(choice, score)),
        runs=_runs(place) if place.is_dir() else None,
        sweep_file=text,
        spent=time,
    )


def _runs(folder: Path) -> Table | None:
    path = folder / RUNS
    if not path.is_file():
        return None
    with readable(path, "table of runs"):
        frame = pd.read_parquet(path)
    mixed = [str(name) for name in frame if str(name).startswith("mix_")]
    return runs(frame, ["run_id", "role", "status", "params", "tokens", "flops", "loss", "seed", *mixed])


def render_mixture(page: MixturePage) -> str:
    """The page as one HTML document; everything is escaped but the figures' SVG, the style sheet and the script."""
    return rendered("mixture.html.j2", page)


def write_mixture_report(place: str | Path, output: str | Path | None = None) -> Path:
    """Writes the page about a folder with a frozen choice, or about a choice's file.

    Args:
        place: the folder, with ``choice.json`` and maybe ``choice_score.json``; or the choice's file.
        output: the page; by default ``report.html`` in the folder, or beside the file under its name.

    Returns:
        The page's path.

    Raises:
        InputError: if a file is not what its name says.
    """
    place = Path(place)
    return write_page(render_mixture(mixture_page(read_mixture_findings(place))), place, output)
