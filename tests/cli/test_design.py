"""``scaling design``: from a table, a sweep's folder or a published law to a file that ``scaling run`` trains."""

import json
from pathlib import Path

import pandas as pd
import pytest
from synthetic import sweep

from scaling.cli import main
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.plan.expand import expand
from scaling.sweep.spec.sweep_file import load_sweep, parse_sweep

SWEEPS = Path(__file__).parents[2] / "sweeps"
SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
fit:
  - {sizes: [{width: 4, depth: 1}, {width: 8, depth: 1}, {width: 20, depth: 1}], flops: [1e8, 3e8, 1e9]}
target: {size: {width: 20, depth: 1}, flops: 1e10}
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    frame = sweep(noise=0.01, seeds=2)
    file = tmp_path / "runs.csv"
    frame[frame.role == "fit"].drop(columns="role").to_csv(file)
    return file


def run(capsys: pytest.CaptureFixture[str], *args: object, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(map(str, args)))
    reported = capsys.readouterr()
    assert caught.value.code == code, reported.err
    return reported.out, reported.err


def design(capsys: pytest.CaptureFixture[str], table: object, *args: object, code: int = 0) -> tuple[str, str]:
    requested = ("--target-params", "1M", "--target-tokens", "30M", "--spend", "2e13")
    return run(capsys, "design", table, *requested, *args, code=code)


