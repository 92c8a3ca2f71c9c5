"""Reward curves: what each run's policy is worth, by proxy and gold, as it moves from the policy it began at."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from analysis.diagnostics.codes import Diagnostic
from analysis.formatting import listed
from analysis.rewards.best_of_n import kl_bound
from analysis.rewards.laws import BEST_OF_N, REINFORCEMENT, RewardLaw
from analysis.stats import least_squares

FACTS = ("pairs", "reward_params", "loss", "accuracy")  # of a run's reward model
ALIKE = 0.01  # pairs that differ by less are the same
_FEWEST = 4  # rows that tell alpha, beta and the start
_ABOVE = 1.1  # times the bound of best-of-n's divergence, and a tenth of a nat: more is no estimate's error
_DRIFT = 1.3  # times the length of the start's answers
# Of a row, on either side, with which it is averaged where a peak is read off; and rows of a run for each.
_NEIGHBOURS, _ROWS_A_NEIGHBOUR = 2, 16


@dataclass(frozen=True)
class RewardCurve:
    """One run: best-of-n at several n, or the policies along a run of PPO or DPO.

    Attributes:
        run_id: of the run.
        kl: nats from the start, of each row; rows rise in it.
        n: of best-of-n; None for a trained policy.
        gain: gold, or else proxy, of each row less that of the start.
        proxy: proxy of each row less that of the start; NaN where the table has none.
        stderr: standard error of the gain; NaN where it is not known.
        step: of each row; NaN where the table has none.
        start: the reward that was taken off. Without a row of the start it is 0 of best-of-n, whose table then holds
            gains, and that of the law through the rows of a trained policy.
        started: whether the table has a row of the start.
        pairs: preference pairs that the proxy was trained on; this and the rest NaN where they are not known.
        reward_params: parameters of the proxy.
        loss: held-out loss of the proxy, nats per pair.
        accuracy: held-out accuracy of the proxy.
        by_prompt: the gain of each prompt, where there are samples.
    """

    run_id: str
    kl: Float[np.ndarray, " rows"]
    n: Float[np.ndarray, " rows"] | None
    gain: Float[np.ndarray, " rows"]
    proxy: Float[np.ndarray, " rows"]
    stderr: Float[np.ndarray, " rows"]
    step: Float[np.ndarray, " rows"]
    start: float = 0.0
    started: bool = False
    pairs: float = np.nan
    reward_params: float = np.nan
    loss: float = np.nan
    accuracy: float = np.nan
    by_prompt: Float[np.ndarray, "prompts rows"] | None = None

    @property
    def law(self) -> RewardLaw:
        """The law of its kind."""
        return REINFORCEMENT if self.n is None else BEST_OF_N

    @cached_property
    def d(self) -> Float[np.ndarray, " rows"]:
        """Square root of the KL divergence."""
        return np.sqrt(self.kl)

    @property
    def places(self) -> Float[np.ndarray, " rows"]:
        """n of best-of-n, or the KL divergence of a trained policy."""
        return self.kl if self.n is None else self.n

    def upto(self, most: float) -> "RewardCurve":
        """The rows up to some n or KL."""
        return self.take(self.places <= most)

    def take(self, keep: Bool[np.ndarray, " rows"]) -> "RewardCurve":
        """Some of its rows."""
        return replace(
            self,
            kl=self.kl[keep],
            n=None if self.n is None else self.n[keep],
            gain=self.gain[keep],
            proxy=self.proxy[keep],
            stderr=self.stderr[keep],
            step=self.step[keep],
            by_prompt=None if self.by_prompt is None else self.by_prompt[:, keep],
        )

    def smoothed(self) -> Float[np.ndarray, " rows"]:
        """Gains to read a peak off: as they are of best-of-n, whose rows share their samples; of a trained policy of
        many rows, means over up to five neighbours, as the largest of many noisy ones lies above every true one.
        Windows are narrower at both ends, so that they stay centred."""
        count = len(self.gain)
        half = min(_NEIGHBOURS, count // _ROWS_A_NEIGHBOUR)
        if self.n is not None or not half:
            return self.gain
        row = np.arange(count)
        wide = np.minimum(np.minimum(row, count - 1 - row), half)
        total = np.concatenate([[0.0], np.cumsum(self.gain)])
        return (total[row + wide + 1] - total[row - wide]) / (2 * wide + 1)

    def peak(self) -> tuple[float, float]:
        """n, or KL, and gain of the highest row."""
        gain = self.smoothed()
        top = int(np.argmax(gain))
        return float(self.places[top]), float(gain[top])

    def gain_at(self, d: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        """Measured gains, linear in d between the rows, from 0 at the start, and NaN beyond the last."""
        x, y = np.concatenate([[0.0], self.d]), np.concatenate([[0.0], self.smoothed()])
        return np.interp(d, x, y, right=np.nan)


@dataclass(frozen=True, eq=False)
class RewardTable:
    """Checked rows of reward curves.

    Attributes:
        frame: the rows, with the schema's names of their columns; the index is each row's place in its source.
        source: for messages.
        reward: the column that is forecast: ``gold``, or ``proxy`` where nobody measured it.
        notes: what was converted, and what cannot be seen.
        by_prompt: gains by prompt of runs that samples are given of, prompts x rows of n.
        where: the filter that chose the rows, or None.
        columns: the user's own mapping from the schema's names to the file's, or None.
    """

    frame: pd.DataFrame
    source: str
    reward: str = "gold"
    notes: tuple[Diagnostic, ...] = ()
    by_prompt: Mapping[str, np.ndarray] = field(default_factory=dict)
    where: str | None = None
    columns: Mapping[str, str] | None = None

    @cached_property
    def curves(self) -> tuple[RewardCurve, ...]:
        """A curve per run and kind, sorted by pairs and run id."""
        groups = self.frame.groupby(["run_id", self.frame["n"].isna()], sort=True)
        made = [self._curve(str(run), rows) for (run, _), rows in groups]
        return tuple(sorted(made, key=lambda curve: (np.nan_to_num(curve.pairs), curve.run_id, curve.n is None)))

    def of(self, law: RewardLaw) -> tuple[RewardCurve, ...]:
        """The curves of one kind."""
        return tuple(curve for curve in self.curves if curve.law is law)

    def fitted(self) -> "RewardTable":
        """The rows with role ``fit``, or all in a table without roles."""
        return self.chosen((self.frame["role"] == "fit").to_numpy(bool)) if "role" in self.frame else self

    def chosen(self, keep: Bool[np.ndarray, " rows"]) -> "RewardTable":
        """Some of its rows."""
        return replace(self, frame=self.frame[keep])

    def hash(self) -> str:
        """SHA-256 over the rows' values, one line each, in sorted order."""
        names = [name for name in ("run_id", "n", "kl", "gold", "proxy", *FACTS) if name in self.frame]
        cells = (
            ["" if absent else str(cell) for cell, absent in zip(column.tolist(), column.isna(), strict=True)]
            for column in (self.frame[name] for name in names)
        )
        lines = sorted(map("\t".join, zip(*cells, strict=True)))
        return hashlib.sha256("\n".join(["\t".join(names), *lines]).encode()).hexdigest()

    def warnings(self) -> tuple[Diagnostic, ...]:
        """What an expert would say about the rows."""
        return (*self.notes, *_told(self))

    def _curve(self, run: str, rows: pd.DataFrame) -> RewardCurve:
        n = None if rows["n"].isna().any() else rows["n"].to_numpy()
        measured = rows["kl"].to_numpy(np.float64, copy=True)
        unknown = np.isnan(measured)
        if n is not None:
            measured[unknown] = kl_bound(n[unknown])
        order = np.argsort(measured if n is None else n, kind="stable")
        kl, values = np.maximum(measured[order], 0.0), rows.iloc[order]
        reward, proxy = values[self.reward].to_numpy(), values["proxy"].to_numpy()
        law = REINFORCEMENT if n is None else BEST_OF_N
        started = bool(kl[0] < law.least**2) if n is None else bool(n.min() == 1)
        start = float(reward[0]) if started else _start(kl, reward) if n is None else 0.0
        return RewardCurve(
            run_id=run,
            kl=kl,
            n=None if n is None else n[order],
            gain=reward - start,
            proxy=proxy - proxy[0] if started else proxy,
            stderr=values["gold_stderr"].to_numpy() if self.reward == "gold" else np.full(len(kl), np.nan),
            step=values["step"].to_numpy(),
            start=start,
            started=started,
            by_prompt=self.by_prompt.get(run),
            # What differs along a run is of its own training, and not of its reward model.
            **{name: float(values[name].iloc[0]) for name in FACTS if values[name].eq(values[name].iloc[0]).all()},
        )


