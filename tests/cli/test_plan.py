"""``scaling plan`` on noise: from a table, from the sweep's own folder, or unknown."""

import json
from pathlib import Path

import pytest
from synthetic import sweep

from scaling.cli import main

SMOKE = Path(__file__).parents[2] / "sweeps" / "smoke.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sweep(noise=0.01, seeds=3).to_parquet(tmp_path / "runs.parquet")
    return tmp_path


def plan(capsys: pytest.CaptureFixture[str], *args: object, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["plan", str(SMOKE), *map(str, args)])
    assert caught.value.code == code
    return tuple(capsys.readouterr())


@pytest.mark.parametrize("option", ["--noise", "--out"])
def test_seeds_by_the_noise_of_a_table_or_of_the_folder(
    option: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads(plan(capsys, option, folder, "--json")[0])
    assert told["noise"]["replicates"] == 32
    assert len(told["noise"]["by_budget"]) == 4
    assert [(f"{b['flops']:.1g}", b["planned"]) for b in told["seeds"]] == [
        ("3e+08", 2),
        ("6e+08", 1),
        ("1e+09", 1),
        ("3e+09", 1),
    ]
    assert all(budget["wanted"] >= 1 for budget in told["seeds"])
    out, _ = plan(capsys, option, folder)
    assert "noise between seeds, by FLOPs: 1e+10: " in out
    assert "(32 replicates)" in out
    assert "\nseeds" in out


def test_unknown_noise_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ("--out", tmp_path / "none")
    assert "noise between seeds unknown: run the cheapest cells with 3 seeds first" in plan(capsys, *args)[0]
    told = json.loads(plan(capsys, *args, "--json")[0])
    assert (told["noise"], told["seeds"]) == (None, None)


def test_a_table_that_is_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = plan(capsys, "--noise", tmp_path / "none.csv", code=2)
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