def test_the_json_and_the_file_say_the_same(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reported = json.loads(design(capsys, table, "--like", SWEEPS / "quickstart.yaml", "-o", "own.yaml", "--json")[0])
    assert reported["sweep"] == "own.yaml"
    assert reported["total_flops"] == pytest.approx(sum(run["flops"] for run in reported["runs"]))
    assert 1e13 < reported["total_flops"] <= 2e13
    assert 0 < reported["expected_half_width"] < reported["expected_half_width_now"]
    assert (reported["expected_fitted"], reported["level"]) == (True, 0.9)
    assert [warning["code"] for warning in reported["warnings"]] == ["repeated-data", "pooled-corpora"]
    assert "gives a run at most 11M" in reported["warnings"][0]["message"]
    assert "add the rows of the new runs.parquet to that table" in reported["warnings"][1]["message"]
    spec = load_sweep("own.yaml")
    assert sum(len(b.sizes) * len(b.flops or ()) * len(b.seeds) for b in spec.fit) == len(reported["runs"])
    planned = json.loads(run(capsys, "plan", "own.yaml", "target.tokens=3e6", "--json")[0])
    fitted = sorted((run["params"], run["flops"]) for run in planned["runs"] if run["role"] == "fit")
    for (params, flops), requested in zip(
        fitted, sorted((r["params"], r["flops"]) for r in reported["runs"]), strict=True
    ):
        assert params == requested[0]
        assert flops == pytest.approx(requested[1], rel=0.05)  # a run is a whole number of steps


def test_the_text_reports_the_cost_and_the_next_command(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("next.yaml").write_text("# written by scaling design: something else\n")
    out, err = design(capsys, table)
    assert out.split()[:4] == ["FLOPs", "params", "tokens", "seeds"]
    assert "none above 4e+12; shapes, corpus and recipe of the default, text at texts/**/*.txt" in out
    assert "expected half-width of the forecast: " in out
    assert "written to next.yaml; next: scaling run next.yaml --fit-only" in out
    assert [line.rpartition(" ")[2] for line in err.splitlines()] == ["[pooled-corpora]"]
    assert load_sweep("next.yaml").name == "design"  # its own file is written over


def test_no_other_file_is_written_over(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text(SWEEP)
    assert "exists and was not written by scaling design" in design(capsys, table, "-o", "mine.yaml", code=2)[1]
    assert Path("mine.yaml").read_text() == SWEEP
    assert "cannot be written" in design(capsys, table, "-o", "no/such/folder.yaml", code=2)[1]


def test_from_a_published_law(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    requested = ("--target-params", "8B", "--target-tokens", "15T", "--spend", "1e21")
    like = ("--like", SWEEPS / "llama3-ladder.yaml")
    out, err = run(capsys, "design", "published:chinchilla-epoch", *requested, *like)
    assert "unknown now" in out
    assert "[far-extrapolation]" in err
    assert load_sweep(table.parent / "next.yaml").model.vocab == 128256


@pytest.mark.parametrize(
    ("args", "reported"),
    [
        (["none.csv"], "none.csv"),
        (["published:nobody"], "no published:nobody"),
        (["published:kaplan", "--best"], "--best: does not apply to published:kaplan"),
        (["runs.csv", "--like", "none.yaml"], "cannot read the sweep file"),
        (["runs.csv", "--spend", "-3"], "'-3' is not positive"),
        (["runs.csv", "--spend", "1e30"], "train it instead"),
        (["runs.csv", "--spend", "1e5"], "1e+05 FLOPs, at most 2e+04 a run, do not identify a law; about "),
        (["runs.csv", "--target-params", "3"], "no shape of this family is near 3 parameters"),
        (["runs.csv", "--target-tokens", "1k"], "it is no extrapolation"),
        (["runs.csv", "--target-tokens", "1e300"], "no forecast reaches that far"),
        (["runs.csv", "--target-params", "1e200", "--target-tokens", "1e200"], "no model has 1e+200 parameters"),
        (
            ["published:kaplan", "--target-params", "8B", "--target-tokens", "15T", "--spend", "1e9"],
            "do not identify a law; about",
        ),
    ],
)
def test_bad_input_is_reported_in_lines(
    args: list[str], reported: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = design(capsys, *args, code=2)
    assert out == ""
    assert all(line.startswith("error: ") for line in err.splitlines())
    assert reported in err
    assert not (table.parent / "next.yaml").exists()


def test_folders_with_runs_to_train_and_with_a_frozen_forecast_are_refused(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, folder = parse_sweep(SWEEP, "tiny.yaml"), SweepFolder(table.parent / "out")
    folder.prepare(spec.canonical(), SWEEP, expand(spec, load_text(spec.corpus)))
    assert "9 of its fitted runs are not trained yet" in design(capsys, "out", code=2)[1]
    (folder.path / "forecast.json").write_text("{}")
    assert "its forecast is frozen, and no run can be added" in design(capsys, "out", code=2)[1]


@pytest.mark.slow
def test_grown_by_a_design_a_sweep_trains_only_what_is_new(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tiny.yaml").write_text(SWEEP)
    first = json.loads(run(capsys, "run", "tiny.yaml", "--out", "out", "--fit-only", "--json")[0])
    folder = table.parent / "out"
    assert not (folder / "forecast.json").exists()
    assert first["forecast"]["n_runs"] == 9
    assert set(pd.read_parquet(folder / "runs.parquet").role) == {"fit"}
    done = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/status.json")}
    target = ("--target-params", "10.14k", "--target-tokens", "150k")
    reported = json.loads(run(capsys, "design", "out", *target, "--spend", "3e9", "--json")[0])
    _, err = run(capsys, "design", "out", *target, "--spend", "3e9", "--like", "tiny.yaml", code=2)
    assert "--like: does not apply to out" in err
    again = json.loads(run(capsys, "run", "next.yaml", "--out", "out", "--fit-only", "--json")[0])
    assert again["forecast"]["n_runs"] == 9 + len(reported["runs"])
    assert {path: path.stat().st_mtime_ns for path in done} == done
    whole = json.loads(run(capsys, "run", "next.yaml", "--out", "out", "--json")[0])
    assert whole["forecast"]["loss"] == pytest.approx(again["forecast"]["loss"], rel=1e-3)
    assert "the forecast is frozen" in run(capsys, "run", "next.yaml", "--out", "out", "--fit-only", code=2)[1]
    _, err = run(capsys, "run", "tiny.yaml", "--out", "out", code=2)
    assert "holds another sweep" in err
