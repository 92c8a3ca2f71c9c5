"""The differences between two plans of a folder, and whether one may replace the other."""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from scaling.sweep.folder.plan_file import Plan
from scaling.sweep.folder.run_folder import ENDED
from scaling.sweep.spec.arrangement import without_arrangement

_MOST_SHOWN = 20


def with_target_left(before: Plan, after: Plan) -> Plan:
    """A plan that leaves its target for later, with the runs that another plan has of the same target.

    Not of a sweep with mixtures, whose target is of other runs whenever they choose another one.
    """
    if "mixtures" in after["sweep"]:
        return after
    same = before["sweep"].get("target") == after["sweep"].get("target")
    if not same or any(run["role"] == "target" for run in after["runs"]):
        return after
    return {**after, "runs": after["runs"] + [run for run in before["runs"] if run["role"] == "target"]}


def conflict(before: Plan, after: Plan, may_grow: bool, state: Callable[[str], str]) -> str | None:
    """Why a plan is neither the one that a folder holds nor one that it may grow to; None if it is.

    Args:
        before, after: the folder's plan and the other.
        may_grow: whether it may have more runs, with all fitted ones among them, and another target that has not begun.
        state: of a run, by its id.
    """
    lost = [run for run in before["runs"] if run not in after["runs"]]
    if may_grow and all(run["role"] == "target" for run in lost):
        begun = any(state(run["id"]) != "planned" for run in lost)
        return "holds another target, whose training has begun" if begun else None
    was, now = (without_arrangement(plan["sweep"]) for plan in (before, after))
    if was != now:
        changed = sorted(key for key in {*now, *was} if now.get(key) != was.get(key))
        return f"holds another sweep (different: {', '.join(changed)})"
    if before["runs"] != after["runs"]:
        return "the same sweep file gives other runs than before (another corpus or version)"
    return None


def describe_changes(before: Plan, after: Plan, state: Callable[[str], str]) -> Iterator[str]:
    """Lines on the changes by another plan: keys of the sweep, and how many runs stay, leave and are new.

    Args:
        before, after: the plans.
        state: of a run, by its id.
    """
    changed = list(_differences("", *(without_arrangement(plan["sweep"]) for plan in (before, after))))
    yield from changed[:_MOST_SHOWN]
    if len(changed) > _MOST_SHOWN:
        yield f"and {len(changed) - _MOST_SHOWN} more keys"
    was, comes = ([run["id"] for run in plan["runs"]] for plan in (before, after))
    parts = []
    for ids, verb in (
        ([run for run in comes if run in set(was)], "kept"),
        ([run for run in was if run not in set(comes)], "no longer part of it"),
        ([run for run in comes if run not in set(was)], "new"),
    ):
        states = Counter(_progress(state(run)) for run in ids)
        begun = ", ".join(f"{states[name]} {name}" for name in ("finished", "half-trained") if states[name])
        parts.append(
            f"{len(ids)} {'run is' if len(ids) == 1 else 'runs are'} {verb}" + (f" ({begun})" if begun else "")
        )
    yield "; ".join(parts)


def _progress(state: str) -> str:
    return "finished" if state in ENDED else "planned" if state == "planned" else "half-trained"


def _differences(at: str, before: object, after: object) -> Iterator[str]:
    """Values that differ between two trees, by their dotted path."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*after, *(key for key in before if key not in after)]:
            yield from _differences(f"{at}.{key}" if at else str(key), before.get(key), after.get(key))
    elif _blocks(before) and _blocks(after) and len(before) == len(after):  # type: ignore[arg-type]
        for index, pair in enumerate(zip(before, after, strict=True)):  # type: ignore[call-overload]
            yield from _differences(f"{at}.{index}", *pair)
    elif before != after:
        yield f"{at}: {_shown(before)} -> {_shown(after)}"


def _blocks(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _shown(value: object) -> str:
    if value is None:
        return "not given"
    return textwrap.shorten(_plain(value), 100, placeholder=" ...")


def _plain(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case list():
            return f"[{', '.join(map(_plain, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {_plain(item)}' for key, item in value.items())}}}"
    return str(value)


def begun(plan: Plan, state: Callable[[str], str]) -> list[str]:
    """Ids of a plan's target runs whose training has begun."""
    return [run["id"] for run in plan["runs"] if run["role"] == "target" and state(run["id"]) != "planned"]


def forecast_holds(before: Plan, after: Plan) -> bool:
    """Whether a forecast made under one plan holds under another: same target, same fitted runs.

    The choice of a mixture is also for an objective, and for the epochs that the corpus allows: all of the sweep.
    """
    if "mixtures" in after["sweep"] and without_arrangement(before["sweep"]) != without_arrangement(after["sweep"]):
        return False
    kept = before["sweep"].get("name") == after["sweep"].get("name")
    return kept and _entries(before["runs"]) == _entries(after["runs"])


def _entries(runs: Iterable[Mapping[str, str]]) -> set[tuple[str, str]]:
    return {(run["id"], run["role"]) for run in runs}
