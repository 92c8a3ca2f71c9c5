"""The part of a long table that stands for all of it, against the first way of choosing it."""

import numpy as np
import pandas as pd
import pytest

from analysis.runs.groups import SAME_BUDGET, budgets_of, trunks
from analysis.runs.subsample import representative

MOST = 40


def reference(rows: pd.DataFrame) -> list[int]:
    """Row by row: each bin's rows in turn order, as many from each bin as ``MOST`` allows."""
    trunk, flops = trunks(rows), np.log(rows["flops"].to_numpy())
    bins = np.floor((flops - flops.min()) / np.log(SAME_BUDGET)).astype(int)
    key = np.zeros(len(rows), np.uint64)
    for name in ("params", "tokens", "loss"):
        key = key * np.uint64(31) + pd.util.hash_array(rows[name].to_numpy())
    seen: dict[tuple[int, int], int] = {}
    turn = np.zeros(len(rows), int)
    for row in np.lexsort((key, trunk, bins)):
        group = (int(bins[row]), int(trunk[row]))
        turn[row] = seen.get(group, 0)
        seen[group] = turn[row] + 1
    first = {t: min(key[trunk == t]) for t in np.unique(trunk)}
    place = np.zeros(len(rows), int)
    reached: dict[int, int] = {}
    for row in np.lexsort((np.array([first[t] for t in trunk]), turn, bins)):
        place[row] = reached.get(int(bins[row]), 0)
        reached[int(bins[row])] = place[row] + 1
    count = np.sort(np.bincount(bins))
    fair = (MOST - np.concatenate([[0], np.cumsum(count)[:-1]])) // np.arange(len(count), 0, -1)
    return np.flatnonzero(place < fair[np.argmax(count > fair)]).tolist()


def table(seed: int) -> pd.DataFrame:
    """Up to 300 runs of few or many trunks, over a few or many budgets, some of them repeated rows."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(MOST + 1, 300))
    flops = 10 ** rng.uniform(18, 18 + rng.choice([0.1, 1, 2]), count)
    params = 10 ** rng.integers(6, 9, count).astype(float)
    frame = pd.DataFrame(
        {"params": params, "tokens": flops / params / 6, "flops": flops, "loss": rng.uniform(2, 4, count)}
    )
    if rng.random() < 0.3:
        frame = pd.concat([frame, frame.sample(frac=0.3, random_state=seed)], ignore_index=True)
    frame["run_id"] = [f"r{i}" for i in range(len(frame))]
    if rng.random() < 0.6:
        frame["trunk_id"] = [f"t{i}" for i in rng.integers(0, rng.choice([3, 30, 300]), len(frame))]
        frame.loc[rng.random(len(frame)) < 0.1, "trunk_id"] = None
    return frame


@pytest.mark.parametrize("seed", range(30))
def test_the_rows_are_those_of_the_reference(seed: int) -> None:
    rows = table(seed)
    kept = representative(rows, MOST)
    assert kept.index.tolist() == reference(rows)
    assert 0 < len(kept) <= MOST


def test_the_choice_does_not_depend_on_the_order_of_rows() -> None:
    rows = table(3).drop_duplicates(["params", "tokens", "loss"])
    shuffled = rows.sample(frac=1, random_state=0)
    assert sorted(representative(shuffled, MOST).index) == sorted(representative(rows, MOST).index)


def test_a_short_table_is_kept_whole() -> None:
    rows = table(0)[:MOST]
    assert representative(rows, MOST) is rows


def test_a_budget_begins_more_than_a_fifth_above_the_smallest_run_of_the_last() -> None:
    assert budgets_of(np.log([1.3, 1.0, 1.19, 1.6, 1.25])).tolist() == [1, 0, 0, 2, 1]
    assert budgets_of(np.zeros(0)).tolist() == []
