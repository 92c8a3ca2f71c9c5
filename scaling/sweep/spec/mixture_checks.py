"""Whether the mixtures of a sweep file fit together: its blocks and target, and the sources of its corpus."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from scaling.quantity import parse_quantity
from scaling.sweep.spec.fields import show
from scaling.sweep.spec.mixtures import ALWAYS, CHOSEN, Mixtures

Path: TypeAlias = tuple[str | int, ...]
Violation: TypeAlias = tuple[Path, str]


def mixture_violations(data: Mapping[str, Any]) -> Iterator[Violation]:
    """Paths and messages of mixtures that a sweep's blocks and target take and its ``mixtures`` does not have.

    They are found even where other keys are wrong.
    """
    mixtures, fit, target = data.get("mixtures"), data.get("fit"), data.get("target")
    blocks = fit if isinstance(fit, list) else [fit]
    if mixtures is None:
        yield from _without_mixtures(blocks, target)
        return
    if not isinstance(mixtures, dict):  # a violation that pydantic finds
        return
    own = mixtures.get("names")
    known = (*ALWAYS, *(own if isinstance(own, dict) else ()))
    for number, block in enumerate(blocks):
        if isinstance(block, dict):
            yield from _of_block(block, ("fit", number), known, mixtures.get("count"))
    if data.get("grid") is not None and target is None:
        yield ("grid",), "a sweep with mixtures tunes nothing; tune by a sweep of one mixture first"
    wanted = target.get("mixtures") if isinstance(target, dict) else None
    if wanted is not None:
        yield from _unknown(wanted, ("target", "mixtures"), (CHOSEN, *known))
        if CHOSEN not in (wanted if isinstance(wanted, list) else [wanted]):
            yield ("target", "mixtures"), f"{CHOSEN!r} is missing, the mixture that the fitted runs decide on"


def _without_mixtures(blocks: Sequence[Any], target: Any) -> Iterator[Violation]:
    given: list[tuple[Path, Any]] = [(("fit", number, "mixtures"), block) for number, block in enumerate(blocks)]
    given += [(("target", key), target) for key in ("mixtures", "for")]
    for path, block in given:
        if isinstance(block, dict) and path[-1] in block:
            yield path, "belongs to a sweep with the key 'mixtures', and there is none"


def _of_block(block: dict[str, Any], path: Path, known: tuple[str, ...], design: Any) -> Iterator[Violation]:
    wanted = block.get("mixtures")
    if wanted is None:
        yield path, "missing key 'mixtures': how many of the design, or names"
        return
    here = (*path, "mixtures")
    number, most = _parsed(wanted), _parsed(design)
    if number is None:
        yield from _unknown(wanted, here, known)
    elif design is None:
        yield here, f"a count is of a design, and mixtures has no count; there are {', '.join(known)}"
    elif most is not None and number > most >= 1:
        yield here, f"{number:g} mixtures are wanted of a design of {most:g}"


def _unknown(wanted: Any, path: Path, known: tuple[str, ...]) -> Iterator[Violation]:
    """A violation for each name that is not known."""
    named = (
        [((*path, index), name) for index, name in enumerate(wanted)] if isinstance(wanted, list) else [(path, wanted)]
    )
    for where, name in named:
        if name == CHOSEN and CHOSEN not in known:
            yield where, f"{CHOSEN!r} is decided by the fitted runs, and for the target alone"
        elif isinstance(name, str) and name not in known:
            yield where, f"there is no mixture {show(name)}; there are {', '.join(known)}"


def _parsed(value: Any) -> float | None:
    """A number as people write it; None for what is none."""
    try:
        return None if isinstance(value, bool) else parse_quantity(value)
    except (ValueError, TypeError, AttributeError):
        return None


def source_violations(
    mixtures: Mixtures, objective: Mapping[str, float] | None, sources: Sequence[str], evaluated: Sequence[str]
) -> Iterator[Violation]:
    """Paths and messages of shares that do not suit a corpus.

    Args:
        mixtures: of a sweep.
        objective: its target's.
        sources: of its corpus.
        evaluated: names of what its runs are evaluated on besides.
    """
    if len(sources) < 2:
        yield ("mixtures",), "the corpus is one source; mixtures need two or more, such as names: [speech, code]"
        return
    there = f"the corpus's sources are {', '.join(sources)}"
    for name, shares in (mixtures.names or {}).items():
        for source in _others(shares, sources):
            yield ("mixtures", "names", name, source), f"no source; {there}"
    also = f", and further domains {', '.join(evaluated)}" if evaluated else ""
    for domain in _others(objective or {}, (*sources, *evaluated)):
        yield ("target", "for", domain), f"no domain; {there}{also}"
    if mixtures.count is None:
        return
    yield from _around_violations(mixtures, sources, there)
    if mixtures.least * len(sources) >= 1:
        yield ("mixtures", "least"), f"{mixtures.least:.4g} of each of {len(sources)} sources leaves nothing to vary"


def _around_violations(mixtures: Mixtures, sources: Sequence[str], there: str) -> Iterator[Violation]:
    if isinstance(mixtures.around, str):
        return
    for source in _others(mixtures.around, sources):
        yield ("mixtures", "around", source), f"no source; {there}"
    shares = {source: mixtures.around.get(source, 0.0) for source in sources}
    if low := [source for source, share in shares.items() if share <= mixtures.least]:
        most = f"no more than the least, {mixtures.least:.4g}" if mixtures.least else "nothing"
        yield ("mixtures", "around"), f"a design lies around a share of every source; {', '.join(low)} has {most}"


def _others(names: Iterable[str], known: Sequence[str]) -> list[str]:
    return [name for name in names if name not in known]
