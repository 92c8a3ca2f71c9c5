"""Allocation by approaches 1 and 2, in the library and on the command line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from surfaces import FAR, best_size, exponent, isoflop_frame, loss_of
from synthetic import sweep

from analysis.allocation.approaches import APPROACHES, allocate_by
from analysis.errors import InputError
from analysis.runs.table import RunTable, read_table
from scaling.cli import main

FRAME = isoflop_frame("chinchilla", reach=(8, 8), noise=0.002, sizes=11)
# The sizes of each budget on one grid, so that approach 1 can follow a size from budget to budget.
SHARED = FRAME.assign(params=lambda f: np.exp(np.round(np.log(f["params"]) / 0.35) * 0.35))
SHARED["tokens"] = SHARED["flops"] / SHARED["params"] / 6
SHARED["loss"] = loss_of("chinchilla", SHARED["params"].to_numpy(), SHARED["tokens"].to_numpy()) * np.exp(
    0.002 * np.random.default_rng(0).standard_normal(len(SHARED))
)


@pytest.mark.parametrize("approach", APPROACHES)
def test_it_continues_to_the_best_split(approach: str) -> None:
    split = allocate_by(approach, RunTable.from_frame(SHARED), FAR)
    params = best_size("chinchilla", FAR)
    tokens = FAR / 6 / params
    assert split.interval is not None
    for name, value in (("params", params), ("tokens", tokens), ("exponent", exponent("chinchilla"))):
        low, high = split.interval[name]
        assert low < value < high
    assert split.params * split.tokens * 6 == pytest.approx(FAR)
    assert split.coefficient * FAR**split.exponent == pytest.approx(split.params)
    assert split.exponent + split.tokens_exponent == pytest.approx(1)
    best = float(loss_of("chinchilla", np.array([params]), np.array([tokens]))[0])
    assert split.loss == pytest.approx(best, rel=0.01)
    low, high = split.near_optimal["params"]
    for edge in (low, high):  # what is called near-optimal is so, and little more would be
        there = loss_of("chinchilla", np.array([edge]), np.array([FAR / 6 / edge]))[0]
        assert there / best - 1 < 0.006
    assert high / low > 2
    assert not split.warnings


def test_llama_3_405b(published: Path) -> None:
    """2407.21783 plans 402B on 16.55T by its isoFLOPs, and trains 405B on 15.6T."""
    split = allocate_by("isoflop", read_table(published / "llama3_isoflop.csv"), 3.8e25)
    assert split.params == pytest.approx(402e9, rel=0.02)
    assert split.tokens == pytest.approx(16.55e12, rel=0.06)
    assert split.interval is not None
    low, high = split.interval["tokens"]
    assert high is not None
    assert low < 15.6e12 < 16.55e12 < high


def test_far_beyond_the_budgets_it_warns() -> None:
    for flops, reported in ((1e26, "times the largest budget"), (1e10, "times less than the smallest budget")):
        split = allocate_by("isoflop", RunTable.from_frame(SHARED), flops)
        (warning,) = split.warnings
        assert warning.code == "far-extrapolation"
        assert reported in warning.message


def test_fewer_than_two_budgets_are_refused_with_the_reasons() -> None:
    lopsided = FRAME[FRAME["params"] > 1.5 * FRAME["flops"].map(lambda c: best_size("chinchilla", c))]
    with pytest.raises(InputError) as caught:
        allocate_by("isoflop", RunTable.from_frame(lopsided), FAR)
    first, *others = caught.value.errors
    assert "two budgets that bracket their optimum" in first
    assert len(others) == FRAME["flops"].nunique()
    assert all("smallest size is its best" in line for line in others)
    with pytest.raises(InputError, match="did you mean 'isoflop'"):
        allocate_by("isoflops", RunTable.from_frame(FRAME), FAR)


def test_losses_without_any_law_are_refused_or_vague() -> None:
    rng = np.random.default_rng(0)
    n, d, loss = (np.exp(rng.uniform(low, high, 200)) for low, high in ((10, 20), (15, 25), (0, 1)))
    table = RunTable.from_frame(pd.DataFrame({"params": n, "tokens": d, "loss": loss}))
    with pytest.raises(InputError, match="two budgets that bracket"):
        allocate_by("isoflop", table, 1e20)
    vague = allocate_by("envelope", table, 1e20).interval
    assert vague is not None
    low, high = vague["exponent"]
    assert high - low > 0.5


def test_one_run_is_refused() -> None:
    one = RunTable.from_frame(pd.DataFrame({"params": [1e6], "tokens": [1e8], "loss": [3.0]}))
    for approach, why in (("isoflop", "no budget has three sizes"), ("envelope", "fewer than three sizes")):
        with pytest.raises(InputError, match=why):
            allocate_by(approach, one, 1e20)


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    printed = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, printed.out, printed.err


@pytest.mark.parametrize("approach", list(APPROACHES))
def test_the_commands_json(approach: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "runs.csv"
    SHARED.to_csv(file, index=False)
    code, out, _ = run(capsys, "allocate", file, "--flops", FAR, "--approach", approach, "--json")
    assert code == 0
    split = json.loads(out)
    assert {"params", "tokens", "flops", "loss", "tokens_per_param", "near_optimal", "interval", "law"} <= set(split)
    low, high = split["interval"]["params"]
    assert low < split["params"] < high
    low, high = split["interval"]["tokens"]
    assert low < split["tokens"] < high
    if approach != "law":
        assert split["approach"] == approach
        assert split["coefficient"] * FAR ** split["exponent"] == pytest.approx(split["params"])
        assert len(split["budgets"]["used"]) >= 2
        assert all({"flops", "reason"} == set(out) for out in split["budgets"]["left_out"])
        code, out, _ = run(capsys, "allocate", file, "--flops", FAR, "--approach", approach)
        assert code == 0
        assert f"C^{split['exponent']:.3f}" in out


@pytest.mark.parametrize(
    "extra",
    [
        ("--law", "skaling"),
        ("--inference-tokens", "1T"),
        ("--unique-tokens", "1B"),
        ("--loss", "2"),
        ("--params", "1B"),
        ("--plot", "x.svg"),
    ],
    ids=lambda e: e[0],
)
def test_options_of_a_law_are_refused(
    extra: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "runs.csv"
    FRAME.to_csv(file, index=False)
    code, _, err = run(capsys, "allocate", file, "--flops", "1e22", "--approach", "isoflop", *extra)
    assert code == 2
    assert extra[0] in err


def test_a_budget_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "allocate", tmp_path / "runs.csv", "--approach", "isoflop")
    assert (code, err) == (2, "error: --approach isoflop: give --flops, the training budget\n")


@pytest.mark.parametrize("kind", ["isoflop", "envelope"])
def test_figures(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "runs.csv"
    SHARED.to_csv(file, index=False)
    code, out, _ = run(capsys, "plot", kind, file, "-o", tmp_path / "figure.svg", "--json")
    assert code == 0
    assert json.loads(out)["warnings"] == []
    text = (tmp_path / "figure.svg").read_text()
    assert ("minimum, 90 % interval" if kind == "isoflop" else "optimum bracketed") in text


@pytest.mark.parametrize("approach", list(APPROACHES))
def test_an_absurd_budget_is_refused(approach: str) -> None:
    with pytest.raises(InputError, match="no forecast reaches that far"):
        allocate_by(approach, RunTable.from_frame(sweep()), 1e40)
