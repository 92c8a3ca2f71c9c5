"""Tables of samples, a row an answer with its prompt, proxy and gold, as exact curves of best-of-n."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.errors import InputError
from analysis.rewards.best_of_n import expected_best, usual_sizes

_FEWEST = 2  # samples of a prompt


def curves_of_samples(frame: pd.DataFrame, source: str) -> tuple[pd.DataFrame, Mapping[str, np.ndarray]]:
    """Rows of n = 1, 2, 4, ... of each run, and the gains by prompt (prompts x rows) of each with several.

    The largest n is that of the prompt with the fewest samples. The standard error is that of the mean over prompts of
    the gain over n = 1, as the same prompts are asked at every n.

    Args:
        frame: checked rows with ``run_id``, ``prompt``, ``proxy`` and ``gold``.
        source: for messages.

    Raises:
        InputError: for a sample without a reward, or a prompt with a single sample.
    """
    errors = [
        f"{source}:{row}: column {name!r}: a sample without it"
        for name in ("proxy", "gold")
        for row in frame.index[frame[name].isna()]
    ]
    if errors:
        raise InputError(errors[:20])
    rows, gains = [], {}
    for run, samples in frame.groupby("run_id", sort=True):
        prompts = [(each["proxy"].to_numpy(), each["gold"].to_numpy()) for _, each in samples.groupby("prompt")]
        fewest = min(len(proxy) for proxy, _ in prompts)
        if fewest < _FEWEST:
            raise InputError(f"{source}: run {run!r} has a prompt of {fewest} sample: best-of-n needs several")
        sizes = np.array(usual_sizes(fewest))
        gold = np.stack([expected_best(proxy, value, sizes) for proxy, value in prompts])
        best = np.stack([expected_best(proxy, proxy, sizes) for proxy, _ in prompts])
        gain = gold - gold[:, :1]
        if len(prompts) > 1:  # a single prompt cannot be resampled
            gains[str(run)] = gain
        kept = {
            name: samples[name].iloc[0]
            for name in frame.columns
            if name not in ("prompt", "proxy", "gold", "gold_stderr", "n", "kl")
            and samples[name].eq(samples[name].iloc[0]).all()
        }
        made = pd.DataFrame({"n": sizes.astype(np.float64), "proxy": best.mean(axis=0), "gold": gold.mean(axis=0)})
        made["gold_stderr"] = _stderr(gain)
        rows.append(made.assign(**kept))
    return pd.concat(rows, ignore_index=True), gains


def _stderr(gains: np.ndarray) -> np.ndarray:
    """Standard error of the mean over prompts; NaN of a single prompt."""
    if len(gains) < 2:
        return np.full(gains.shape[1], np.nan)
    return np.asarray(gains.std(axis=0, ddof=1) / np.sqrt(len(gains)))
