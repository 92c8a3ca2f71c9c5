"""What the commands of analysis refuse rather than ignore, and what the report makes anew."""

import json
from pathlib import Path

import pandas as pd
import pytest
from synthetic import sweep

from analysis.laws import LAWS
from analysis.runs.table import read_table
from scaling.api.targets import leaves_out_embeddings, one_of
from scaling.cli import main
from scaling.cli.forecasts.plot import KINDS
from scaling.llama.counts import count_params
from scaling.llama.zoo import find

FRAME = sweep()
AT = ["--params", "1M", "--tokens", "1B"]


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in args])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> list[str]:
    assert run(*args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return [line.removeprefix("error: ") for line in err.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    FRAME.to_parquet(tmp_path / "runs.parquet")
    return tmp_path


FITTING = [
    ("--flops", "1e20"),
    ("--law", "chinchilla"),
    ("--interval", "99%"),
    ("--seeds", "2"),
    ("--bootstrap", "50"),
    ("--where", "flops > 1"),
    ("--columns", "params=n"),
]


@pytest.mark.parametrize("option", [*FITTING, ("--freeze", "f.json")], ids=lambda option: option[0])
def test_constants_from_a_paper_refuse_what_only_a_fit_could_use(
    option: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = refused(capsys, "predict", "published:chinchilla-epoch", *AT, *option)
    assert line.startswith(f"{option[0]}: does not apply to published:chinchilla-epoch")
    assert not Path("f.json").exists()


def test_constants_are_printed_like_a_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", "published:chinchilla-epoch", "--json") == 0
    reported = json.loads(capsys.readouterr().out)
    assert (reported["law"], reported["params"]["E"], reported["stderr"]["E"], reported["n_runs"]) == (
        "chinchilla",
        1.8172,
        0.026,
        0,
    )
    assert run("fit", "published:kaplan") == 0
    assert "2001.08361" in capsys.readouterr().out
    assert refused(capsys, "fit", "published:kaplan", "--law", "compute")[0].startswith("--law: does not apply")


def test_no_best_split_has_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = FRAME.assign(tokens=20 * FRAME.params, flops=120.0 * FRAME.params**2, loss=3 * FRAME.params**-0.05)
    line.to_csv(tmp_path / "line.csv", index=False)
    assert run("allocate", tmp_path / "line.csv", "--flops", "1e12", "--law", "chinchilla", "--json") == 0
    reported = json.loads(capsys.readouterr().out)
    assert (reported["interval"], reported["covers"]) == (None, "nothing, as no split is best")
    assert "this fit has no best split" in " ".join(w["message"] for w in reported["warnings"])


@pytest.mark.parametrize("option", FITTING, ids=lambda option: option[0])
def test_a_frozen_forecast_refuses_what_would_change_it(
    option: tuple[str, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "forecast.json"
    assert run("predict", folder, *AT, "--law", "compute", "--bootstrap", 20, "--freeze", file) == 0
    capsys.readouterr()
    (line,) = refused(capsys, "predict", file, *option)
    assert line.startswith(f"{option[0]}: does not apply to {file}, which is frozen")
    assert run("predict", file, *AT, "--json") == 0


def test_allocating_by_a_paper_refuses_the_options_of_a_fit(capsys: pytest.CaptureFixture[str]) -> None:
    lines = refused(
        capsys, "allocate", "published:muennighoff", "--flops", "1e21", "--law", "chinchilla", "--where", "a > 1"
    )
    assert sorted(line.split(":")[0] for line in lines) == ["--law", "--where"]


ALLOCATED = ["allocate", "published:chinchilla-epoch"]


@pytest.mark.parametrize(
    ("args", "violation"),
    [
        ((), "give --flops or --loss; or both the parameters and --tokens"),
        (("--flops", "1e21", "--loss", "3"), "--loss: follows from --flops"),
        (("--model", "llama3-8b", "--tokens", "15T", "--flops", "1e21"), "--flops: parameters and tokens fix it"),
        (("--model", "llama3-8b", "--params", "8B", "--tokens", "1T"), "--params: --model gives them already"),
        (("--model", "llama3-9b", "--tokens", "15T"), "llama3-8b"),
        (("--loss", "1.5"), "the irreducible loss of chinchilla is 1.8172"),
        (("--flops", "1e99"), "no forecast reaches that far"),
        (("--flops", "-1e21"), "is not positive"),
        (("--flops", "1e21", "--plot", "x.gif"), "write .png, .svg or .pdf"),
        (("--flops", "1e21", "--plot", "none/x.svg"), "cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_allocate_reports_a_violation_in_one_line(
    args: tuple[str, ...], violation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = refused(capsys, *ALLOCATED, *args)
    assert violation in line


@pytest.mark.parametrize(
    ("args", "reported"),
    [
        (("--flops", "1e21"), "within 0.25 %"),
        (("--model", "llama3-8b", "--tokens", "15T"), "llama3-8b on 15T: 5.5 "),
        (("--params", "70B", "--tokens", "10B"), "and 33.6 times the inference FLOPs per token source"),
        (("--flops", "1e23", "--inference-tokens", "1M"), "on 566B: as the optimum source"),
        (("--loss", "2", "--inference-tokens", "2T"), "what is served counted"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_allocate_tells_and_draws(
    args: tuple[str, ...],
    reported: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("analysis.allocation.estimate._DRAWS", 8)
    figure = tmp_path / "figure.svg"
    assert run(*ALLOCATED, *args, "--plot", figure) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert reported in out
    assert "alpha +- 0.015" in out
    assert "training tokens" in figure.read_text()


def test_a_model_is_counted_as_the_others_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = count_params(find("llama3-8b").config)
    FRAME.assign(params_nonembedding=FRAME.params, params=3 * FRAME.params).to_csv(tmp_path / "runs.csv", index=False)
    target = ("--model", "llama3-8b", "--tokens", "15T", "--json")
    for command in ("allocate", "predict"):
        assert run(command, "published:kaplan", *target) == 0
        assert json.loads(capsys.readouterr().out)["params"] == counts.nonembedding
        assert run(command, "published:chinchilla-epoch", *target) == 0
        assert json.loads(capsys.readouterr().out)["params"] == counts.total
    for columns, params in (({"params": "params_nonembedding"}, counts.nonembedding), (None, counts.total)):
        table = read_table(tmp_path / "runs.csv", columns)
        assert one_of(None, "llama3-8b", leaves_out_embeddings(table)) == params


@pytest.mark.parametrize("command", ["fit", "predict"])
def test_help_lists_every_law(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for law in LAWS:
        assert f" {law}" in text


def test_help_of_plot_tells_one_kind_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plot", "--help") == 0
    starts = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert starts[: len(KINDS)] == list(KINDS)


@pytest.mark.parametrize("args", [("predict", *AT), ("fit",), ("allocate", "--flops", "1e15")], ids=lambda a: a[0])
def test_a_table_without_a_finished_run_is_one_line(
    args: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FRAME.assign(status="crashed").to_csv(tmp_path / "runs.csv", index=False)
    (line,) = refused(capsys, args[0], tmp_path / "runs.csv", *args[1:])
    assert line.endswith("status is 'crashed' in every row to fit; 'done' or 'finished' is expected")


def test_report_makes_the_tables_anew_from_run_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    monkeypatch.setattr("scaling.pipeline.write_tables", lambda sweep: made.append(sweep.path))
    assert run("report", folder) == 0
    (folder / "plan.json").write_text(json.dumps({"sweep": {"name": "x"}, "runs": []}))
    # Tables alone, as one would keep them: without run folders there is nothing to make them from.
    assert run("report", folder) == 0
    assert made == []
    (folder / "runs").mkdir()
    assert run("report", folder) == 0
    assert made == [folder]


def test_report_of_a_sweep_without_a_finished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"sweep": {"name": "x"}, "runs": []}))
    (tmp_path / "runs").mkdir()
    assert refused(capsys, "report", tmp_path) == [f"{tmp_path}: no rows"]
    assert pd.read_parquet(tmp_path / "runs.parquet").empty
    assert refused(capsys, "fit", tmp_path) == [f"{tmp_path / 'runs.parquet'}: no rows"]


ODD = ["params", "train tokens", "final, nats", "eval/step", "a`b", "two\nlines", "Run Group", "x.y", "1st"]


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Eight runs whose columns have names of every kind."""
    rows = FRAME[FRAME.role == "fit"][["params", "tokens", "loss"]].iloc[::4].reset_index(drop=True)
    group = pd.Series(["a", "b"] * (len(rows) // 2))
    frame = pd.concat([rows, rows.index.to_series(), *[group] * 2, group, rows.index.to_series(), group], axis=1)
    frame.set_axis(ODD, axis=1).to_csv(tmp_path / "odd.csv", index=False)
    return tmp_path / "odd.csv"


NAMED = ("--columns", "tokens=train tokens,loss=`final, nats`")


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("`eval/step` < 6", 6),
        ("`a``b` == 'a' and params > 0", 4),
        ("`two\nlines` != 'b'", 4),
        ("`Run Group` in ['a', 'b'] and `train tokens` > 0", 8),
        ("x.y >= 2", 6),
        ("`1st` == 'a' and not `final, nats` > 99", 4),
        ("` Run Group ` == 'a'", 4),
        ("loss > 0 and `Run Group` != '`'", 8),
    ],
)
def test_any_name_can_be_filtered_by(where: str, rows: int, odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", odd, *NAMED, "--where", where, "--law", "compute", "--bootstrap", 0, "--json") in (0, 2)
    captured = capsys.readouterr()
    found = json.loads(captured.out)["n_runs"] if captured.out else int(captured.err.split()[1])
    assert found == rows


def test_a_file_may_name_the_columns(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = odd.with_name("columns.yaml")
    names.write_text('loss: "final, nats"\ntokens: train tokens\n')
    assert run("fit", odd, "--columns", names, "--law", "compute", "--bootstrap", 0, "--json") == 0
    by_file = json.loads(capsys.readouterr().out)
    assert run("fit", odd, *NAMED, "--law", "compute", "--bootstrap", 0, "--json") == 0
    assert json.loads(capsys.readouterr().out) == by_file
    several = ("--columns", "tokens=train tokens", "--columns", "loss=`final, nats`")
    assert run("fit", odd, *several, "--law", "compute", "--bootstrap", 0, "--json") == 0
    assert json.loads(capsys.readouterr().out) == by_file


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("loss=final, nats", "--columns: 'nats' is not NAME=COLUMN; a column with a comma stands in backticks"),
        ("loss=a,loss=b", "--columns: 'loss' is given twice"),
        ("loss=zz,tokens=`q", "--columns loss=zz: FILE has no column 'zz'"),
        ("none.yaml", "none.yaml: cannot read the file of columns: No such file or directory"),
        ("list.yaml", "list.yaml:1:1: a file of columns maps keys to values; not a list"),
        ("number.yaml", "number.yaml:2:7: loss: ['x'] is no name of a column"),
        ("unknown.yaml", "--columns los=x: no such name in a table of runs (did you mean 'loss'?)"),
    ],
)
def test_what_names_no_columns_is_one_line(
    given: str, line: str, odd: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(odd.parent)
    Path("list.yaml").write_text("- loss\n")
    Path("number.yaml").write_text("tokens: x\nloss: [x]\n")
    Path("unknown.yaml").write_text("los: x\n")
    (first, *_) = refused(capsys, "fit", odd, "--columns", given)
    assert first.replace(str(odd), "FILE") == line
