"""The page about a comparison: its content as plain data, and the HTML made of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from analysis.comparing.comparison import Comparison
from analysis.comparing.score import ComparisonScore
from analysis.comparing.text import chance, factor, order_line, percent, spanned, target_line, verdict
from analysis.diagnostics.codes import Diagnostic
from analysis.formatting import format_power
from analysis.pages.table import Code, Table
from analysis.report.comparisons.figures import comparison_figures
from analysis.report.comparisons.findings import ComparisonFindings, read_comparison_findings
from analysis.report.figures import ReportFigure
from analysis.report.rendering import rendered, write_page
from analysis.report.tables import sweep_file


@dataclass(frozen=True)
class ComparisonPage:
    """Everything that the page shows, from top to bottom.

    Attributes:
        title: with the folder's or the file's name.
        verdict: which contender is best at the target, in a sentence.
        target: it, and how far it is.
        outcome: what came of it, in a sentence.
        warnings: of the comparison and its score.
        figures: drawn, or with the reason why they are not.
        tables: of contenders, pairs, the score, budgets, and provenance.
        deciding: which further runs would decide, a sentence for each pair that is not.
        links: the contenders' own pages: name and address.
        sweep_file: the text of the sweep's file, or None.
    """

    title: str
    verdict: str
    target: str
    outcome: str
    warnings: tuple[Diagnostic, ...]
    figures: tuple[ReportFigure, ...]
    tables: tuple[Table, ...]
    deciding: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    sweep_file: str | None


def comparison_page(found: ComparisonFindings) -> ComparisonPage:
    """The page about a comparison."""
    made, score, place = found.comparison, found.score, found.place
    scored = () if score is None else score.warnings
    return ComparisonPage(
        title=f"Comparison {place.resolve().name}",
        verdict=_sentence(verdict(made)),
        target=f"The target: {target_line(made)}.",
        outcome=_outcome(score),
        warnings=tuple(dict.fromkeys([*made.warnings, *scored])),
        figures=tuple(comparison_figures(found)),
        tables=tuple(_tables(made, score)),
        deciding=tuple(
            f"{each.first} and {each.second}: {each.deciding}." for each in made.pairs if each.deciding is not None
        ),
        links=tuple((name, quote(address)) for name, address in found.pages.items()),
        sweep_file=sweep_file(place) if place.is_dir() else None,
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text.startswith("not decided") else f"{text}."


def _outcome(score: ComparisonScore | None) -> str:
    if score is None:
        return "The targets have not been scored yet."
    right = sum(each.right for each in score.pairs)
    came = "as forecast" if score.best == score.forecast_best else f"and not {score.forecast_best}, as forecast"
    pairs = f"{right} of {len(score.pairs)} pairs ranked right" if len(score.pairs) > 1 else ""
    return f"At the target {score.best} was best, {came}{f': {pairs}' if pairs else ''}."


def _tables(made: Comparison, score: ComparisonScore | None) -> Iterator[Table]:
    level = f"{100 * made.level:.4g}% interval"
    head = ("contender", "P(best)", "fitted runs", "target FLOPs", *(() if score is None else ("actual loss",)))
    rows = [
        (
            *(name, chance(made.best[name]), str(made.runs[name]), format_power(made.targets[name].flops)),
            *(() if score is None else (f"{score.losses[name]:.4f}",)),
        )
        for name in made.contenders
    ]
    yield Table("contenders", "The contenders", head, tuple(rows))
    timed = any(each.time is not None for each in made.pairs)
    head = ("contender", "against", "P(better)", f"difference of losses ({level})", f"compute multiplier ({level})")
    rows = [
        (
            *(each.second, each.first, chance(each.better), percent(each.difference), spanned(each.multiplier)),
            *(("" if each.time is None else spanned(each.time),) if timed else ()),
            *("" if each.trend.value is None else spanned(each.trend), order_line(each)),
        )
        for each in made.pairs
    ]
    titles = (*head, *(("of time",) if timed else ()), "trend per tenfold compute", "the order")
    yield Table("pairs", "Every two at the target", titles, tuple(rows))
    if score is not None:
        yield _scores(score)
    head = ("contender", "against", "FLOPs", "pairs of runs", f"difference ({level})", f"multiplier ({level})")
    rows = [
        (
            *(each.second, each.first, format_power(row.flops), str(row.pairs)),
            *(percent(row.difference), spanned(row.multiplier)),
        )
        for each in made.pairs
        for row in each.budgets
    ]
    yield Table("budgets", "What the runs show", head, tuple(rows), sortable=True)
    hashes = [(f"runs of {name}", Code(made.table_hashes[name])) for name in made.contenders]
    yield Table(
        "provenance",
        "Where it comes from",
        (),
        (("comparison", Code(made.sha256)), ("created", made.created), ("version", made.version), *hashes),
    )


def _scores(score: ComparisonScore) -> Table:
    head = ("contender", "against", "P(better)", "", "difference", "actual", "", "multiplier", "actual", "")
    rows = []
    for each in score.pairs:
        known = each.multiplier is not None and each.actual_multiplier is not None
        rows.append(
            (
                *(each.second, each.first, chance(each.better), "right" if each.right else "wrong"),
                *(f"{100 * each.difference:+.2f}%", f"{100 * each.actual:+.2f}%"),
                "inside" if each.inside else "outside",
                "" if each.multiplier is None else factor(each.multiplier),
                "" if each.actual_multiplier is None else factor(each.actual_multiplier),
                ("inside" if each.multiplier_inside else "outside") if known else "",
            )
        )
    return Table("score", "The comparison against the actual", head, tuple(rows))


def render_comparison(page: ComparisonPage) -> str:
    """The page as one HTML document; everything is escaped but the figures' SVG, the style sheet and the script."""
    return rendered("comparison.html.j2", page)


def write_comparison_report(place: str | Path, output: str | Path | None = None) -> Path:
    """Writes the page about a folder with contenders, or about a comparison's file.

    Args:
        place: the folder, with ``comparison.json`` and maybe ``comparison_score.json``; or the comparison's file.
        output: the page; by default ``report.html`` in the folder, or beside the file under its name.

    Returns:
        The page's path.

    Raises:
        InputError: if a file is not what its name says.
    """
    place = Path(place)
    return write_page(render_comparison(comparison_page(read_comparison_findings(place))), place, output)
