"""The tables of a page about a choice: shares, candidates, losses by domain, lengths, and where it comes from."""

from collections.abc import Iterator

from analysis.formatting import format_power, format_quantity
from analysis.mixing.choice import CHOSEN, Choice, Span
from analysis.mixing.score import ChoiceScore, ScoredLoss
from analysis.mixing.text import chance
from analysis.pages.table import Code, Table
from analysis.plots.mixtures.landscape import CANDIDATES
from analysis.report.words import change


def tables_of(choice: Choice, score: ChoiceScore | None) -> Iterator[Table]:
    """The tables of a choice, that of provenance last."""
    yield _shares(choice)
    yield _candidates(choice, score)
    yield _losses(choice, score)
    if choice.scarce is not None and choice.scarce.lengths:
        yield _lengths(choice)
    yield _provenance(choice)


def _title(name: str) -> str:
    return CANDIDATES[name][2] if name in CANDIDATES else name


def _level(choice: Choice) -> str:
    return f"{100 * choice.level:.4g}% interval"


def _shares(choice: Choice) -> Table:
    others = [name for name in choice.candidates if name != CHOSEN]
    epochs, limits = choice.candidates[CHOSEN].epochs, choice.limits
    rows = []
    for name, share in sorted(choice.shares.items(), key=lambda item: (-item[1], item[0])):
        low, high = choice.ranges[name]
        cells = (f"{epochs[name]:.2g}" if name in epochs else "", f"{limits[name]:.3g}" if name in limits else "")
        rows.append(
            (
                *(name, f"{share:.1%}", f"{low:.0%} to {high:.0%}"),
                *(cells if epochs else ()),
                *(f"{choice.candidates[other].shares[name]:.1%}" for other in others),
            )
        )
    sized = ("epochs", "most epochs") if epochs else ()
    head = ("source", "chosen", f"not told from it ({100 * choice.level:.4g}%)", *sized, *map(_title, others))
    return Table("shares", "Shares of the sources", head, tuple(rows))


def _candidates(choice: Choice, score: ChoiceScore | None) -> Table:
    decided = {} if score is None else {each.other: each for each in score.decisions}
    scored = {} if score is None else score.candidates
    rows = []
    for name, each in choice.candidates.items():
        gain = choice.gain.get(name)
        row: tuple[str, ...] = (
            *(_title(name), *_spanned(each.objective)),
            *("" if name == CHOSEN else chance(choice.p_better[name]), "" if gain is None else _percent(gain)),
        )
        if score is not None:
            found = scored[name].objective if name in scored else None
            row = (*row, *_came(found), f"{decided[name].actual:+.2%}" if name in decided else "")
            row = (*row, ("right" if decided[name].right else "wrong") if name in decided else "")
        rows.append(row)
    head: tuple[str, ...] = (
        "candidate",
        "objective",
        _level(choice),
        "P(chosen is better)",
        f"above the chosen ({_level(choice)})",
    )
    if score is not None:
        head = (*head, "actual", "error", "", "actually above", "")
    return Table("candidates", "The candidates at the target", head, tuple(rows))


def _losses(choice: Choice, score: ChoiceScore | None) -> Table:
    rows = []
    for domain, weight in choice.objective.items():
        for name, each in choice.candidates.items():
            row: tuple[str, ...] = (domain, _title(name), f"{weight:.1%}", *_spanned(each.losses[domain]))
            if score is not None:
                row = (*row, *_came(score.candidates[name].losses[domain] if name in score.candidates else None))
            rows.append(row)
    head = ("domain", "candidate", "weight", "loss", _level(choice), *(("actual", "error", "") if score else ()))
    return Table("domains", "Losses by domain, nats per token", head, tuple(rows), sortable=True)


def _lengths(choice: Choice) -> Table:
    assert choice.scarce is not None
    sources = list(choice.shares)
    rows = []
    for each in choice.scarce.lengths:
        cells = (
            f"{each.shares[name]:.1%}" + (f" ({each.epochs[name]:.2g})" if name in each.epochs else "")
            for name in sources
        )
        rows.append((format_quantity(each.tokens), *cells, change(each.cost)))
    title = "Shorter and longer training: shares, and epochs where sources run out"
    return Table("lengths", title, ("tokens", *sources, "loss to scarcity"), tuple(rows))


def _provenance(choice: Choice) -> Table:
    rows: tuple[tuple[str | Code, ...], ...] = (
        ("runs", choice.source),
        ("fitted", f"{choice.n_runs} runs of {choice.n_mixtures} mixtures"),
        ("target", f"{format_power(choice.flops)} FLOPs, the mean of {choice.seeds} run{'s' * (choice.seeds != 1)}"),
        ("pull towards the proportional mixture (KL)", f"{choice.kl:g}"),
        ("fitted rows, SHA-256", Code(choice.table_hash)),
        *((f"held-out text of {domain}, SHA-256", Code(text)) for domain, text in choice.held_out.items()),
        ("created", choice.created),
        ("version", choice.version),
    )
    return Table("provenance", "Where it comes from", (), rows)


def _spanned(span: Span) -> tuple[str, str]:
    return f"{span.value:.4f}", f"{span.low:.4f} to {span.high:.4f}"


def _percent(span: Span) -> str:
    return f"{span.value:+.2%} ({span.low:+.2%} to {span.high:+.2%})"


def _came(found: ScoredLoss | None) -> tuple[str, str, str]:
    if found is None:
        return "", "", ""
    return f"{found.actual:.4f}", f"{found.error:+.2%}", "inside" if found.covered else "outside"
