"""Answers to one prompt side by side: at the start, at the peak of the gold reward, and at the end."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.errors import InputError
from analysis.pages.table import Table
from analysis.report.stages.findings import StageFindings
from analysis.rewards.curves import RewardCurve

_MOST = 6  # answers shown where they belong to no curve
_LONGEST = 600  # characters of an answer
_TITLE = "Answers"


def answers(found: StageFindings) -> Table | None:
    """The table of answers; None where there are none.

    Of runs that move away from their start it is one prompt's answers at the start, the peak and the end of the run
    whose gold falls most from its peak; of other runs the first few.

    Raises:
        InputError: the file of answers is not readable.
    """
    rows = found.samples
    if not rows:
        return None
    curves = _curves(found)
    along = [row for row in rows if _place(row) is not None]
    runs = list(dict.fromkeys(str(row.get("run_id", "")) for row in along))
    if not runs:
        return _listed(rows)
    run = max(runs, key=lambda name: (_fall(curves.get(name)), -runs.index(name)))
    mine = [row for row in along if str(row.get("run_id", "")) == run]
    same = [row for row in mine if row["prompt"] == mine[0]["prompt"]]
    same.sort(key=lambda row: _place(row) or 0.0)
    moments = _moments(same, curves.get(run))
    numbers = [name for name in ("n", "kl", "proxy", "gold") if any(_number(same[at].get(name)) for at in moments)]
    body = tuple(
        (text, *(_number(same[at].get(name)) for name in numbers), _cut(same[at]["answer"]))
        for at, text in moments.items()
    )
    title = f"{_TITLE} of {run} to: {_cut(mine[0]['prompt'])}" if run else f"{_TITLE} to: {_cut(mine[0]['prompt'])}"
    return Table("answers", title, ("", *numbers, "answer"), body)


def _curves(found: StageFindings) -> dict[str, RewardCurve]:
    """Curves of gold by run; none where it was not measured."""
    try:
        table = found.rewards
    except InputError:
        return {}
    return {curve.run_id: curve for curve in table.curves} if table.reward == "gold" else {}


def _fall(curve: RewardCurve | None) -> float:
    """By how much gold ends below its peak."""
    return -np.inf if curve is None else float(curve.peak()[1] - curve.smoothed()[-1])


def _place(row: dict[str, Any]) -> float | None:
    """How far a row's policy is from the start: its n, or else its KL divergence or step."""
    found = next((row[name] for name in ("n", "kl", "step") if isinstance(row.get(name), int | float)), None)
    return None if found is None or found != found else float(found)


def _moments(rows: Sequence[dict[str, Any]], curve: RewardCurve | None) -> dict[int, str]:
    """The places of the rows that are shown, in order, with what each is."""
    texts: dict[int, list[str]] = {0: ["the start"]}
    if curve is not None and len(rows) > 2:
        peak = curve.peak()[0]
        near = int(np.argmin([abs(np.log1p(_place(row) or 0.0) - np.log1p(peak)) for row in rows]))
        texts.setdefault(near, []).append(
            "the peak of gold" if (_place(rows[near]) == peak) else "near the peak of gold"
        )
    texts.setdefault(len(rows) - 1, []).append("the end")
    return {at: " and ".join(texts[at]) for at in sorted(texts)}


def _listed(rows: Sequence[dict[str, Any]]) -> Table:
    shown = rows[:_MOST]
    names = dict.fromkeys(name for row in shown for name, value in row.items() if _number(value))
    numbers = [name for name in names if name not in ("prompt", "answer", "run_id")]
    body = tuple(
        (_cut(row["prompt"]), _cut(row["answer"]), *(_number(row.get(name)) for name in numbers)) for row in shown
    )
    return Table("answers", _TITLE, ("prompt", "answer", *numbers), body)


def _number(value: object) -> str:
    """A number as text; empty for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return ""
    return f"{value:.4g}"


def _cut(text: str) -> str:
    """A text without the ends of its tokens, and not too long."""
    text = text.rstrip("\0")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ... ({len(text):,} characters)"
