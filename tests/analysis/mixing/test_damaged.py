"""Damaged tables of runs on mixtures: each is read, or refused in lines that say why."""

import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixing.planted import Planted
from rounds import rounds

from analysis.errors import InputError
from analysis.mixing.reading import read_mixtures
from analysis.mixing.table import check_determined

pytestmark = [pytest.mark.slow, pytest.mark.soak]

RUNS = Planted().table().astype(object)
CELLS = (
    *(None, np.nan, np.inf, -np.inf, "", "abc", "40%", "0,4", "1,000", True, 0, -1, 1e300, 1e-300, "nan", "7B", b"x"),
    pd.Timestamp("2020-01-01"),
)
NAMES = ("mix_", "mix_*", "loss_ ", "", " ", "Mix_Code", "loss_CODE", "tokens", "weight_code", 5)
FURTHER = (
    *({}, {"status": "done"}, {"role": "fit"}, {"run_id": 1}, {"loss": 2.0}, {"epochs_code": 0.5}),
    *({"held_out_sha256_code": "a"}, {"tokenizer": "x"}, {"params_nonembedding": 5}),
)


def damaged(chance: random.Random) -> pd.DataFrame:
    """The table with up to four of its cells, columns and rows changed."""
    frame = RUNS.assign(**chance.choice(FURTHER))
    for _ in range(chance.randint(0, 4)):
        place = chance.randrange(len(frame.columns))
        kind = chance.random()
        if kind < 0.5 and len(frame):
            column = frame.iloc[:, place].astype(object)
            column.iloc[chance.randrange(len(frame))] = chance.choice(CELLS)
            rest = [frame.iloc[:, [other]] for other in range(len(frame.columns)) if other != place]
            frame = pd.concat([*rest, column], axis=1)
        elif kind < 0.6:
            frame = frame.iloc[:, [other for other in range(len(frame.columns)) if other != place]]
        elif kind < 0.7:
            frame = frame.set_axis([*frame.columns[:place], chance.choice(NAMES), *frame.columns[place + 1 :]], axis=1)
        elif kind < 0.8:
            frame = frame.iloc[: chance.randint(0, 8)]
        elif kind < 0.9:
            frame = pd.concat([frame, frame.iloc[:, [place]]], axis=1)
        else:
            frame = frame.sample(frac=1, random_state=chance.randrange(100)).astype("str")
    return frame


def check(lines: tuple[str, ...]) -> None:
    assert 0 < len(lines) <= 22
    assert all(line.strip() and len(line.splitlines()) == 1 and len(line) < 1000 for line in lines)


@settings(max_examples=rounds(200, 2000), database=None)
@given(seed=st.integers(0, 2**63))
def test_damaged_tables(seed: int) -> None:
    chance = random.Random(seed)
    frame = damaged(chance)
    try:
        table = read_mixtures(
            frame,
            where=chance.choice([None, None, "seed == 0", "params > 5"]),
            unique=chance.choice([None, {"code": 1e9}]),
        )
        check_determined(table)
    except InputError as error:
        check(error.errors)
        return
    assert table.fit.shares.sum(axis=1) == pytest.approx(np.ones(len(table.fit)))
    assert (table.fit.losses > 0).all()
    assert np.isfinite(table.fit.losses).all()


def test_some_damaged_tables_are_read_and_some_refused() -> None:
    codes = set()
    for seed in range(20):
        try:
            read_mixtures(damaged(random.Random(seed)))
            codes.add("read")
        except InputError:
            codes.add("refused")
    assert codes == {"read", "refused"}
