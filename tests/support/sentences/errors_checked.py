"""As ``captions_checked``: the captions on errors of laws, on learning rates and on loss curves."""

import re

import numpy as np
import pandas as pd
from sentences.captions_checked import claim
from sentences.numbers_shown import NUMBER, decimals, number, shows
from sentences.odd_tables import Case

from analysis.runs.arrays import inputs_at
from analysis.tuning.grid import tuned_cells


@claim(
    r"Forecasts(?: by (?P<law>[\w-]+))? of the high-compute runs from the low-compute ones missed on average by "
    r"(?P<missed>.*) beyond; <held> of (?P<all>\d+) intervals held the loss(?:, and the frozen forecast missed by "
    r"<error>)?\."
)
def _backtest(case: Case, law: str, missed: str, held: str, error: str, **rest: str) -> None:
    splits, name = case.found.backtest.splits, law or "auto"
    assert name == (case.forecast.law if case.found.forecast else "chinchilla")
    shown = re.findall(rf"({NUMBER}) up to ({NUMBER}) times(?: and |$)", missed)
    assert len(shown) == len(splits)
    covered: list[bool] = []
    flops = case.rows["flops"].sort_values().to_numpy()
    for (are, reach), split in zip(shown, splits, strict=True):
        held_out = split.held_out[name]
        assert decimals(are, np.mean(np.abs(held_out.error)))
        assert len(held_out.error) == split.n_test == len(flops) - split.n_train
        assert shows(reach, flops[-1] / flops[split.n_train - 1], 3)
        covered += held_out.covered.tolist()
    assert (int(held), int(rest["all"])) == (sum(covered), len(covered))
    assert (error is None) == (case.found.score is None)
    if error is not None:
        assert decimals(error, case.score.predicted / np.mean([run.loss for run in case.score.actuals]) - 1)


@claim(
    r"no threshold of 3, 10, 30 or 100 times below the largest run leaves 12 runs to train on and 3 to "
    r"test; choose one with `scaling backtest`"
)
def _no_backtest(case: Case) -> None:
    flops = case.rows["flops"].to_numpy()
    for times in (3, 10, 30, 100):
        counts = [int((flops <= flops.max() / times * (1 + slack)).sum()) for slack in (1e-9, 0.02)]
        assert any(count < 12 or len(flops) - count < 3 for count in counts)


def misses(case: Case) -> pd.DataFrame:
    rows = case.rows
    fitted = case.forecast.curve(
        inputs_at(*(rows[k] for k in ("params", "tokens", "flops")), rows.get("unique_tokens"))
    )
    return rows.assign(miss=rows["loss"] / fitted - 1)


@claim(r"The only run lies <miss> from the laws \((?P<run>.*)\)\.")
def _one_residual(case: Case, miss: str, run: str) -> None:
    (row,) = misses(case).to_dict("records")
    assert decimals(miss, row["miss"])
    assert run == row["run_id"]


@claim(
    r"Half of the runs lie within <half> of the laws, the furthest <most> \((?P<run>.*)\)(?:; "
    r"(?:(?P<flat>their trend is less than 0\.01% per tenfold FLOPs)"
    r"|(?P<verdict>they drift from them|no trend beyond noise): <slope> ± <error> per tenfold FLOPs))?\."
)
def _residuals(
    case: Case, half: str, most: str, run: str, flat: str | None, verdict: str | None, slope: str, error: str
) -> None:
    rows = misses(case)
    size = rows["miss"].abs()
    assert 2 * (size <= float(half[:-1]) / 100 + 1e-12).sum() >= len(rows)
    assert float(half[:-1]) < 100 * size.median() + 0.01 + 1e-9  # rounded up by no more than a digit
    assert any(decimals(most, miss) for miss in rows["miss"])
    assert abs(float(most[:-1]) / 100) >= size.max() - 6e-4
    assert run in set(rows.loc[size >= size.max() - 1e-12, "run_id"])
    x = np.log10(rows["flops"])
    line = np.polyfit(x, rows["miss"], 1) if np.ptp(x) > 1e-3 else None
    if flat is None and verdict is None:
        assert len(rows) < 3 or line is None or np.ptp(x) < 0.01
        return
    assert line is not None
    rest = rows["miss"] - np.polyval(line, x)
    deviation = float(np.sqrt((rest**2).sum() / (len(rows) - 2) / ((x - x.mean()) ** 2).sum()))
    if flat is not None:
        assert abs(line[0]) < 1e-4
        return
    assert decimals(slope, line[0])
    assert decimals(error, deviation)
    assert (verdict == "they drift from them") == (abs(line[0]) > 2 * deviation)
    assert verdict == "no trend beyond noise" or number(slope[:-1]) != 0


@claim(r"no forecast\.json was read with the table, so there is nothing to be off from")
def _no_residuals(case: Case) -> None:
    assert case.found.forecast is None


