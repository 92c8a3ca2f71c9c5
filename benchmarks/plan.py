"""Expectations of plans compared with their outcomes: writes ``plan.md``.

    SCALING_PUBLISHED=FOLDER python benchmarks/plan.py

The interval expected of each design and the one that its forecast had, for this folder's sweeps and for published
tables forecast ten times beyond; and the seconds that this machine's calibration gives the sweeps' runs, with those
they took, which means something only on the machine that trained them. About three minutes.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from analysis.design.seeds import PlannedCell
from analysis.design.selection import cells_of
from analysis.design.simulate import simulate_forecast
from analysis.forecasting.ensemble import AUTO, ensemble_of_arrays
from analysis.runs.arrays import RunArrays, inputs_at
from analysis.runs.table import RunTable, read_table
from benchmarks.forecast import FURTHER, JUDGED
from scaling.llama.config import LlamaConfig
from scaling.sweep.host.machine_speed import MachineSpeed, measure, recall

HERE = Path(__file__).parent
SWEEPS = tuple(f"corpora/{name}" for name in ("law", "headers", "sotu-1", "sotu-2", "python-1", "python-2"))
_REACH = 10.0


def main() -> None:
    if "SCALING_PUBLISHED" not in os.environ:
        sys.exit("set SCALING_PUBLISHED to the folder of published tables")
    page = [
        "# Plans compared with what came",
        "",
        "Written by `python benchmarks/plan.py`.",
        "",
        "## Half-width of the 90 % interval",
        "",
        "The half-width is expected from a usual law and scatter, as without finished runs (usual); expected from the",
        "finished runs (own); and that of the forecast from these (had). Scatter is that of the high-compute runs,",
        "between seeds or, without replicates, about the law that fits best.",
        "",
        "The usual figure is a guess: tables differ by more than a design shows, and most disagree with laws more than",
        "simulated runs do. A figure to decide by needs finished runs: the sweep's smallest cells, or a similar sweep.",
        "",
        "| runs | cells | scatter | usual | own | had | usual / had | own / had |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *_intervals(Path(os.environ["SCALING_PUBLISHED"])),
        "",
        "## Seconds of the runs",
        "",
        *_seconds(recall() or measure()),
        "",
    ]
    HERE.joinpath("plan.md").write_text("\n".join(page))
    print("\n".join(page))


def _intervals(folder: Path) -> Iterator[str]:
    for kind, sources in (("sweeps", _sweeps()), ("tables", _published(folder))):
        found = []
        for name, points, target in sources:
            print(name, file=sys.stderr, flush=True)
            cells = cells_of(points)
            usual, own = simulate_forecast(cells, target), simulate_forecast(cells, target, points)
            assert usual is not None
            assert own is not None
            forecast = ensemble_of_arrays(points, AUTO, 100)
            at = inputs_at(target.params, target.tokens, target.flops)
            _, low, high = forecast.predict(at, seeds=target.seeds)
            had, scatter = float(np.log(high[0] / low[0])) / 2, forecast.calibration.noise
            ratios = usual.half_width / had, own.half_width / had
            found.append((scatter, *ratios))
            yield (
                f"| {name} | {len(cells)} | {scatter:.2%} | {usual.half_width:.1%} | {own.half_width:.1%} "
                f"| {had:.1%} | {ratios[0]:.2f} | {ratios[1]:.2f} |"
            )
        scatter, usual_ratio, own_ratio = np.median(found, axis=0)
        yield f"| **median of the {kind}** | | {scatter:.2%} | | | | {usual_ratio:.2f} | {own_ratio:.2f} |"


def _sweeps() -> Iterator[tuple[str, RunArrays, PlannedCell]]:
    for name in SWEEPS:
        table = read_table(HERE / name)
        targets = table.frame[table.frame.role == "target"]
        one = targets.iloc[0]
        yield name, table.arrays, PlannedCell(float(one.params), float(one.tokens), float(one.flops), len(targets))


def _published(folder: Path) -> Iterator[tuple[str, RunArrays, PlannedCell]]:
    """Name, runs of at most a tenth of the target's FLOPs, and target (the largest run) of each published table."""
    for source in (*JUDGED, *FURTHER):
        points = read_table(folder / f"{source.file}.csv", where=source.where, best=source.best).arrays
        at = points.inputs
        largest = int(at.c.argmax())
        known = points.subset(at.c < at.c[largest] - np.log(_REACH))
        target = PlannedCell(*np.exp([at.n[largest], at.d[largest], at.c[largest]]).tolist(), 1)
        yield source.name, known, target


def _seconds(calibration: MachineSpeed) -> Iterator[str]:
    yield f"By {calibration.machine}; error at the shapes measured {calibration.error:.0%}."
    yield "What the runs took has compiling inside."
    yield ""
    yield "| runs | predicted | took | ratio | of a run, 10 % to 90 % |"
    yield "| --- | --- | --- | --- | --- |"
    for name in SWEEPS:
        table = read_table(HERE / name)
        predicted, took = _predicted(table, calibration), table.frame.wall_s.to_numpy(float)
        low, high = np.quantile(predicted / took, [0.1, 0.9])
        total = predicted.sum() / took.sum()
        yield f"| {name} | {predicted.sum():.0f} | {took.sum():.0f} | {total:.2f} | {low:.2f} to {high:.2f} |"


def _predicted(table: RunTable, calibration: MachineSpeed) -> np.ndarray:
    seconds = []
    for run in table.frame.itertuples():
        shape = {name: int(getattr(run, name)) for name in ("vocab", "width", "depth", "heads", "kv_heads", "ffn")}
        model = LlamaConfig(**shape, seq_len=int(run.seq_len), tie_embeddings=True, qk_norm=True)
        seconds.append(run.tokens / run.batch_tokens * calibration.step_s(model, int(run.batch_tokens // run.seq_len)))
    return np.array(seconds)


if __name__ == "__main__":
    main()
