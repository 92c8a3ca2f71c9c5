"""Figures and pages of stages: what a model wrote is shown, never run, and what is missing is said."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from inprocess import scaling
from posttraining import stage_tables

from analysis import plots
from analysis.errors import InputError
from analysis.report import write_report
from analysis.report.stages import figures
from analysis.report.stages.figures import SIZE, STAGE_KINDS
from analysis.report.stages.findings import StageFindings
from analysis.rewards.forecasting import forecast_rewards, score_rewards
from analysis.rewards.reading import rewards_of
from scaling.cli.forecasts.plot import STAGE_KINDS as OFFERED


def test_kinds_are_offered() -> None:
    assert set(OFFERED) == set(STAGE_KINDS)


@pytest.mark.parametrize("kind", STAGE_KINDS)
def test_figures_are_drawn(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_RESAMPLES", 5)
    drawn = 0
    for seed in range(3):
        frame = stage_tables.models(seed) if kind in stage_tables.MODELS else stage_tables.rewards(seed)
        frame.to_parquet(tmp_path / "table.parquet")
        with suppress(InputError):
            drawing = STAGE_KINDS[kind][1](StageFindings(tmp_path / "table.parquet"))
            axes = plots.figure(drawing.draw, *SIZE).axes[0]
            assert axes.get_xlabel()
            assert axes.get_ylabel()
            assert len(axes.get_lines()) > 1
            drawn += 1
    assert drawn


CURVES = {128: (0.95, 0.45), 512: (1.0, 0.43), 2048: (1.1, 0.42), 8192: (1.3, 0.40)}


def stage(place: Path, gold: bool = True) -> Path:
    """The folder of a stage of best-of-n: three fitted proxies and the target."""
    rng = np.random.default_rng(0)
    n = 2.0 ** np.arange(8)
    d = np.sqrt(np.log(n) - (n - 1) / n)
    runs, rows, samples = [], [], []
    for pairs, (alpha, beta) in CURVES.items():
        run = f"run-{pairs}"
        role = "target" if pairs == 8192 else "fit"
        runs.append(
            {"run_id": run, "stage": "best_of_n", "role": role, "status": "done", "pairs": pairs, "loss": np.nan}
        )
        curve = pd.DataFrame({"run_id": run, "n": n, "kl_bound": d**2, "kl": 0.95 * d**2, "proxy": 0.8 * d})
        curve["gold"] = -3 + d * (alpha - beta * d) + np.where(n > 1, rng.normal(0, 0.01, 8), 0)
        curve["gold_stderr"], curve["length"], curve["stopped"], curve["win_rate"] = (
            0.05,
            40 - 4 * d,
            0.8,
            0.5 + 0.1 * d,
        )
        rows.append(curve if gold else curve.drop(columns=["gold", "gold_stderr", "win_rate"]))
        samples += [
            {"run_id": run, "prompt": "Say </td><b>this", "answer": f"<script>alert({k})</script>\u202e{run}", "n": k}
            | {"proxy": 0.1 * k, "gold": -3.0}
            for k in (1, 4, 128)
        ]
    place.mkdir(exist_ok=True)
    pd.DataFrame(runs).to_parquet(place / "runs.parquet")
    pd.concat(rows, ignore_index=True).to_parquet(place / "rewards.parquet")
    (place / "samples.json").write_text(json.dumps(samples))
    return place


def test_the_page_of_a_stage(tmp_path: Path) -> None:
    place = stage(tmp_path / "best")
    page = write_report(place).read_text()
    assert "There is no forecast here." in page
    for kind in ("rewards", "best-of-n", "win-rate", "answer-length"):
        assert page.count(f'id="{kind}-1"') == 1
    assert "<script>alert" not in page
    assert "</td><b>this" not in page
    assert "&lt;script&gt;alert(4)&lt;/script&gt;[U+202E]run-128" in page
    assert page.index("<td>the start</td>") < page.index("near the peak of gold") < page.index("<td>the end</td>")
    assert "no-gold" not in page


def test_the_forecast_is_shown_against_the_actual(tmp_path: Path) -> None:
    place = stage(tmp_path / "best")
    runs = pd.read_parquet(place / "runs.parquet")
    table = rewards_of(pd.read_parquet(place / "rewards.parquet"), str(place), runs=runs)
    forecast = forecast_rewards(table.fitted(), 8192.0)
    forecast.freeze(place / "forecast.json")
    assert "The target has not been scored yet." in write_report(place).read_text()
    score = score_rewards(forecast, table)
    score.write(place / "score.json")
    page = write_report(place).read_text()
    assert f"It came to {score.actual_peak:+.3g} at n {score.actual_at:.3g}" in page
    assert f"would have lost {score.regret:.3g}" in page
    assert "The forecast against the actual" in page
    assert f"<td>{score.actual_peak:+.3g}</td>" in page
    for name in score.ways:
        assert f"<td>{name}</td>" in page


def test_without_gold_the_page_says_what_cannot_be_seen(tmp_path: Path) -> None:
    page = write_report(stage(tmp_path / "best", gold=False)).read_text()
    assert "<code>no-gold</code>" in page
    assert "as gold was not measured" in page
    assert "Not shown: rewards.parquet: no win rate against the start was measured." in page
    assert "peak of gold" not in page


def test_a_refused_forecast_says_why(tmp_path: Path) -> None:
    place = stage(tmp_path / "best")
    (place / "refused.json").write_text(json.dumps({"errors": ["too few proxies"]}))
    assert "There is no forecast of the target: too few proxies." in write_report(place).read_text()


def test_shares_that_are_rounded_and_many_errors(tmp_path: Path) -> None:
    """A mean of ones may be a little more than 1; of many errors two are told."""
    place = stage(tmp_path / "best")
    rows = pd.read_parquet(place / "rewards.parquet")
    rows.assign(stopped=1 + 2e-16 * np.arange(len(rows))).to_parquet(place / "rewards.parquet")
    assert "Not shown" not in write_report(place).read_text()
    rows.assign(stopped=1.5).to_parquet(place / "rewards.parquet")
    page = write_report(place).read_text()
    assert page.count("is no share between 0 and 1") == 8
    assert "; and " in page


def test_a_chain_has_one_page(tmp_path: Path) -> None:
    stage(tmp_path / "best")
    models = stage_tables.models(3).assign(stage="reward", role="fit", status="done")
    models["run_id"] = [f"r{at}" for at in range(len(models))]
    (tmp_path / "reward").mkdir()
    models.to_parquet(tmp_path / "reward" / "runs.parquet")
    (tmp_path / "chain.json").write_text(json.dumps({"name": "chat", "stages": ["base", "reward", "best"]}))
    page = write_report(tmp_path).read_text()
    assert page.index("Reward models: reward") < page.index("Best-of-n: best")
    assert page.count('class="verdict"') == 2


@pytest.mark.parametrize("damage", ["samples.json", "rewards.parquet"])
def test_damaged_files_are_one_line(damage: str, tmp_path: Path) -> None:
    place = stage(tmp_path / "best")
    (place / damage).write_text("{")
    if damage == "samples.json":
        with pytest.raises(InputError, match=r"samples\.json: not a readable list of answers"):
            write_report(place)
    else:
        assert "Not shown: " in write_report(place).read_text()


def test_a_policy_s_reward_model_is_shown_and_not_its_own_loss(tmp_path: Path) -> None:
    frame = pd.DataFrame({"pairs": ["1k", "8k"], "reward_accuracy": ["70%", "80%"], "reward_loss": [0.6, 0.5]})
    frame.assign(stage="ppo", params=7e3, reward_params=2e4, loss=-1.2).to_csv(tmp_path / "ppo.csv", index=False)
    reading = STAGE_KINDS["reward-accuracy"][1](StageFindings(tmp_path / "ppo.csv")).reading
    assert "of 20k parameters is 0.7 with 1k pairs and 0.8 with 8k; the loss is 0.6 and 0.5" in reading


def test_accuracies_in_per_cent_are_refused(tmp_path: Path) -> None:
    pd.DataFrame({"pairs": [1e3, 8e3], "accuracy": [70.0, 80.0]}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match=r"a\.csv:2: column 'accuracy': 70 is no share between 0 and 1"):
        STAGE_KINDS["reward-accuracy"][1](StageFindings(tmp_path / "a.csv"))


def test_the_report_of_a_stage_that_was_trained_here(tmp_path: Path) -> None:
    place = stage(tmp_path / "best")
    (place / "plan.json").write_text('{"sweep": {"stage": "best_of_n"}, "runs": []}')
    (place / "runs").mkdir()
    done = scaling("report", place)
    assert (done.returncode, done.stderr) == (0, "")
    assert (place / "report.html").exists()


def test_the_command(tmp_path: Path) -> None:
    place, out = stage(tmp_path / "best"), tmp_path / "figure.png"
    done = scaling("plot", "rewards", place, "-o", out, "--json")
    assert (done.returncode, json.loads(done.stdout)["figure"]) == (0, str(out))
    assert out.read_bytes().startswith(b"\x89PNG")
    frame = pd.read_parquet(place / "rewards.parquet").rename(columns={"gold": "theirs"})
    frame.to_csv(tmp_path / "mine.csv", index=False)
    done = scaling(
        "plot", "best-of-n", tmp_path / "mine.csv", "-o", out, "--columns", "gold=theirs", "--where", "n < 100"
    )
    assert done.returncode == 0, done.stderr
    refused = scaling("plot", "reward-accuracy", tmp_path / "mine.csv", "-o", out)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "no column 'pairs'; choose with --columns pairs=..." in refused.stderr
    assert "--best: does not apply" in scaling("plot", "rewards", place, "-o", out, "--best").stderr
