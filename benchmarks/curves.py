"""Predictions by loss curves: of another schedule, and of runs with a bad recipe. Writes ``curves.md``.

python benchmarks/curves.py [FOLDER]    # 5 minutes on 2 cores; what FOLDER (runs/curves) has is not trained again
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.diagnostics.collapse import collapse
from analysis.errors import InputError
from analysis.fitting.annealing import fit_annealing
from analysis.runs.curves import Curve, CurveTable, read_curves
from analysis.runs.table import RunTable, read_table

HERE = Path(__file__).parent
MODEL = "model: {{seq_len: 64, depth: 2, heads: 2, qk_norm: true}}\ncorpus: sotu\n"
SCHEDULES = {"wsd-15": "{kind: wsd, decay: 0.15}", "wsd-50": "{kind: wsd, decay: 0.5}", "cosine": "{kind: cosine}"}
SCHEDULE = (
    "name: {name}\n" + MODEL + "grid: {{learning_rate: [0.01]}}\nrecipe: {{batch_tokens: 128, warmup: 0.1}}\n"
    "schedule: {schedule}\nfit: {{sizes: [20k], flops: [3e10, 1e11], seeds: 3}}\n"
)
TIMES = (0.125, 0.25, 0.5, 2, 4, 8)
RATES = (
    "name: rates\n" + MODEL.format() + "grid: {learning_rate: [0.125x, 0.25x, 0.5x, 1x, 2x, 4x, 8x]}\n"
    "fit:\n  - {sizes: [11k, 33k], flops: [3e10, 1e11], seeds: 2}\n"
)
DRAWS, FEW = 300, (8, 12, 16, 30, 60)


def train(folder: Path, name: str, sweep: str) -> Path:
    """The folder of a sweep, trained unless it is there."""
    out = folder / name
    if not (out / "curves.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.yaml"
        file.write_text(sweep)
        subprocess.run([sys.executable, "-m", "scaling", "run", str(file), "--out", str(out)], check=True)
    return out


def schedules(folder: Path) -> Iterator[str]:
    """Errors of the law fitted to some schedules on the schedule left out."""
    curves = {
        name: read_curves(train(folder, name, SCHEDULE.format(name=name, schedule=schedule))).curves
        for name, schedule in SCHEDULES.items()
    }
    yield "| left out, and predicted | whole curve | end | curve: same tokens, other schedule | end: other schedule |"
    yield "| --- | --- | --- | --- | --- |"
    for left_out in SCHEDULES:
        others = [name for name in SCHEDULES if name != left_out]
        law = fit_annealing(CurveTable(tuple(c for name in others for c in curves[name]), "schedules"), bootstrap=0)
        missed, ends, plain, plain_ends = [], [], [], []
        for length in sorted({c.schedule.step[-1] for c in curves[left_out]}):
            actual = mean(curves[left_out], length)
            late = actual.step > actual.schedule.warm
            error = law.predict(actual.schedule, actual.step[late]) / actual.loss[late] - 1
            rest = [mean(curves[name], length) for name in others]
            copied = np.mean([np.interp(actual.step, each.step, each.loss) for each in rest], axis=0)
            other = copied[late] / actual.loss[late] - 1
            missed.append(np.abs(error).mean())
            ends.append(error[-1])
            plain.append(np.abs(other).mean())
            plain_ends.append(other[-1])
        end, plain_end = (", ".join(f"{e:+.2%}" for e in errors) for errors in (ends, plain_ends))
        yield f"| {left_out} | {np.mean(missed):.2%} | {end} | {np.mean(plain):.2%} | {plain_end} |"


def mean(curves: tuple[Curve, ...], length: float) -> Curve:
    """The mean over seeds of the curves of one length."""
    same = [c for c in curves if c.schedule.step[-1] == length]
    return Curve("mean", same[0].schedule, same[0].step, np.mean([c.loss for c in same], axis=0))


def found(table: pd.DataFrame, curves: pd.DataFrame) -> set[str] | None:
    """Ids of the runs that leave the common curve; None where it cannot be determined."""
    try:
        return {each.run_id for each in collapse(RunTable.from_frame(table), curves).departures}
    except InputError:
        return None


def alarms(folder: Path) -> Iterator[str]:
    """Rates of false alarms on sound sweeps, and of odd runs that are found."""
    sound = {name: sweep(HERE / "quickstart" / name) for name in ("sotu", "python")}
    yield "| runs, drawn from a sound sweep | sotu: false alarms | python: false alarms |"
    yield "| --- | --- | --- |"
    for few in FEW:
        counts = []
        for rows, curves in sound.values():
            tried = [found(rows.sample(few, random_state=draw), curves) for draw in range(DRAWS)]
            counts.append(f"{sum(bool(each) for each in tried)} of {sum(each is not None for each in tried)}")
        yield f"| {few} | {' | '.join(counts)} |"
    wholes = [found(*each) for each in sound.values()]
    yield f"| all 157 | {' | '.join(str(len(each or ())) for each in wholes)} |"
    yield ""
    rows, curves = sound["sotu"]
    odd, odd_curves = sweep(train(folder, "rates", RATES))
    usual = odd.groupby(["params", "tokens"])["lr"].transform("median")
    together = pd.concat([curves, odd_curves])
    yield "| learning rate of the odd run, in the recipe's | its loss | named among 157 | among 30 | among 12 |"
    yield "| --- | --- | --- | --- | --- |"
    for times in TIMES:
        runs = odd[np.isclose(odd["lr"] / usual, times, rtol=0.05)]
        base = odd[np.isclose(odd["lr"], usual)].groupby(["params", "tokens"])["loss"].mean()
        worse = np.mean([row.loss / base[(row.params, row.tokens)] - 1 for row in runs.itertuples()])
        cells = []
        for few in (len(rows), 30, 12):
            named = 0
            for place in range(len(runs)):
                one = runs.iloc[[place]]
                drawn = rows if few == len(rows) else rows.sample(few - 1, random_state=place)
                named += one["run_id"].iloc[0] in (found(pd.concat([drawn, one]), together) or ())
            cells.append(f"{named} of {len(runs)}")
        yield f"| {times:g}x | {worse:+.1%} | {' | '.join(cells)} |"


def sweep(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The fitted runs that are done, and their curves."""
    frame = read_table(folder).fit
    return frame, pd.read_parquet(folder / "curves.parquet")


def main(folder: Path) -> None:
    lines = [
        "# What loss curves show",
        "",
        "`python benchmarks/curves.py` writes this page.",
        "",
        "## Another schedule",
        "",
        "One model of 20k parameters on `sotu`, peak rate .01, batch 128 tokens, 3e10 and 1e11 FLOPs, three seeds of "
        "each schedule: `wsd` with its last 15 % or 50 % decaying, and a cosine. The multi-power law (2503.12811) is "
        "fitted to the curves of two schedules and predicts the third's, after warm-up: mean absolute error of the "
        "training loss along it, and the error at its end for both lengths. Next to it what the mean of the two other "
        "schedules' curves would say.",
        "",
        *schedules(folder),
        "",
        "## Runs that leave the common curve",
        "",
        "The alarm `off-curve` on subsets of the quickstart's two sweeps, whose recipe is sound; then one run at "
        "another learning rate among those of `sotu` (sizes of 11k and 33k, 3e10 and 1e11 FLOPs, two seeds).",
        "",
        *alarms(folder),
        "",
    ]
    (HERE / "curves.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/curves"))