@claim(r"The sweep's recipe (?P<verdict>holds|is not ready): against the best learning rate it loses (?P<lost>.*)\.")
def _recipe(case: Case, verdict: str, lost: str) -> None:
    check = case.found.recipe
    assert check is not None
    assert case.found.check is not None
    assert (verdict == "holds") == (not check.warnings)
    shown = re.findall(rf"(at least )?({NUMBER}) at ({NUMBER}) parameters(?: and |$)", lost)
    cells = [cell for cell in check.cells if cell.loss is not None]
    assert len(shown) == len(cells) > 0
    for (least, loss, size), cell in zip(shown, cells, strict=True):
        assert shows(size, cell.params, 3)
        assert (least == "") == cell.bracketed
        assert float(loss[:-1]) >= 0
        rows = case.found.check.frame
        rows = rows[(rows["params"] == cell.params) & (rows["tokens"] == cell.tokens)]
        log = np.log(rows["loss"]).groupby(rows["lr"]).mean()
        if least:  # the best rate tried has gained that much, and the best of all has gained more
            assert decimals(loss, log[np.isclose(log.index, cell.lr, rtol=0.01)].iloc[0] - log.min())
        else:
            assert decimals(loss, float(cell.loss or 0.0))
            assert log.index[0] < cell.lr * np.exp(cell.best[1] or 0.0) < log.index[-1]
    assert verdict == "is not ready" or all(cell.bracketed for cell in check.cells)


@claim(
    r"The best learning rate is known at <known> of (?P<all>\d+) pairs? of size and length with three rates or more"
    r"(?:: <lr> at <n> parameters(?:, <lr2> at <n2> parameters)?)?\."
)
def _rates(case: Case, known: str, lr: str | None, n: str | None, lr2: str, n2: str, **rest: str) -> None:
    table = case.found.check or case.found.table
    rows = case.rows if case.found.check is None else table.frame
    keys = ["params", *({"corpus"} & set(rows))]
    tried = 0
    for _, size in rows.groupby(keys):
        lengths = np.sort(size["tokens"].to_numpy())
        start = 0.0
        for length in lengths:
            if length > 1.02 * start * (1 + 1e-12):
                start = length
                cell = size[(size["tokens"] >= start) & (size["tokens"] <= 1.02 * start * (1 + 1e-12))]
                tried += cell["lr"].nunique() >= 3
    assert int(rest["all"]) == tried
    best = [(each[0], cell.params) for cell in tuned_cells(table) if (each := cell.best("lr")) is not None]
    assert int(known) == len(best)
    shown = [(rate, size) for rate, size in ((lr, n), (lr2, n2)) if rate is not None and size is not None]
    for (rate, size), (value, params) in zip(shown, best[:1] + best[1:][-1:], strict=True):
        assert shows(rate, value, 3)
        assert shows(size, params, 3)


@claim(
    r"no size and length has three learning rates that vary on their own; `scaling recipe check SWEEP\.yaml` trains "
    r"such runs"
)
def _no_rates(case: Case) -> None:
    rows = case.rows if case.found.check is None else case.found.check.frame
    keys = ["params", "tokens", *({"corpus"} & set(rows))]
    assert "lr" not in rows or rows.groupby(keys)["lr"].nunique().max() < 3


@claim(
    r"The loss curves of (?P<runs>\d+) runs lie <spread> from a common one, in root mean square, (?:but for "
    r"(?P<gone>\d+) runs? that leaves? it|and none leaves it(?P<laws>; the fitted runs miss the laws by <missed>, "
    r"(?:(?P<unknown>and without replicates the seed noise is not known)|<times> times the seed noise"
    r"(?P<fit>, which points to the fit, not to a recipe)?))?)\."
)
def _collapse(
    case: Case, runs: str, spread: str, gone: str | None, laws: str | None, missed: str, times: str, **rest: str
) -> None:
    found = case.found.collapse
    assert not isinstance(found, str)
    left = {each.run_id for each in found.departures}
    assert int(runs) == len(set(found.runs["run_id"])) <= len(case.rows)
    assert int(gone or 0) == len(left)
    stay = [run not in left for run in found.runs["run_id"]]
    assert decimals(spread, float(np.sqrt((found.off[stay] ** 2).mean())))
    if laws is None:
        return
    assert decimals(missed, float(np.sqrt((misses(case)["miss"] ** 2).mean())))
    recipe = {"lr", "corpus", "unique_tokens", "seq_len"}
    cells = np.log(case.rows["loss"]).groupby(
        [case.rows[k] for k in ("params", "tokens", *sorted(recipe & set(case.rows)))]
    )
    distinct = cells.apply(lambda log: log.drop_duplicates().tolist())
    freedom = sum(len(each) - 1 for each in distinct)
    assert (rest["unknown"] is not None) == (freedom == 0)
    if freedom:
        noise = float(np.sqrt(sum(np.var(each) * len(each) for each in distinct) / freedom))
        ratio = float(np.sqrt((misses(case)["miss"] ** 2).mean())) / noise
        assert shows(times, ratio, 2)
        assert (rest["fit"] is not None) == (ratio > 2)


@claim(r"a run in the middle of the sweep would have a loss below 0, so there is no common curve")
def _no_common_curve(case: Case) -> None:
    found = case.found.collapse
    assert not isinstance(found, str)
    assert np.isnan(found.common).any()


@claim(r"no loss curves were read with the table")
def _no_curves(case: Case) -> None:
    assert case.found.curves is None


@claim(
    r"(?P<runs>\d+) runs? have curves that can be compared, of (?P<sizes>\d+) sizes?; <needed> are needed, of two "
    r"sizes at least"
)
def _too_few_curves(_: Case, runs: str, sizes: str, needed: str) -> None:
    assert int(runs) < int(needed) or int(sizes) < 2
