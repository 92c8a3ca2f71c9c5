"""The front door: ``import scaling as sl``, its names, and what each result offers."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from synthetic import bracketed, sweep

import scaling as sl
from analysis.laws import LAWS
from analysis.laws.law import Law
from analysis.result import Result
from scaling.api.pages import Plot
from scaling.cli import main

FRAME = sweep()
TARGET = FRAME[FRAME.role == "target"].iloc[0]
AT = {"params": float(TARGET.params), "tokens": float(TARGET.tokens)}
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of runs and a forecast frozen from it."""
    made = tmp_path_factory.mktemp("sweep")
    FRAME.to_parquet(made / "runs.parquet")
    sl.forecast(made, law="chinchilla", bootstrap=20, **AT).freeze(made / "forecast.json")
    return made


def printed(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """What a command prints on stdout."""
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    assert ended.value.code == 0, err
    return out.removesuffix("\n")


def in_process(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_package_imports_nothing_heavy() -> None:
    in_process(
        "import sys, scaling\n"
        "heavy = {'jax', 'flax', 'pandas', 'scipy', 'numpy', 'matplotlib', 'click', 'analysis'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert set(scaling.__all__) <= set(dir(scaling))\n"
    )


def test_forecasting_imports_neither_jax_nor_what_draws() -> None:
    in_process(
        "import sys, scaling as sl\n"
        "for name in ('read_runs', 'fit', 'published', 'forecast', 'forecast_task', 'backtest', 'score', 'allocate',\n"
        "             'isoflop', 'envelope', 'cost', 'laws', 'InputError'):\n"
        "    getattr(sl, name)\n"
        "sl.published('chinchilla-epoch').predict(params=8e9, tokens=15e12)\n"
        "heavy = {'jax', 'flax', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )


def test_every_name_is_there_and_documented() -> None:
    for name in sl.__all__:
        assert getattr(sl, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'forcast'"):
        sl.forcast  # noqa: B018


def test_a_function_stays_one_when_modules_of_the_package_are_imported() -> None:
    in_process(
        "import scaling as sl, pkgutil\n"
        "modules = {module.name for module in pkgutil.iter_modules(sl.__path__)}\n"
        "assert not modules & set(sl.__all__), modules & set(sl.__all__)\n"
    )


def commands(folder: Path, tmp_path: Path) -> Iterator[tuple[Result, list[object]]]:
    """Results, each with the command that prints it."""
    at = ["--params", AT["params"], "--tokens", AT["tokens"]]
    quick = ["--law", "chinchilla", "--bootstrap", 20]
    yield sl.fit(folder, law="chinchilla", bootstrap=20), ["fit", folder, *quick]
    yield sl.published("kaplan"), ["fit", "published:kaplan"]
    yield sl.forecast(folder, law="chinchilla", bootstrap=20, **AT), ["predict", folder, *at, *quick]
    yield (
        sl.backtest(folder, train_below=1.1e11, law="compute"),
        ["backtest", folder, "--train-below", 1.1e11, "--law", "compute"],
    )
    yield sl.score(folder / "forecast.json", folder), ["score", folder / "forecast.json", folder]
    name = "published:chinchilla-epoch"
    yield sl.allocate(name, flops=5.76e23), ["allocate", name, "--flops", 5.76e23]
    yield sl.cost("llama3-8b", device="h100"), ["cost", "--model", "llama3-8b", "--device", "h100"]
    yield (
        sl.feasible("llama3-8b", topology="v5p:4x4x4", compile=False),
        ["feasible", "--model", "llama3-8b", "--topology", "v5p:4x4x4", "--no-compile"],
    )
    figure = tmp_path / "figure.svg"
    yield sl.plot("flops", folder, output=figure), ["plot", "flops", folder, "-o", figure]
    like = {"like": ROOT / "sweeps/llama3-ladder.yaml", "output": tmp_path / "next.yaml"}
    target = {"target_params": 8e9, "target_tokens": 15e12, "spend": 1e21}
    yield (
        sl.design(name, **target, **like),
        [
            *("design", name, "--target-params", 8e9, "--target-tokens", 15e12, "--spend", 1e21),
            *("--like", like["like"], "-o", like["output"]),
        ],
    )


def test_a_result_is_what_its_command_prints(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for result, command in commands(folder, tmp_path):
        assert str(result) == printed(capsys, *command)
        content = json.loads(json.dumps(result.to_dict()))
        reported = json.loads(printed(capsys, *command, "--json"))
        assert content | {"created": ""} == reported | {"created": ""}
        check(result)


def test_a_plan_is_what_its_command_prints_but_for_the_times(capsys: pytest.CaptureFixture[str]) -> None:
    file = ROOT / "sweeps/smoke.yaml"
    planned = sl.plan(file, calibrate=False)
    check(planned)
    content = json.loads(printed(capsys, "plan", file, "--no-calibrate", "--json"))
    assert set(planned.to_dict()) == set(content)
    assert [run["id"] for run in content["runs"]] == list(planned.to_frame().index)
    lines = printed(capsys, "plan", file, "--no-calibrate").splitlines()
    texts = str(planned).splitlines()
    assert [line.split("  ")[:3] for line in texts[: len(content["runs"]) + 1]] == [
        line.split("  ")[:3] for line in lines[: len(content["runs"]) + 1]
    ]
    assert texts[-1] == lines[-1]


def check(result: Result) -> None:
    """What every result offers."""
    assert dataclasses.is_dataclass(result)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, dataclasses.fields(result)[0].name, None)
    assert isinstance(result.to_frame(), pd.DataFrame)
    assert len(result.to_frame())
    assert result._repr_html_().lstrip().startswith(("<table", "<svg", "<?xml", "<div"))
    assert [w.code for w in result.diagnostics] == [w["code"] for w in result.to_dict().get("warnings", [])]


def in_notebook(result: Result) -> dict[str, Any]:
    """What IPython displays of a result, by type."""
    shown, _ = DisplayFormatter().format(result)
    return dict(shown)


def test_a_notebook_shows_the_text_of_the_command_and_the_table() -> None:
    paper = sl.published("kaplan")
    shown = in_notebook(paper)
    assert set(shown) == {"text/plain", "text/html"}
    assert shown["text/plain"] == str(paper)
    assert shown["text/html"] == paper._repr_html_()


def test_a_notebook_shows_a_figure_as_svg_and_png(folder: Path) -> None:
    drawn = sl.plot("flops", folder)
    shown = in_notebook(drawn)
    assert shown["text/plain"] == str(drawn) == "figure         flops"
    assert shown["text/html"].startswith("<svg")
    assert shown["image/png"].startswith(b"\x89PNG")


def test_a_figure_shows_the_forecast_that_is_given(folder: Path) -> None:
    with pytest.raises(sl.InputError, match="nothing to be off from"):
        sl.plot("residuals", FRAME)
    made = sl.forecast(FRAME, law="compute", bootstrap=20, **AT)
    assert "actual" in _legend(sl.plot("flops", FRAME, forecast=made))
    assert "actual" not in _legend(sl.plot("flops", FRAME[FRAME.role == "fit"], forecast=made))
    frozen = sl.plot("residuals", FRAME, forecast=folder / "forecast.json")
    assert frozen.drawing.reading == sl.plot("residuals", folder).drawing.reading
    assert frozen.drawing.reading != sl.plot("residuals", FRAME, forecast=made).drawing.reading
    with pytest.raises(sl.InputError, match="not the table that the forecast was made from"):
        sl.plot("residuals", FRAME, where="flops < 1e11", forecast=made)


def _legend(drawn: Plot) -> str:
    return " ".join(drawn.figure.axes[0].get_legend_handles_labels()[1])


def test_runs_are_selected_among_trained_ones() -> None:
    pool = bracketed()
    known = sl.read_runs(pool, where="flops < 2e11")
    aim: dict[str, Any] = {"target_params": 2e5, "target_tokens": 2.5e6, "spend": 2.5e12}
    found = sl.select_runs(known, among=pool, **aim)
    check(found)
    assert 0 < found.chosen.flops <= aim["spend"]
    assert found.rows.flops.sum() == pytest.approx(found.chosen.flops)
    assert found.rows.flops.min() > 2e11, "known runs are not selected again"
    assert len(found.table.fit) == len(known.fit) + len(found.rows) == len(known.fit) + found.to_frame().seeds.sum()
    assert len(json.loads(json.dumps(found.to_dict()))["runs"]) == len(found.rows)
    worse = pool.assign(loss=pool.loss.where(pool.flops < 2e11, 2 * pool.loss))
    assert sl.select_runs(known, among=worse, **aim).chosen == found.chosen, "losses are not looked at"
    with pytest.raises(sl.InputError, match="no run of this family is worth training"):
        sl.select_runs(known, among=known, **aim)


def test_a_design_takes_the_numbers_of_a_table(tmp_path: Path) -> None:
    like = {"like": ROOT / "sweeps/llama3-ladder.yaml", "spend": 1e21}
    made = [
        sl.design("published:chinchilla-epoch", target_params=kind(8e9), target_tokens=kind(15e12), **like, output=path)
        for kind, path in ((float, tmp_path / "plain.yaml"), (np.float64, tmp_path / "table.yaml"))
    ]
    assert made[0].path.read_text() == made[1].path.read_text()


def test_auto_is_all_laws_with_their_weights(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = sl.fit(folder, bootstrap=20)
    check(fit)
    assert sum(fit.weights.values()) == pytest.approx(1)
    assert str(fit) == printed(capsys, "fit", folder, "--bootstrap", 20)
    assert fit.to_dict() == json.loads(printed(capsys, "fit", folder, "--bootstrap", 20, "--json"))


def test_a_report_is_its_page(folder: Path) -> None:
    made = sl.report(folder, output=folder / "page.html")
    check(made)
    assert "<html" in made.path.read_text()


def test_isoflop_and_envelope_show_their_budgets() -> None:
    table = sl.read_runs(bracketed())
    for found in (sl.isoflop(table), sl.envelope(table)):
        check(found)
        assert "N*(C)" in str(found)
        assert json.loads(json.dumps(found.to_dict()))["params"]["exponent"] == found.params.exponent


def test_a_table_is_a_path_a_frame_or_read_already(folder: Path, tmp_path: Path) -> None:
    FRAME.rename(columns={"params": "n_mine"}).to_csv(tmp_path / "runs.csv", index=False)
    table = sl.read_runs(tmp_path / "runs.csv", where="flops < 1e12", columns={"params": "n_mine"})
    frame = sl.read_runs(FRAME.rename(columns={"params": "N"}), where="flops < 1e12")
    assert table.hash() == frame.hash() == sl.read_runs(folder, where="flops < 1e12").hash()
    assert sl.read_runs(table) is table
    quick = {"law": "compute", "bootstrap": 0}
    assert sl.fit(table, **quick).params == sl.fit(FRAME, where="flops < 1e12", **quick).params
    with pytest.raises(sl.InputError, match="read already"):
        sl.fit(table, where="flops < 1e11")
    with pytest.raises(sl.InputError, match="no column 'accuracy'"):
        sl.forecast_task(table, task="accuracy", **AT)
    with pytest.raises(sl.InputError, match="did you mean 'params'"):
        sl.read_runs(FRAME, columns={"parms": "params"})


def test_a_fit_predicts_numbers_and_arrays(folder: Path) -> None:
    fit = sl.fit(folder, law="chinchilla", bootstrap=0)
    one = fit.predict(**AT)
    p = fit.params
    assert one == pytest.approx(p["E"] + p["A"] / AT["params"] ** p["alpha"] + p["B"] / AT["tokens"] ** p["beta"])
    grid = fit.predict(params=np.array([[1e4], [AT["params"]]]), tokens=np.array([1e6, AT["tokens"], 1e8]))
    assert np.shape(grid) == (2, 3)
    assert np.asarray(grid)[1, 1] == pytest.approx(one)


def test_the_best_size_is_the_one_that_allocate_finds(folder: Path) -> None:
    fit = sl.fit(folder, law="chinchilla", bootstrap=0)
    assert fit.N_opt(1e13) == pytest.approx(sl.allocate(folder, flops=1e13, law="chinchilla").params, rel=1e-6)
    paper = sl.published("chinchilla-epoch")
    assert paper.N_opt(5.76e23) == pytest.approx(sl.allocate("published:chinchilla-epoch", flops=5.76e23).params)
    with pytest.raises(sl.InputError, match="does not tell parameters from tokens"):
        sl.fit(folder, law="compute", bootstrap=0).N_opt(1e13)


def test_a_law_of_ones_own_is_found_everywhere(folder: Path) -> None:
    own: Law[Any] = dataclasses.replace(LAWS["chinchilla"], name="mine", source="this test")
    sl.laws.register(own)
    try:
        assert sl.fit(folder, law="mine", bootstrap=0).params == pytest.approx(
            dict(sl.fit(folder, law="chinchilla", bootstrap=0).params)
        )
        assert "mine" in sl.fit(folder, bootstrap=0).weights
        with pytest.raises(sl.InputError, match="one of that name"):
            sl.laws.register(dataclasses.replace(own, source="another"))
    finally:
        del LAWS["mine"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: sl.backtest(f, train_below=1.0), "`train_below` 1: the runs span"),
        (lambda f: sl.forecast(f, tokens=1e9), "exactly one of `model` and `params`"),
        (lambda f: sl.forecast(f, params=1e6), "give `tokens`"),
        (lambda f: sl.forecast(f, interval=1.2, **AT), "`interval` = 1.2 is not between 0 and 1"),
        (lambda f: sl.allocate(f), "give `flops` or `loss`"),
        (lambda _: sl.cost("llama3-8b"), "give `device`"),
        (lambda f: sl.plot("isoflop", f, output="figure.gif"), "`output` figure.gif: write .png"),
        (lambda f: sl.plot("isoflops", f), "no figure 'isoflops'"),
        (lambda f: sl.read_runs(f, where="flop < 1"), "`where`: no column 'flop'"),
    ],
)
def test_an_error_names_the_parameter(call: Any, message: str, folder: Path) -> None:
    with pytest.raises(sl.InputError) as refused:
        call(folder)
    assert message in str(refused.value)


def test_the_page_on_python_does_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import doctest

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    failed, tried = doctest.testfile(
        str(ROOT / "docs/how-to/python.md"), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert (failed, tried > 10) == (0, True)
