"""A sweep edited under its half-done folder: what changes, and how what was is kept.

A plan is what ``plan.json`` holds: ``sweep``, the validated sweep, and ``runs``, each with ``id`` and ``role``.
"""

import json
import os
import re
import shutil
import textwrap
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scaling.errors import InputError
from scaling.sweep.folder.run_folder import ENDED
from scaling.sweep.spec.arrangement import without_arrangement

PLAN, SOURCE, FORECAST, FORKS = "plan.json", "sweep.yaml", "forecast.json", "forks"
# What is made from a sweep's runs: no longer true of another sweep.
RESULTS = (FORECAST, "score.json", "runs.parquet", "curves.parquet", "summary.json", "report.html")
_ID = re.compile(r"[0-9a-f]{12}")
_ROLES = ("fit", "target")
_MOST_SHOWN = 20
Plan = dict[str, Any]


def read_plan(text: bytes) -> Plan:
    """A plan from its JSON; ValueError if it is none: an id, too, which names a folder, is checked."""
    plan = json.loads(text)
    if not isinstance(plan, dict) or not isinstance(plan.get("sweep"), dict) or not isinstance(plan.get("runs"), list):
        raise ValueError("not a sweep's plan")
    if not isinstance(plan["sweep"].get("name", ""), str):
        raise ValueError("the sweep's name is no text")
    for run in plan["runs"]:
        known = isinstance(run, dict) and isinstance(run.get("id"), str) and _ID.fullmatch(run["id"])
        if not known or run.get("role") not in _ROLES:
            raise ValueError(f"not a planned run: {textwrap.shorten(json.dumps(run), 60, placeholder='...')}")
    return plan


def with_target_left(before: Plan, after: Plan) -> Plan:
    """A plan without its target's runs, which are left for later, with those of the same target in another plan."""
    same = before["sweep"].get("target") == after["sweep"].get("target")
    if not same or any(run["role"] == "target" for run in after["runs"]):
        return after
    return {**after, "runs": after["runs"] + [run for run in before["runs"] if run["role"] == "target"]}


def conflict(before: Plan, after: Plan, may_grow: bool, state: Callable[[str], str]) -> str | None:
    """Why a plan is not the one that a folder holds, nor one that this may grow to; None if it is.

    Args:
        before, after: the folder's plan and the other.
        may_grow: whether it may have more runs, the fitted ones all kept, and another target that has not begun.
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


def told(before: Plan, after: Plan, state: Callable[[str], str]) -> Iterator[str]:
    """What another plan changes, a line each: keys of the sweep, and how many runs stay, leave and come.

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
    """The values that differ, by their dotted path."""
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
    """Ids of the runs of a plan's target whose training has begun."""
    return [run["id"] for run in plan["runs"] if run["role"] == "target" and state(run["id"]) != "planned"]


def forecast_holds(before: Plan, after: Plan) -> bool:
    """Whether a forecast made under one plan is also that of another: of the same target, from the same runs."""
    kept = before["sweep"].get("name") == after["sweep"].get("name")
    return kept and _entries(before["runs"]) == _entries(after["runs"])


def _entries(runs: Iterable[Mapping[str, str]]) -> set[tuple[str, str]]:
    return {(run["id"], run["role"]) for run in runs}


def keep(folder: Path) -> Path:
    """Copies a sweep's plan, file and results to ``forks/1``, or the next number that is free, whole or not at all.

    Until another plan takes the place of the one that was copied, the fork can be taken back.
    """
    forks = folder / FORKS
    number = max(_numbers(forks), default=0) + 1
    temporary = forks / f".{uuid.uuid4().hex[:12]}"
    temporary.mkdir(parents=True)
    for name in (PLAN, SOURCE, *RESULTS):
        if (folder / name).is_file():
            shutil.copy2(folder / name, temporary / name)
    return temporary.rename(forks / str(number))


def discard_results(folder: Path) -> None:
    """Removes what was made from the runs of another plan."""
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)


def take_back(folder: Path) -> None:
    """Undoes a fork that was cut short: then the plan that was kept is still the folder's, and its results return."""
    forks = folder / FORKS
    if not forks.is_dir() or not (folder / PLAN).is_file():
        return
    for left in forks.glob(".*"):
        shutil.rmtree(left, ignore_errors=True)
    last = forks / str(max(_numbers(forks), default=0))
    if not (last / PLAN).is_file() or (last / PLAN).read_bytes() != (folder / PLAN).read_bytes():
        return
    for file in last.iterdir():
        temporary = folder / f".{file.name}.{uuid.uuid4().hex[:12]}"
        shutil.copy2(file, temporary)
        temporary.replace(folder / file.name)
    shutil.rmtree(last.rename(forks / f".{last.name}"))


def _numbers(forks: Path) -> list[int]:
    return [int(path.name) for path in forks.iterdir() if path.name.isdecimal()] if forks.is_dir() else []


def refuse_links(folder: Path) -> None:
    """InputError where a link in a sweep's folder leads out of it: what is written there would be lost elsewhere.

    The folder itself may be a link.
    """
    root = folder.resolve()
    outside = []
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
                outside.append(path)
    if outside:
        raise InputError(f"{path}: a link that leads out of the sweep's folder" for path in outside[:_MOST_SHOWN])
