"""``scaling compare``, and ``score``, ``backtest``, ``design``, ``plot`` and ``report`` of comparisons."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import sweep

import scaling as sl
from scaling.cli import main

GAP = 0.03  # log loss by which muon is better
PAIRED = sweep(seed=1, noise=0.002)
FIT = PAIRED[PAIRED.role == "fit"]
AT = PAIRED[PAIRED.role == "target"].iloc[0]
TARGET = ("--params", f"{AT.params}", "--tokens", f"{AT.tokens}")
QUICK = ("--bootstrap", "20")


def contender(optimizer: str, gap: float = 0.0, seed: int = 0) -> pd.DataFrame:
    own = np.exp(0.001 * np.random.default_rng(seed).standard_normal(len(PAIRED)) - gap)
    return PAIRED.assign(loss=PAIRED.loss * own, optimizer=optimizer, run_id=optimizer + PAIRED.run_id)


ADAMW, MUON = contender("adamw", seed=1), contender("muon", GAP, seed=2)
BOTH = pd.concat([ADAMW, MUON])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    ADAMW.to_csv("adamw.csv", index=False)
    MUON.to_csv("muon.csv", index=False)
    BOTH.to_csv("all.csv", index=False)
    return tmp_path


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    return int(ended.value.code or 0)


def made(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, object]:
    code = run(*args, "--json")
    out, err = capsys.readouterr()
    assert code == 0, err
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> list[str]:
    code = run(*args)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    return err.splitlines()


@pytest.mark.usefixtures("folder")
def test_from_two_tables_to_a_scored_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    found = made(capsys, "compare", "adamw.csv", "muon.csv", *TARGET, *QUICK, "--freeze", "c.json")
    assert found["contenders"] == ["adamw", "muon"]
    assert found["p_best"]["muon"] > 0.95  # type: ignore[index]
    low, high = found["delta_interval"]  # type: ignore[misc]
    assert low < np.expm1(-GAP) < high < 0
    assert found["delta"] == pytest.approx(np.expm1(-GAP), abs=0.004)
    low, high = found["multiplier_interval"]  # type: ignore[misc]
    assert 1 < low < found["multiplier"] < high  # type: ignore[operator]
    assert [set(row) for row in found["by_budget"]] == [{"flops", "multiplier", "interval"}] * 4  # type: ignore[attr-defined]
    assert found["crossing"] is None
    assert run("compare", "c.json") == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("muon is better than adamw at the target with probability ")
    score = made(capsys, "score", "c.json")
    assert (score["best"], score["forecast_best"]) == ("muon", "muon")
    assert score == made(capsys, "score", "c.json", "adamw.csv", "muon=muon.csv")
    [pair] = score["pairs"]  # type: ignore[misc]
    assert (pair["right"], pair["inside"], pair["multiplier_inside"]) == (True, True, True)


@pytest.mark.usefixtures("folder")
def test_one_table_by_a_column_is_as_two_and_is_scored_by_its_own_rows(capsys: pytest.CaptureFixture[str]) -> None:
    one = made(capsys, "compare", "all.csv", "--by", "optimizer", *TARGET, *QUICK, "--freeze", "one.json")
    two = made(capsys, "compare", "adamw.csv", "muon.csv", *TARGET, *QUICK, "--freeze", "two.json")
    assert (one["delta"], one["multiplier"], one["p_best"]) == (two["delta"], two["multiplier"], two["p_best"])
    # A filter chooses what is fitted; a score is of each contender's own targets.
    scores = [made(capsys, "score", file) for file in ("one.json", "two.json")]
    assert scores[0]["losses"] == scores[1]["losses"]
    assert scores[0]["losses"]["adamw"] == pytest.approx(ADAMW[ADAMW.role == "target"].loss.mean())  # type: ignore[index]


@pytest.mark.usefixtures("folder")
def test_without_a_target_each_contender_has_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    own = made(capsys, "compare", "adamw.csv", "muon.csv", *QUICK)
    assert own["targets"]["muon"]["params"] == AT.params  # type: ignore[index]
    assert own["target_seeds"] == 3
    FIT.to_csv("fitted.csv", index=False)
    lines = refused(capsys, "compare", "fitted.csv", "muon.csv", *QUICK)
    assert lines == ["error: give --params (or --model) and --tokens of the target: fitted has none of its own"]


@pytest.mark.usefixtures("folder")
def test_numbers_tell_contenders_apart_and_a_filter_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    pd.concat([ADAMW.assign(lr=0.01), MUON.assign(lr=0.02), MUON.assign(lr=0.5)]).to_csv("lr.csv", index=False)
    args = ("lr.csv", "--by", "lr", "--where", "lr < 0.1 and flops < 1e12", *TARGET, *QUICK)
    found = made(capsys, "compare", *args, "--freeze", "lr.json")
    assert found["contenders"] == ["0.01", "0.02"]
    assert made(capsys, "score", "lr.json")["best"] == "0.02"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("args", "line"),
    [
        (
            ("all.csv",),
            "error: all.csv: one table: give --by, the column that tells contenders apart, such as optimizer",
        ),
        (("all.csv", "--by", "optimiser"), "error: all.csv: no column 'optimiser' (did you mean 'optimizer'?)"),
        (("adamw.csv", "--by", "optimizer"), "error: adamw.csv: column 'optimizer' is 'adamw' in every row to fit"),
        (("adamw.csv", "muon.csv", "--by", "optimizer"), "error: --by: tells contenders of one table apart"),
        (("adamw.csv", "adamw.csv"), "error: two contenders are called 'adamw'"),
        (("a=adamw.csv", "a=muon.csv"), "error: two contenders are called 'a'"),
        (("adamw.csv", "nowhere.csv"), "error: nowhere.csv: no such file"),
        (("adamw.csv", "muon.csv", "--loss", "x", "--columns", "loss=y"), "error: --loss: --columns names the loss"),
        (("adamw.csv", "far.csv"), "error: adamw and far: no budget in common"),
        (("adamw.csv", "text.csv"), "error: adamw and text: losses on different held-out texts do not compare"),
        (("adamw.csv", "words.csv"), "error: adamw and words: tokenizers"),
        (("adamw.csv", "single.csv"), "error: single: its finished runs are of one size and length"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_what_does_not_compare_is_one_line(
    args: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ADAMW.assign(held_out_sha256="a", tokenizer="bytes").to_csv("adamw.csv", index=False)
    MUON.assign(flops=MUON.flops * 1e6).to_csv("far.csv", index=False)
    MUON.assign(held_out_sha256="b").to_csv("text.csv", index=False)
    MUON.assign(tokenizer="words").to_csv("words.csv", index=False)
    MUON[(MUON.role == "target") | (MUON.params == MUON.params.min())].to_csv("single.csv", index=False)
    lines = refused(capsys, "compare", *args, *TARGET, *QUICK)
    assert lines[0].startswith(line), lines
    assert len(lines) == 1


@pytest.mark.usefixtures("folder")
def test_a_target_among_the_runs_is_not_frozen(capsys: pytest.CaptureFixture[str]) -> None:
    row = FIT.iloc[5]
    args = ("--params", row.params, "--tokens", row.tokens, "--freeze", "f.json")
    lines = refused(capsys, "compare", "adamw.csv", "muon.csv", *args, *QUICK)
    assert [line.split(":")[1].strip() for line in lines] == ["adamw", "muon"]
    assert all("among the fitted runs" in line for line in lines)
    assert not Path("f.json").exists()


@pytest.mark.usefixtures("folder")
def test_a_frozen_comparison_cannot_be_changed(capsys: pytest.CaptureFixture[str]) -> None:
    made(capsys, "compare", "adamw.csv", "muon.csv", *TARGET, *QUICK, "--freeze", "c.json")
    [line] = refused(capsys, "compare", "muon.csv", "adamw.csv", *TARGET, *QUICK, "--freeze", "c.json")
    assert "holds another frozen comparison" in line
    assert refused(capsys, "compare", "c.json", "--params", "1e6") == [
        "error: --params: does not apply to c.json, which is frozen: compare anew from its tables"
    ]
    text = Path("c.json").read_text()
    Path("c.json").write_text(text.replace('"level": 0.9', '"level": 0.8'))
    assert "was changed after it was frozen" in refused(capsys, "score", "c.json")[0]
    Path("c.json").write_text(text)
    MUON.assign(loss=MUON.loss * 1.01).to_csv("muon.csv", index=False)
    [line] = refused(capsys, "score", "c.json")
    assert "not the runs of muon that the comparison was made from" in line
    [line] = refused(capsys, "score", "c.json", "sgd=adamw.csv")
    assert line.startswith("error: sgd: not among the contenders compared, which are adamw, muon")


@pytest.mark.usefixtures("folder")
def test_backtests_and_designs_of_comparisons(capsys: pytest.CaptureFixture[str]) -> None:
    tested = made(capsys, "backtest", "all.csv", "--compare", "--by", "optimizer")
    assert tested["contenders"] == ["adamw", "muon"]
    assert all(row["right"] == 1 for row in tested["by_distance"])  # type: ignore[attr-defined]
    assert refused(capsys, "backtest", "all.csv", "--by", "optimizer")[0].startswith("error: --by: does not apply")
    assert refused(capsys, "backtest", "adamw.csv", "muon.csv")[0].startswith("error: one TABLE is expected")
    equal = contender("adamw2", 0.0005, seed=3)
    equal.to_csv("equal.csv", index=False)
    to = ("--compare", "--target-params", AT.params, "--target-tokens", AT.tokens)
    found = made(capsys, "design", "adamw.csv", "equal.csv", *to)
    [pair] = found["pairs"]  # type: ignore[misc]
    assert 0.5 <= pair["confidence"] < 0.95
    assert {plan["seeds"] for plan in pair["further"]} == set(range(1, 9))
    [line] = refused(capsys, "design", "adamw.csv", "equal.csv", *to, "--spend", "1e3")
    assert "which is more than --spend" in line
    assert run("design", "adamw.csv", "muon.csv", *to) == 0
    assert capsys.readouterr().out.startswith("decided")


@pytest.mark.usefixtures("folder")
def test_figures_and_page_of_a_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    contender("sgd<b>", -0.1, seed=4).to_csv("sgd.csv", index=False)
    tables = ("adamw.csv", "muon.csv", "sgd<b>=sgd.csv")
    made(capsys, "compare", *tables, *TARGET, *QUICK, "--freeze", "c.json")
    for kind in ("multiplier", "loss-difference", "better"):
        assert made(capsys, "plot", kind, "c.json", "-o", f"{kind}.svg")["figure"] == f"{kind}.svg"
        assert "muon" in Path(f"{kind}.svg").read_text()
    assert refused(capsys, "plot", "multiplier", "adamw.csv", "-o", "x.svg")[0].startswith("error: adamw.csv: not a")
    made(capsys, "score", "c.json", *tables, "--write", "comparison_score.json")
    assert made(capsys, "report", "c.json")["report"] == "c.html"
    page = Path("c.html").read_text()
    assert "sgd&lt;b&gt;" in page
    assert "sgd<b>" not in page
    assert "At the target muon was best, as forecast" in page


def test_frames_and_mappings_at_the_front_door() -> None:
    at = {"params": float(AT.params), "tokens": float(AT.tokens), "bootstrap": 20}
    named = sl.compare({"adamw": ADAMW, "muon": MUON}, **at)
    plain = sl.compare(ADAMW, MUON, **at)
    assert named.pairs[0].better == plain.pairs[0].better > 0.95
    assert plain.contenders == ("table 2", "table 1")
    assert sl.compare(BOTH, by="optimizer", **at).contenders == ("muon", "adamw")
    assert len(named.to_frame()) == 1
    score = sl.score_comparison(named, {"adamw": ADAMW, "muon": MUON})
    assert score.best == "muon"
