"""``scaling plan``: the machine's speed, the interval to expect, and noise from a table, the folder, or unknown."""

import json
import re
from pathlib import Path

import pytest
from synthetic import sweep

from analysis.design.simulate import ExpectedForecast, simulate_forecast
from scaling import planning
from scaling.cli import main
from scaling.sweep.host import machine, machine_speed
from scaling.sweep.host.machine_speed import MachineSpeed
from scaling.sweep.plan import estimate

SMOKE = Path(__file__).parents[2] / "sweeps" / "smoke.yaml"
MEASURED = MachineSpeed("here", "2026-01-01", (2e-5, 0.01, 0.005, 0.002, 0.001, 0.004), (5.0, 1.0), 2.0, 0.05)
EXPECTED = ExpectedForecast(half_width=0.042, level=0.9, error=0.01, noise=0.009, fitted=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sweep(noise=0.01, seeds=3).to_parquet(tmp_path / "runs.parquet")
    return tmp_path


def plan(capsys: pytest.CaptureFixture[str], *args: object, sweep: Path = SMOKE, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["plan", str(sweep), *map(str, args)])
    assert caught.value.code == code
    return tuple(capsys.readouterr())


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Calibrations requested; the first is recalled, if none was measured."""
    requested: list[str] = []
    monkeypatch.setattr(machine_speed, "recall", lambda: requested.append("recall"))
    monkeypatch.setattr(machine_speed, "measure", lambda: requested.append("measure") or MEASURED)
    monkeypatch.setattr(machine, "accelerator", lambda: None)
    monkeypatch.setattr(planning, "simulate_forecast", lambda *_: EXPECTED)  # takes seconds
    monkeypatch.delenv("SCALING_CALIBRATE", raising=False)
    return requested


@pytest.mark.parametrize(
    ("option", "requested"),
    [((), ["recall", "measure"]), (("--calibrate",), ["measure"]), (("--no-calibrate",), ["recall"])],
)
def test_a_machine_is_measured_once(
    option: tuple[str, ...], requested: list[str], measured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = plan(capsys, *option)
    assert measured == requested
    assert ("measured here on 2026-01-01" in out) == ("measuring this machine" in err) == ("measure" in requested)
    assert ("a rough guide" in out) == ("measure" not in requested)


def test_what_was_measured_is_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, measured: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine_speed, "recall", lambda: MEASURED)
    reported = json.loads(plan(capsys, "--json")[0])
    assert measured == []
    assert reported["calibration"]["machine"] == "here"
    assert sum(group["compile_s"] for group in reported["groups"]) == 3 * 6.0


def test_a_machine_that_cannot_be_measured_is_guessed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> MachineSpeed:
        raise machine_speed.Unmeasured("no memory")

    monkeypatch.setattr(machine_speed, "measure", fail)
    out, err = plan(capsys)
    assert err.splitlines()[1] == "not measured (no memory): times are a rough guide"
    assert "(a rough guide)" in out


def test_the_interval_to_expect(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        "expected interval of the forecast: a guess, +-4% (90%) or several times that: no finished" in plan(capsys)[0]
    )
    monkeypatch.setattr(planning, "simulate_forecast", simulate_forecast)
    reported = plan(capsys, "--noise", folder)[0]
    assert re.search(rf"forecast: about \+-[\d.]+% \(90%\), by law and noise \(\d\.\d%\) of {folder}", reported)
    reported = json.loads(plan(capsys, "--noise", folder, "--json")[0])
    assert reported["expected"]["half_width"] > reported["expected"]["error"] > 0
    assert (reported["expected"]["level"], reported["expected"]["fitted"]) == (0.9, True)
    assert reported["share"] == pytest.approx(
        (reported["total_flops"] - reported["target_flops"]) / reported["target_flops"]
    )


def test_too_few_runs_have_no_interval(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(planning, "simulate_forecast", simulate_forecast)
    few = ("fit=[{sizes: [5k, 8k, 13k], flops: [3e8, 6e8]}]",)
    out, err = plan(capsys, *few)
    assert "expected interval of the forecast: unknown, as the runs are too few for a law" in out
    assert "[few-runs]" in err
    assert json.loads(plan(capsys, *few, "--json")[0])["expected"] is None


@pytest.mark.parametrize("option", ["--noise", "--out"])
def test_seeds_by_the_noise_of_a_table_or_of_the_folder(
    option: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reported = json.loads(plan(capsys, option, folder, "--json")[0])
    assert reported["noise"]["replicates"] == 32
    assert len(reported["noise"]["by_budget"]) == 4
    assert [(f"{b['flops']:.1g}", b["planned"]) for b in reported["seeds"]] == [
        ("3e+08", 2),
        ("6e+08", 1),
        ("1e+09", 1),
        ("3e+09", 1),
    ]
    assert all(budget["wanted"] >= 1 for budget in reported["seeds"])
    out, _ = plan(capsys, option, folder)
    assert "noise between seeds, by FLOPs: 1e+10: " in out
    assert "(32 replicates)" in out
    assert "\nseeds" in out


def test_unknown_noise_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ("--out", tmp_path / "none")
    assert "noise between seeds unknown: run the cheapest cells with 3 seeds first" in plan(capsys, *args)[0]
    reported = json.loads(plan(capsys, *args, "--json")[0])
    assert (reported["noise"], reported["seeds"]) == (None, None)


def test_a_table_without_replicates_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(seeds=1).to_csv(tmp_path / "single.csv")
    out, _ = plan(capsys, "--noise", tmp_path / "single.csv")
    assert f"noise between seeds unknown: {tmp_path / 'single.csv'} has no finished replicates" in out
    assert "give --noise" not in out


@pytest.mark.parametrize("side", ["below", "beyond"])
def test_a_table_of_far_other_runs_is_said(side: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame, factor = sweep(seeds=3), 1e4 if side == "below" else 1e-6
    frame = frame.assign(flops=frame.flops * factor)
    frame.to_csv(tmp_path / "far.csv")
    reported = json.loads(plan(capsys, "--noise", tmp_path / "far.csv", "--json")[0])
    (message,) = [w["message"] for w in reported["warnings"] if w["code"] == "far-extrapolation"]
    assert message.startswith(f"law and noise from {tmp_path / 'far.csv'}: a run of ")
    assert f" {side} those finished" in message


@pytest.mark.parametrize("column", [{"vocab": 32000}, {"tokenizer": "llama"}])
def test_a_table_of_other_tokens_is_said(
    column: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def codes(**columns: object) -> set[str]:
        sweep(seeds=3).assign(**columns).to_csv(tmp_path / "t.csv")
        reported = json.loads(plan(capsys, "--noise", tmp_path / "t.csv", "--json")[0])
        return {warning["code"] for warning in reported["warnings"]}

    assert codes(**column) - codes(vocab=256, tokenizer="bytes") == {"tokenizer-mismatch"}


def test_workers_beyond_the_cores_are_said_to_add_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(estimate, "cores", lambda: [0, 1])
    assert "on cpu with 1000 workers (as fast as 2) (measured" in plan(capsys, "--workers", 1000)[0]
    assert "on cpu with 2 workers (measured" in plan(capsys, "--workers", 2)[0]


def test_a_file_is_no_sweeps_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = plan(capsys, "--out", folder / "runs.parquet", code=2)
    assert out == ""
    assert err.count("\n") == 1
    assert "is a file" in err


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    file = tmp_path / "grid.yaml"
    file.write_text(
        "name: grid\nmodel: {seq_len: 32, heads: 2, depth: 1}\ncorpus: sotu\n"
        "grid: {batch_tokens: [32, 64], warmup: [5%, 10%], weight_decay: [0, 0.5]}\n"
        "fit: {sizes: {width: 8, depth: 1}, tokens: 20k}\n"
    )
    return file


def test_a_grids_plan_shows_what_it_varies(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    title, *rows = plan(capsys, sweep=grid)[0].splitlines()[:9]
    assert " ".join(title.split()) == "run role params tokens FLOPs steps seed lr batch warm-up decay time"
    shown = [tuple(map(float, row.split()[8:11])) for row in rows]
    assert sorted(shown) == [(b, w, d) for b in (32.0, 64.0) for w in (0.05, 0.1) for d in (0.0, 0.5)]
    runs = json.loads(plan(capsys, "--json", sweep=grid)[0])["runs"]
    assert [(run["batch_tokens"], run["warmup"], run["weight_decay"]) for run in runs] == shown
    assert "noise between seeds" not in "".join(plan(capsys, sweep=grid))
    assert plan(capsys)[0].split("\n")[0].split()[-3:] == ["seed", "lr", "time"]


def test_a_grid_has_no_use_for_noise(grid: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = plan(capsys, "--noise", folder, sweep=grid, code=2)
    assert out == ""
    assert err == f"error: --noise: does not apply to {grid}, which is a grid and forecasts nothing\n"


def test_a_table_that_is_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = plan(capsys, "--noise", tmp_path / "none.csv", code=2)
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
