"""As ``captions_checked``: the sentences of the page around its figures, and what `scaling run` prints at its end."""

import re

import numpy as np
from sentences.captions_checked import claim, target
from sentences.numbers_shown import NUMBER, decimals, shows
from sentences.odd_tables import Case, finished

from analysis.formatting import format_duration

FIXED = {
    "Figures",
    "Warnings",
    "Loss and compute",
    "Loss and tokens",
    "The best size of each budget",
    "How the best size changes with compute",
    "Over-training",
    "Forecasts of runs that are known",
    "What the laws leave unexplained",
    "Recipe or fit: loss curves on one another",
    "Hyperparameters checked",
    "The lowest loss of any size",
    "Beside naive forecasts",
    "Laws",
    "Seed noise by budget",
    "Runs",
    "Versions and hashes",
}


@claim(r"Sweep (?P<name>.*)")
def _sweep(case: Case, name: str) -> None:
    assert set(case.frame["sweep"].dropna()) == {name}


@claim(r"Runs of runs\.csv")
def _runs_of(case: Case) -> None:
    assert case.found.table.source == "runs.csv"


@claim(r"There is no forecast here yet\.")
def _no_forecast(case: Case) -> None:
    assert case.found.forecast is None


@claim(
    r"Expected loss of <n> parameters on <d> tokens, <times> times the FLOPs of the largest fitted run: <loss> nats "
    r"per token(?: \(<bits> bits per byte\))?, <level> interval <low> to <high> \(<down>, <up>\)\."
    r"(?P<other> It was made from other rows than those shown here\.)?"
    r"(?: The target has not been scored yet\.|(?P<came> It came to <actual> \((?:(?P<one>one run)|mean of "
    r"(?P<runs>\d+) runs)\), (?P<side>inside|outside) the interval; the forecast missed by <error>\.))"
)
def _verdict(case: Case, n: str, d: str, times: str, loss: str, level: str, low: str, high: str, down: str, up: str,
             bits: str | None, other: str | None, came: str | None, **rest: str) -> None:  # fmt: skip
    made = case.forecast
    assert shows(n, made.params, 3)
    assert shows(d, made.tokens, 3)
    assert shows(times, made.flops / case.fitted["flops"].max(), 3)
    assert decimals(loss, made.loss)
    assert decimals(low, made.interval[0])
    assert decimals(high, made.interval[1])
    assert float(level[:-1]) == 100 * made.level or abs(float(level[:-1]) - 100 * made.level) < 1e-9
    assert decimals(down, made.interval[0] / made.loss - 1)
    assert decimals(up, made.interval[1] / made.loss - 1)
    assert (other is not None) == (case.origin is not None)
    assert (bits is not None) == ("bits_per_byte" in case.frame)
    assert bits is None or decimals(bits, 0.36 * made.loss)
    assert (came is None) == (case.found.score is None)
    if came is not None:
        losses = target(case)["loss"]
        assert int(rest["runs"] or 1) == len(losses)
        assert (rest["one"] is not None) == (len(losses) == 1)
        assert decimals(rest["actual"], losses.mean())
        assert (rest["side"] == "inside") == (made.interval[0] <= losses.mean() <= made.interval[1])
        assert decimals(rest["error"], made.loss / losses.mean() - 1)


TIME = r"(?: and (?P<time{i}>[\d., minhdays]+?) of training(?: on (?P<device{i}>.*?))?"
TIME += r"(?P<sum{i}>, summed over the runs)?)?(?P<trunk{i}>, as if each branch of a trunk were trained by itself)?"


@claim(
    r"(?P<runs>\d+) runs? took <flops> FLOPs"
    + TIME.format(i=1)
    + r"(?:; (?P<lost>\d+) more diverged or (?:has|have) no "
    r"finite loss)?\.(?P<target> The target takes <each> FLOPs a run, <ratio> times all of these together(?:; "
    r"(?:it|its (?P<number>\d+) runs) took <took> FLOPs"
    + TIME.format(i=2)
    + r"|, about (?P<about>.*) at the speed of the largest "
    r"of them)?\.)?"
)
def _cost(case: Case, runs: str, flops: str, lost: str | None, target: str | None, each: str, ratio: str,
          number: str, took: str | None, about: str | None, **rest: str) -> None:  # fmt: skip
    rows = case.rows.sort_values("flops").drop_duplicates("run_id", keep="last")
    assert int(runs) == len(rows)
    assert shows(flops, rows["flops"].sum(), 3)
    diverged = case.frame[~np.isfinite(case.frame["loss"])]
    diverged = diverged if case.found.table.where is None else diverged.query(case.found.table.where)
    assert int(lost or 0) == len(diverged)
    assert (rest["trunk1"] is not None) == ("trunk_id" in rows and rows["trunk_id"].nunique() < len(rows))
    timed(rest["time1"], rest["device1"], rest["sum1"], rows)
    assert (target is None) == (case.found.forecast is None)
    if target is None:
        return
    assert shows(each, case.forecast.flops, 3)
    assert shows(ratio, case.forecast.flops / rows["flops"].sum(), 2)
    ended = finished(case.frame, "target")
    assert (took is None) == (len(ended) == 0)
    if took is not None:
        assert int(number or 1) == len(ended)
        assert shows(took, ended["flops"].sum(), 3)
        timed(rest["time2"], rest["device2"], rest["sum2"], ended)
    elif "wall_s" in rows:
        largest = case.rows[case.rows["flops"] > 0.5 * case.rows["flops"].max()]
        speed = largest["flops"].sum() / largest["wall_s"].sum()
        assert about == format_duration(case.forecast.flops / speed)


