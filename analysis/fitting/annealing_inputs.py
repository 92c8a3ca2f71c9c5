"""Inputs of the annealing law: the drops of a learning-rate schedule, summed over parts of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from analysis.runs.curves import LoggedSchedule

_PARTS = 32
_ROUNDING = 1e-9
_JUMP = 0.02  # of the run: a fall between two logged rows closer than that


@dataclass(frozen=True)
class AnnealingInputs:
    """Inputs of the annealing law: one entry a logged loss of any run.

    Attributes:
        rate: the learning rate.
        log_work: log of the sum of the learning rates so far.
        drop: by how much the rate fell in each part of the schedule, so far.
        log_at: log of the rate in that part.
        since: the sum of the rates since that part.
    """

    rate: Float[np.ndarray, " rows"]
    log_work: Float[np.ndarray, " rows"]
    drop: Float[np.ndarray, "rows parts"]
    log_at: Float[np.ndarray, "rows parts"]
    since: Float[np.ndarray, "rows parts"]

    def scaled(self, rate: float, work: float) -> "AnnealingInputs":
        """The inputs in units of a learning rate and of a sum of learning rates."""
        return AnnealingInputs(
            self.rate / rate,
            self.log_work - np.log(work),
            self.drop / rate,
            self.log_at - np.log(rate),
            self.since / work,
        )


def inputs_of_schedule(schedule: LoggedSchedule, step: Float[np.ndarray, " rows"]) -> AnnealingInputs:
    """Inputs of the annealing law along a schedule, at some steps after 0."""
    rate, work = schedule.rate_at(step), schedule.work_at(step)
    first, last, jump = _parts(schedule)
    begin, end = first, np.minimum(last, step[:, None])
    shape = end.shape
    rate_begin = schedule.rate_at(begin)
    rate_end, work_end = schedule.rate_at(end.ravel()).reshape(shape), schedule.work_at(end.ravel()).reshape(shape)
    begun = end > begin
    # Within a smooth decay the rate of a part is that of its middle; after a jump, that of its end.
    within = np.where(begun, np.where(jump, schedule.rate_at(last), (rate_begin + rate_end) / 2), 0.0)
    return AnnealingInputs(
        rate=rate,
        log_work=np.log(work),
        drop=np.where(begun, rate_begin - rate_end, 0.0),
        log_at=np.log(np.where(within > 0, within, rate.max())),
        since=np.where(begun, work[:, None] - (schedule.work_at(begin) + work_end) / 2, 0.0),
    )


def _parts(
    schedule: LoggedSchedule,
) -> tuple[Float[np.ndarray, " parts"], Float[np.ndarray, " parts"], Bool[np.ndarray, " parts"]]:
    """Parts of a schedule after warm-up in which the rate changes: first and last step, and whether it jumps.

    A part of a decay is a 32nd of the peak rate, a jump is one part.
    """
    after = schedule.step >= schedule.warm
    step, rate = schedule.step[after], schedule.rate[after]
    change = np.diff(rate)
    change[np.abs(change) <= _ROUNDING * rate.max()] = 0.0
    # Pieces in which the rate moves one way; where it stands still there is nothing to sum.
    starts = np.flatnonzero(np.diff(np.sign(change), prepend=np.nan) != 0)
    edges, jumps = [np.zeros((2, 0))], []
    for start, stop in zip(starts, [*starts[1:], len(change)], strict=True):
        moved = np.concatenate([[0.0], np.cumsum(np.abs(change[start:stop]))])
        if moved[-1] == 0:
            continue
        jump = step[stop] - step[start] < _JUMP * step[-1] and stop - start == 1
        count = 1 if jump else max(2, round(_PARTS * moved[-1] / rate.max()))
        at = np.interp(np.linspace(0.0, moved[-1], count + 1), moved, step[start : stop + 1])
        edges.append(np.stack([at[:-1], at[1:]]))
        jumps += [jump] * count
    first, last = np.concatenate(edges, axis=1)
    return first, last, np.array(jumps, dtype=bool)


def stacked(parts: Sequence[AnnealingInputs]) -> AnnealingInputs:
    """AnnealingInputs of several runs joined; shorter schedules are padded with parts in which nothing drops."""
    most = max(part.drop.shape[1] for part in parts)

    def filled(values: Float[np.ndarray, "rows parts"]) -> Float[np.ndarray, "rows most"]:
        return np.pad(values, ((0, 0), (0, most - values.shape[1])))

    return AnnealingInputs(
        np.concatenate([p.rate for p in parts]),
        np.concatenate([p.log_work for p in parts]),
        np.concatenate([filled(p.drop) for p in parts]),
        np.concatenate([filled(p.log_at) for p in parts]),
        np.concatenate([filled(p.since) for p in parts]),
    )
