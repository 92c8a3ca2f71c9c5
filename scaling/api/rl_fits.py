"""Fits of the laws of reinforcement learning to curves of reward or accuracy."""

from collections.abc import Callable, Mapping
from pathlib import Path

from analysis.rewards.rl_compute import SIGMOID, fit_rl_sigmoid
from analysis.rewards.rl_fit import RlFit
from analysis.rewards.rl_intrinsic import INTRINSIC, fit_intrinsic
from analysis.rewards.rl_power import POWER, fit_rl_power

RL_LAWS: dict[str, Callable[..., RlFit]] = {SIGMOID: fit_rl_sigmoid, POWER: fit_rl_power, INTRINSIC: fit_intrinsic}


def fit_rl(
    curves: str | Path,
    *,
    law: str = SIGMOID,
    bootstrap: int = 1000,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> RlFit:
    """Fits a law of reward or accuracy over the compute of reinforcement learning.

    Args:
        curves: a table of ``run_id``, ``flops`` or ``step``, and ``gold``, ``accuracy``, ``reward``, ``win_rate`` or
            ``proxy``, with ``params`` for laws over sizes; or the folder of a stage.
        law: ``rl-sigmoid`` (2510.13786), ``rl-power`` (2509.25300) or ``intrinsic`` (2301.13442).
        bootstrap: resamples of runs, for the intervals; 0 for none.
        where, columns: as for :func:`read_runs`.

    Raises:
        InputError: for curves that the law cannot be fitted to.
    """
    return RL_LAWS[law](curves, bootstrap, columns=columns, where=where)
