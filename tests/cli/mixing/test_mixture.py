"""``scaling mixture design | fit | choose``, and ``score`` of a choice."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mixing.planted import Planted

import scaling as sl
from analysis.mixing.choice import Choice, read_choice
from analysis.mixing.contrast.shapes import SHAPES
from scaling.cli import main

LAW = Planted()
RUNS = LAW.table()
SOURCES = ("code", "docs", "web")
TARGET = ("--params", "10M", "--tokens", "200M")
AT = {"params": 1e7, "tokens": 2e8}
QUICK = ("--law", "inverse")
SWEEP = """\
name: mixed
model: {seq_len: 64, depth: 2, heads: 2}
corpus: {names: [speech, code]}
mixtures: {count: 8, names: {all-code: {code: 100%}}}
fit:
  - {sizes: [4k], tokens: 20k, mixtures: 8}
  - {sizes: [4k, 6k], tokens: 30k, mixtures: [proportional, all-code]}
target: {size: 10k, tokens: 50k, for: {code: 50%, speech: 50%}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    RUNS.to_csv("runs.csv", index=False)
    return tmp_path


@pytest.fixture(scope="module")
def choice(tmp_path_factory: pytest.TempPathFactory) -> Choice:
    """A choice from the table, of which a small source runs out."""
    place = tmp_path_factory.mktemp("choice") / "runs.csv"
    RUNS.to_csv(place, index=False)
    return sl.choose_mixture(
        place,
        **AT,
        law="inverse",
        objective={"Code": 0.3, "docs": 0.7},
        most={"code": 6.0},
        unique={"code": 5e6, "docs": 1e9, "web": 1e10},
    )


CHOOSE = (
    *("mixture", "choose", "runs.csv", *TARGET, *QUICK, "--for", "code=30%,docs=70%"),
    *("--most", "code=6epochs", "--unique", "Code=5M,docs=1B,web=10B"),
)


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    return int(ended.value.code or 0)


def made(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    code = run(*args, "--json")
    out, err = capsys.readouterr()
    assert code == 0, err
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def printed(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    code = run(*args)
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> list[str]:
    code = run(*args)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    return err.splitlines()


def alike(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal but for the last digits, which the search for an optimum leaves open."""
    if isinstance(one, dict):
        return set(one) == set(other) and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == (pytest.approx(other, rel=1e-5, abs=1e-6) if isinstance(one, float) else other))


@pytest.mark.usefixtures("folder")
def test_a_choice_is_that_of_the_front_door(choice: Choice, capsys: pytest.CaptureFixture[str]) -> None:
    found = made(capsys, *CHOOSE, "--freeze", "choice.json")
    apart = {"created": "", "source": ""}
    assert alike(found | apart, json.loads(json.dumps(choice.to_dict())) | apart)
    assert made(capsys, "mixture", "choose", "choice.json") == found
    assert printed(capsys, "mixture", "choose", "choice.json") == f"{read_choice('choice.json')}\n"
    assert refused(capsys, "mixture", "choose", "choice.json", "--kl", "0.1") == [
        "error: --kl: does not apply to choice.json, which is frozen: choose anew from its table"
    ]
    assert refused(capsys, "mixture", "choose", "choice.json", "--freeze", "choice.json") == [
        "error: choice.json: there is a file already, and a frozen choice is not replaced"
    ]


def test_a_choice_has_the_keys_of_the_contract(choice: Choice) -> None:
    found = json.loads(json.dumps(choice.to_dict()))
    assert sum(found["shares"].values()) == pytest.approx(1)
    for name in SOURCES:
        low, high = found["ranges"][name]
        assert 0 <= low <= found["shares"][name] <= high <= 1
        low, high = found["losses"][name]["interval"]
        assert low < found["losses"][name]["loss"] < high
    assert set(found["p_better"]) == {"proportional", "uniform", "best_run"}
    assert all(0 <= chance <= 1 for chance in found["p_better"].values())
    assert found["objective"] == pytest.approx({"code": 0.3, "docs": 0.7, "web": 0.0})
    assert found["extrapolation"] == pytest.approx(1e7 * 2e8 / (3e6 * 6e7))
    assert found["limits"] == {"code": 6.0, "docs": 4.0, "web": 4.0}
    assert found["candidates"]["chosen"]["epochs"]["code"] <= 6.0 + 1e-6
    assert {warning["code"] for warning in found["warnings"]} == {
        *("outside-swarm", "repeated-source", "far-extrapolation")
    }


def test_a_notebook_shows_a_choice(choice: Choice) -> None:
    assert list(choice.to_frame().source) == list(SOURCES)
    assert "<table" in choice._repr_html_()
    assert choice.to_frame()["share"].sum() == pytest.approx(1)


def test_the_text_begins_with_the_verdict(choice: Choice) -> None:
    lines = str(choice).splitlines()
    largest = max(choice.shares, key=lambda name: choice.shares[name])
    assert lines[0].startswith(f"the best mixture: {largest} {100 * choice.shares[largest]:.0f}%")
    assert lines[1].startswith("probability that it is better than proportional ")
    assert any(line.startswith("target     10M parameters, 200M tokens") for line in lines)
    for name, share in choice.shares.items():
        weight, loss = f"{100 * choice.objective[name]:.3g}%", f"{choice.losses[name].value:.4f}"
        assert any(line.split()[:2] == [name, f"{100 * share:.1f}%"] for line in lines)
        assert any(line.split()[:3] == [name, weight, loss] for line in lines)
    assert any(line.startswith("as text runs out") for line in lines)
    assert any("beyond the limit on epochs: code 13" in line for line in lines if "uniform" in line)
    assert max(map(len, lines)) <= 120


@pytest.mark.usefixtures("folder")
def test_other_columns_and_orders_choose_the_same(choice: Choice, capsys: pytest.CaptureFixture[str]) -> None:
    named = {f"mix_{name}": f"weight_{name}" for name in SOURCES} | {f"loss_{name}": f"{name}_loss" for name in SOURCES}
    frame = RUNS.rename(columns=named).sample(frac=1, random_state=0)
    frame = frame[sorted(frame.columns, reverse=True)]
    frame[[f"weight_{name}" for name in SOURCES]] *= 100
    frame.to_csv("runs.csv", index=False)
    other = made(capsys, *CHOOSE, "--mix", "weight_*", "--losses", "*_loss")
    apart = {"source": "", "created": "", "mix": "", "losses_pattern": ""}
    assert alike(other | apart, json.loads(json.dumps(choice.to_dict())) | apart)


@pytest.mark.usefixtures("folder")
def test_a_choice_is_scored(choice: Choice, capsys: pytest.CaptureFixture[str]) -> None:
    choice.freeze("choice.json")
    shares = np.array([[each.shares[name] for name in SOURCES] for each in choice.candidates.values()])
    targets = pd.concat([LAW.runs(shares, (1e7, 2e8), seed) for seed in (0, 1)])
    pd.concat([RUNS, targets]).to_csv("all.csv", index=False)
    score = made(capsys, "score", "choice.json", "all.csv", "--write", "score.json")
    assert set(score["candidates"]) == set(choice.candidates)
    assert 0 < score["domain_error"] < 0.2
    assert json.loads(Path("score.json").read_text()) == score
    assert sl.score_mixture("choice.json", "all.csv").to_dict() == score
    assert refused(capsys, "score", "choice.json", "runs.csv")[0].startswith("error: runs.csv: no finished run of")
    text = Path("choice.json").read_text()
    Path("choice.json").write_text(text.replace('"kl": 0.05', '"kl": 0.06'))
    assert refused(capsys, "score", "choice.json", "all.csv") == ["error: choice.json: changed since it was frozen"]


@pytest.mark.usefixtures("folder")
def test_choices_are_backtested(capsys: pytest.CaptureFixture[str]) -> None:
    found = made(capsys, "backtest", "runs.csv", "--mixtures", *QUICK)
    assert set(found["summary"]) == {"inverse"}
    assert {"contrast_error", "level_error", "decisions", "coverage"} <= set(found["summary"]["inverse"])
    assert found["summary"]["inverse"]["contrast_error"] < 0.02
    assert found["summary"]["inverse"]["decisions"] > 0.9
    result = sl.backtest_mixtures("runs.csv", law="inverse")
    assert alike(json.loads(json.dumps(result.to_dict())), found)
    assert refused(capsys, "backtest", "runs.csv", "--mixtures", "--best") == [
        "error: --best: does not apply to --mixtures, which is of mixtures, at every size"
    ]
    assert refused(capsys, "backtest", "runs.csv", "--mix", "mix_*") == [
        "error: --mix: does not apply to a backtest without --mixtures, which is of one table's forecasts"
    ]
    assert "none of auto, inverse" in refused(capsys, "backtest", "runs.csv", "--mixtures", "--law", "linear")[0]
    both = refused(capsys, "backtest", "runs.csv", "--mixtures", "--compare")
    assert both == ["error: --mixtures: does not apply to --compare, which is of contenders, at every budget"]


@pytest.mark.usefixtures("folder")
def test_a_choice_to_be_frozen_knows_no_run_of_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    [line] = refused(
        capsys, "mixture", "choose", "runs.csv", "--params", "3M", "--tokens", "60M", *QUICK, "--freeze", "c.json"
    )
    assert "has fitted runs of the target's" in line
    assert not Path("c.json").exists()


OTHERS = (("predict",), ("score",), ("plot", "flops", "-o", "a.svg"), ("compare", *TARGET), ("fit",))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", OTHERS, ids=[command[0] for command in OTHERS])
def test_other_commands_say_that_a_choice_is_not_theirs(
    command: tuple[str, ...], choice: Choice, capsys: pytest.CaptureFixture[str]
) -> None:
    choice.freeze("choice.json")
    lines = refused(capsys, *command, "choice.json")
    assert all(line.startswith("error: ") for line in lines)


@pytest.mark.usefixtures("folder")
def test_laws_are_shown_with_what_they_missed(capsys: pytest.CaptureFixture[str]) -> None:
    found = made(capsys, "mixture", "fit", "runs.csv")
    assert set(found["laws"]) == set(found["weights"]) == set(SHAPES)
    assert sum(found["weights"].values()) == pytest.approx(1)
    inverse = found["laws"]["inverse"]["params"]["code"]
    assert list(inverse) == [*(f"C_{name}" for name in SOURCES), *(f"g_{name}" for name in SOURCES), "s", "q"]
    assert set(found["laws"]["bimix"]["params"]["docs"]) == {"a", "s", "q"}
    joint = found["laws"]["exponential-joint"]["params"]["web"]
    assert {"t_code", "p_docs", "r_web", "a", "b", "q"} <= set(joint)
    assert {"A_code", "B_web", "a", "b"} <= set(found["laws"]["inverse-joint"]["params"]["web"])
    assert (found["n_runs"], found["n_mixtures"], found["n_scales"]) == (26, 10, 2)
    for each in found["domains"].values():
        assert sum(each["weights"].values()) == pytest.approx(1)
        assert 0.0005 < each["noise"] < 0.004
    assert found["misses"]["inverse"] < found["misses"]["exponential"]
    text = printed(capsys, "mixture", "fit", "runs.csv", "--law", "inverse")
    assert text.splitlines()[0].startswith("inverse: 26 runs of 10 mixtures")
    row = [f"{found['laws']['inverse']['params'][name]['g_docs']:.3g}" for name in SOURCES]
    assert ["g_docs", *row] in [line.split() for line in text.splitlines()]
    fitted = sl.fit_mixture("runs.csv", law="inverse")
    assert str(fitted) + "\n" == text
    assert len(fitted.to_frame()) == 3


def test_parameters_of_a_planted_law_are_found() -> None:
    law = Planted(("code", "web"))
    fitted = sl.fit_mixture(law.table(30, noise=1e-5), law="inverse")
    for domain in ("code", "web"):
        found = fitted.laws["inverse"].params[domain]
        assert found["g_code"] == pytest.approx(law._g[("code", "web").index(domain), 0], abs=0.15)


def test_a_design_is_shown_with_what_it_spans(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "mixed.yaml"
    file.write_text(SWEEP)
    found = made(capsys, "mixture", "design", file)
    assert list(found["mixtures"]) == [*(f"design {number}" for number in range(1, 9)), "all-code"]
    for shares in found["mixtures"].values():
        assert sum(shares.values()) == pytest.approx(1)
    assert found["mixtures"]["all-code"] == {"speech": 0.0, "code": 1.0}
    for name, (low, high) in found["spans"].items():
        column = [shares[name] for shares in found["mixtures"].values()]
        assert (low, high) == (min(column), max(column))
    assert found["holds"] == ["proportional", "uniform"]
    assert found["warnings"] == []
    assert 0 < found["gap"] < 0.2
    fit = "fit=[{sizes: [4k], tokens: 20k, mixtures: 2}]"
    few = sl.design_mixtures(file, overrides=["mixtures.count=2", fit])
    assert [warning.code for warning in few.warnings] == ["few-runs", "few-runs"]
    assert few.gap > found["gap"]
    assert str(few).startswith("2 mixtures of 2 sources")
    assert list(few.to_frame().columns) == ["speech", "code"]
    plain = SWEEP.splitlines()
    plain[3:] = ["fit: [{sizes: [4k], tokens: 20k}]", "target: {size: 10k, tokens: 50k}"]
    file.write_text("\n".join(plain))
    assert refused(capsys, "mixture", "design", file) == [
        f"error: {file}: has no mixtures: its runs are all on its corpus as it is"
    ]


ONE = RUNS.assign(mix_code=0.5, mix_docs=0.3, mix_web=0.2)
NARROW = RUNS.assign(mix_code=0.4 + 0.2 * RUNS.mix_code, mix_docs=RUNS.mix_docs * 0.4, mix_web=0.0).assign(
    mix_web=lambda frame: 1 - frame.mix_code - frame.mix_docs
)
BAD: list[tuple[str, pd.DataFrame, tuple[str, ...], str]] = [
    ("one mixture", ONE, (), "every run is on one mixture"),
    ("few mixtures", LAW.table(4), (), "4 different mixtures of 3 sources; 5 at least are needed"),
    ("narrow", NARROW, (), "the share of code lies between"),
    ("no sum", RUNS.assign(mix_web=0.9), (), "runs.csv:2: the shares mix_* sum to"),
    ("a share missing", RUNS.assign(mix_web=RUNS.mix_web.where(RUNS.index != 3)), (), "runs.csv:5: mix_web is missing"),
    (
        "a loss missing",
        RUNS.assign(loss_web=RUNS.loss_web.where(RUNS.index != 3)),
        (),
        "runs.csv:5: loss_web is missing",
    ),
    ("no shares", RUNS.drop(columns=[f"mix_{name}" for name in SOURCES]), (), "no column 'mix_*' with the share of a"),
    ("no losses", RUNS, ("--losses", "bpb_*"), "no column 'bpb_*' with the loss on a domain"),
    ("pattern", RUNS, ("--mix", "mix"), "error: --mix 'mix': a pattern has one *"),
    ("objective", RUNS, ("--for", "law=1"), "error: --for: runs.csv has no domain 'law'; it has code, docs, web"),
    ("no number", RUNS, ("--for", "code=much"), "error: --for code=much: 'much' is not a number"),
    ("no pair", RUNS, ("--for", "code"), "error: --for code: no NAME=NUMBER"),
    ("no name", RUNS, ("--for", "=3"), "error: --for =3: no NAME=NUMBER"),
    ("twice", RUNS, ("--for", "code=1,code=2"), "error: --for: 'code' is given twice"),
    ("negative", RUNS, ("--most", "code=-4"), "error: --most code=-4: -4 is not positive"),
    ("empty", RUNS, ("--for", ","), "error: --for: is empty"),
    ("source", RUNS, ("--unique", "law=1B"), "error: --unique: runs.csv has no source 'law'"),
    ("size unknown", RUNS, ("--most", "code=4"), "error: --most code: how many tokens code has is not known"),
    ("too little", RUNS, ("--unique", "code=1M,docs=1M,web=1M"), "error: --tokens: the target needs 200M"),
    ("law", RUNS, ("--law", "linear"), "error: --law = 'linear' is none of auto, inverse"),
    ("level", RUNS, ("--interval", "120%"), "error: --interval = 1.2 is not between 0 and 1"),
    ("both", RUNS, ("--model", "llama3-8b"), "error: give exactly one of --model and --params"),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("frame", "options", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_a_line_each(
    frame: pd.DataFrame, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frame.to_csv("runs.csv", index=False)
    lines = refused(capsys, "mixture", "choose", "runs.csv", *TARGET, *options, "--freeze", "choice.json")
    assert message in lines[0]
    assert all(line.startswith("error: ") for line in lines)
    assert len(lines) <= 11
    assert not Path("choice.json").exists()


@pytest.mark.usefixtures("folder")
def test_a_target_needs_a_size_and_a_length(capsys: pytest.CaptureFixture[str]) -> None:
    assert "give exactly one of --model and --params" in refused(capsys, "mixture", "choose", "runs.csv")[0]
    assert "give --tokens" in refused(capsys, "mixture", "choose", "runs.csv", "--params", "3")[0]