def timed(time: str | None, device: str | None, summed: str | None, rows) -> None:  # type: ignore[no-untyped-def]
    assert (time is None) == ("wall_s" not in rows)
    if time is not None:
        assert time == format_duration(rows["wall_s"].sum())
        assert device == ", ".join(sorted(set(rows["device"])))
        assert (summed is None) == (len(rows) == 1)


@claim(r"The figures are of (?P<shown>\d+) of the (?P<all>\d+) rows, spread evenly over FLOPs\.")
def _part(case: Case, shown: str, **rest: str) -> None:
    assert int(shown) == len(case.found.table.arrays) < int(rest["all"]) == len(case.rows)


@claim(r"The forecast has no warnings\.")
def _no_warnings(case: Case) -> None:
    collapse = case.found.collapse
    assert case.forecast.warnings == ()
    assert case.found.score is None or case.found.score.warnings == ()
    assert isinstance(collapse, str) or collapse.warnings == ()


@claim(r"There is nothing to draw yet\. runs\.csv: no (?P<what>row to fit: .*|finished row to fit meets .*)\.")
def _nothing(case: Case, what: str) -> None:
    assert case.rows.empty
    assert str(case.found.table.where) in what or "status is" in what


@claim(r"(?P<runs>\d+) runs fitted; the target is <times>x the FLOPs of the largest")
def _printed_target(case: Case, runs: str, times: str) -> None:
    assert int(runs) == len(case.fitted)
    assert shows(times, case.forecast.flops / case.fitted["flops"].max(), 3)


@claim(r"forecast   <loss> nats per token, <level> interval \[<low>, <high>\] \(\+-<half>\), frozen (?P<when>.*)")
def _printed_forecast(case: Case, loss: str, level: str, low: str, high: str, half: str, when: str) -> None:
    made = case.forecast
    assert abs(float(level[:-1]) - 100 * made.level) < 1e-9
    values = {loss: made.loss, low: made.interval[0], high: made.interval[1]}
    values[half] = (made.interval[1] - made.interval[0]) / 2 / made.loss
    assert all(decimals(text, value) for text, value in values.items())
    assert when == made.created


@claim(r"actual     <actual> \((?P<mean>mean of )?(?P<seeds>seed .*)\)")
def _printed_actual(case: Case, actual: str, mean: str | None, seeds: str) -> None:
    losses = target(case)["loss"]
    assert decimals(actual, losses.mean())
    shown = re.findall(rf"seed (\d+|None): ({NUMBER})(?:, |$)", seeds)
    assert [seed for seed, _ in shown] == [str(i) for i in range(len(losses))]
    assert (mean is not None) == (len(losses) > 1)
    assert all(decimals(text, loss) for (_, text), loss in zip(shown, losses, strict=True))


@claim(r"error      <error>, (?P<side>inside|OUTSIDE) the interval")
def _printed_error(case: Case, error: str, side: str) -> None:
    actual, made = target(case)["loss"].mean(), case.forecast
    assert decimals(error, made.loss / actual - 1)
    assert (side == "inside") == (made.interval[0] <= actual <= made.interval[1])


@claim(r"naive      <loss>, error <error> \((?P<name>.*)\)")
def _printed_naive(case: Case, loss: str, error: str, name: str) -> None:
    value = case.forecast.baselines[name]
    assert decimals(loss, value)
    assert decimals(error, value / target(case)["loss"].mean() - 1)


@claim(r"seed noise (?:(?P<unknown>unknown: no run has a replicate)|(?P<known>.*FLOPs.*))")
def _printed_noise(case: Case, unknown: str | None, known: str | None) -> None:
    assert (unknown is not None) == (len(case.forecast.noise["by_budget"]) == 0)
    shown = re.findall(rf"({NUMBER}) FLOPs: ({NUMBER})(?:, |$)", known or "")
    for (flops, std), each in zip(shown, case.forecast.noise["by_budget"], strict=True):
        assert shows(flops, each["flops"], 2)
        assert decimals(std, each["std"])


@claim(r"report     (?P<path>.*/report\.html)")
def _printed_report(_: Case, path: str) -> None:
    assert path == "sweep/report.html"


def table_row(case: Case, table: str, cells: list[str]) -> None:
    """Checks a row of the page's tables, but for those that repeat what they are given."""
    if table == "baselines":
        name, loss, *error = cells
        losses = target(case)["loss"] if case.found.score is not None else None
        if name.startswith("actual, "):
            assert losses is not None
            assert any(decimals(loss, each) for each in losses)
            return
        value = case.forecast.loss if name == "fitted laws" else case.forecast.baselines[name]
        assert decimals(loss, value)
        assert (losses is None) == (error == [])
        assert losses is None or decimals(error[0], value / losses.mean() - 1)
    elif table == "noise":
        assert re.fullmatch(r"\d+\.\d\d%", cells[2])
        assert int(cells[1]) > 1
    elif table == "laws":
        assert cells[0] in case.forecast.fits
        assert cells[1] == f"{case.forecast.weights[cells[0]]:.0%}"
    else:
        assert table in ("runs", "provenance")