def _start(kl: Float[np.ndarray, " rows"], reward: Float[np.ndarray, " rows"]) -> float:
    """The start's reward by the law through a trained policy's rows; 0 where these are too few to tell."""
    d = np.sqrt(kl)
    if len(np.unique(d)) < _FEWEST:
        return 0.0
    return float(least_squares(np.column_stack([REINFORCEMENT.basis(d), np.ones(len(d))]), reward).theta[2])


def _told(table: RewardTable) -> Iterator[Diagnostic]:
    """Warnings about the curves of a table."""
    if table.reward == "proxy":
        yield Diagnostic(
            "no-gold", "the table has no gold reward: over-optimisation, its fall while the proxy rises, cannot be seen"
        )
    rows = table.frame
    if (rows["n"].notna() & rows["kl"].isna()).any():
        yield Diagnostic(
            "kl-bound",
            "the KL divergence of best-of-n is taken to be log n - (n - 1) / n, an upper bound that ties and answers "
            "that coincide stay below",
        )
    if above := [curve.run_id for curve in table.curves if _above_bound(curve)]:
        yield Diagnostic(
            "kl-bound",
            "the KL divergence of best-of-n is at most log n - (n - 1) / n, and the table has more: is it in nats, and "
            f"of a whole answer? {listed(above)}",
        )
    if bare := [curve.run_id for curve in table.curves if not curve.started]:
        yield Diagnostic(
            "no-start",
            f"runs without a row of the start (n = 1, or KL below {REINFORCEMENT.least**2:g}): rewards of best-of-n "
            f"are taken to be gains over it, and that of a trained policy is fitted: {listed(bare)}",
        )
    if drifted := list(_drifted(rows)):
        yield Diagnostic(
            "length-drift",
            f"the length of answers moves by more than a factor of {_DRIFT:g} along {listed(drifted)}: the proxy may "
            "reward length itself",
        )


def _above_bound(curve: RewardCurve) -> bool:
    """Whether a curve of best-of-n lies further from its start than it can, by more than an estimate may miss by."""
    return curve.n is not None and bool((curve.kl > _ABOVE * kl_bound(curve.n) + _ABOVE - 1).any())


def _drifted(rows: pd.DataFrame) -> Iterator[str]:
    """Runs whose answers end up much longer or shorter than they began."""
    if "length" not in rows:
        return
    for run, each in rows[rows["length"] > 0].groupby("run_id", sort=True):
        lengths = each.sort_values(["n", "kl"], kind="stable")["length"].to_numpy()
        if max(lengths[-1] / lengths[0], lengths[0] / lengths[-1]) > _DRIFT:
            yield str(run)
