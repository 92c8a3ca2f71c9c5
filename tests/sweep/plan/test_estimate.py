"""The plan's JSON: totals, time and price by device, and what it warns of."""

from dataclasses import replace
from typing import Any, Literal

import pytest
from tiny import DATA, make_run

from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params
from scaling.sweep.host.machine_speed import MachineSpeed
from scaling.sweep.plan import estimate
from scaling.sweep.plan.design_warnings import design_warnings
from scaling.sweep.plan.expand import PlannedRun
from scaling.train.muon.direction import muon_flops

WIDTHS = (8, 16, 24)
STEPS = (100, 300, 1000)
FEWEST = 7


def model(width: int) -> LlamaConfig:
    return LlamaConfig(
        vocab=256, width=width, depth=1, heads=2, kv_heads=2, ffn=3 * width, seq_len=32, tie_embeddings=True
    )


def planned(cell: tuple[int, int], role: Literal["fit", "target"], corpus_bytes: int) -> PlannedRun:
    width, steps = cell
    data = replace(DATA, fingerprint={**DATA.fingerprint, "bytes": corpus_bytes})
    return PlannedRun(replace(make_run(steps, model=model(width)), data=data), role)


def plan(
    cells: list[tuple[int, int]], target: tuple[int, int] = (24, 3000), corpus_bytes: int = 10**9
) -> list[PlannedRun]:
    """Runs of (width, steps)."""
    return [*(planned(cell, "fit", corpus_bytes) for cell in cells), planned(target, "target", corpus_bytes)]


GRID = [(width, steps) for width in WIDTHS for steps in STEPS]


MEASURED = MachineSpeed("here", "2026-01-01", (2e-5, 0.01, 0.005, 0.002, 0.001, 0.004), (5.0, 1.0), 2.0, 0.05)


def described(
    monkeypatch: pytest.MonkeyPatch,
    kind: str | None,
    workers: int | None = None,
    calibration: MachineSpeed | None = None,
) -> dict[str, Any]:
    monkeypatch.setattr(estimate, "accelerator", lambda: kind)
    monkeypatch.setattr(estimate, "cores", lambda: [0, 1, 2])
    return estimate.describe(plan(GRID), workers, calibration, FEWEST)


def codes(runs: list[PlannedRun]) -> set[str]:
    return {code for code, _ in design_warnings(runs, FEWEST)}


def test_totals_and_time_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    result = described(monkeypatch, None)
    assert result["total_flops"] == sum(run["flops"] for run in result["runs"])
    assert result["target_flops"] == result["runs"][-1]["flops"]
    assert (result["workers"], result["device"], result["est_usd"]) == (3, "cpu", None)
    assert result["est_seconds"] > max(run["est_seconds"] for run in result["runs"])
    assert result["calibration"] is None
    assert result["warnings"] == []


def test_time_by_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    result = described(monkeypatch, None, 2, MEASURED)
    assert result["calibration"] == {"machine": "here", "measured": "2026-01-01", "error": 0.05}
    *fitted, target = (MEASURED.run_s(run.config, run.config.steps) for run in plan(GRID))
    assert [run["est_seconds"] for run in result["runs"]] == [*fitted, target]
    # Three shapes of one layer are compiled, by either worker; these start for the fitted runs and the target.
    assert result["est_seconds"] == pytest.approx(sum(fitted) / 2 + target + 3 * 6.0 / 2 + 2 * 2.0)


def test_more_workers_than_cores_are_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    three, nine = (described(monkeypatch, None, workers, MEASURED) for workers in (3, 9))
    assert (nine["workers"], nine["effective_workers"]) == (9, 3)
    assert nine["est_seconds"] == three["est_seconds"]


def test_a_group_is_what_one_compilation_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    result = described(monkeypatch, None, calibration=MEASURED)
    groups = [(group["width"], group["depth"], group["batch_tokens"], group["runs"]) for group in result["groups"]]
    assert groups == [(8, 1, 64, 3), (16, 1, 64, 3), (24, 1, 64, 4)]
    assert result["compilations"] == 3
    assert {group["compile_s"] for group in result["groups"]} == {6.0}


def test_share_of_the_target_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    result = described(monkeypatch, None)
    flops = [run["flops"] for run in result["runs"]]
    assert result["share"] == pytest.approx(sum(flops[:-1]) / flops[-1])
    run = result["runs"][-1]
    assert run["state_bytes"] == 16 * run["params"] < run["memory_bytes"] == result["memory_bytes"]
    monkeypatch.setattr(estimate, "cores", lambda: [0])
    assert estimate.describe(plan(GRID)[:-1], None, MEASURED, FEWEST)["share"] is None


@pytest.mark.parametrize(
    ("kind", "peak", "mfu", "usd"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12, 0.32, 3.99),
        ("NVIDIA H200", 989e12, 0.32, 3.50),
        ("NVIDIA A100-SXM4-80GB", 312e12, 0.45, 2.79),
        ("TPU v5 lite", 197e12, 0.46, 1.20),
    ],
)
def test_a_known_accelerator_by_its_peak_and_price(
    monkeypatch: pytest.MonkeyPatch, kind: str, peak: float, mfu: float, usd: float
) -> None:
    result = described(monkeypatch, kind, calibration=MEASURED)  # which is of the cores
    assert result["calibration"] is None
    run = result["runs"][0]
    assert run["est_seconds"] == pytest.approx(run["flops"] / (peak * mfu))
    assert result["est_usd"] == pytest.approx(result["est_seconds"] / 3600 * usd)
    assert result["workers"] == 1


def test_muon_takes_longer_and_less_memory_for_the_same_flops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "accelerator", lambda: "NVIDIA H100 80GB HBM3")
    muon, adamw = (PlannedRun(make_run(100, model=model(16), optimizer=name), "fit") for name in ("muon", "adamw"))
    one, other = (estimate.describe([run], None, None, FEWEST)["runs"][0] for run in (muon, adamw))
    assert one["flops"] == other["flops"]
    more = 100 * muon_flops(muon.config.model) / (989e12 * 0.32)
    assert one["est_seconds"] == pytest.approx(other["est_seconds"] + more)
    matrices = count_params(muon.config.model).per_layer_matmul
    assert other["state_bytes"] - one["state_bytes"] == other["memory_bytes"] - one["memory_bytes"] == 4 * matrices


def test_more_workers_do_not_train_faster_on_one_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    one, four = (described(monkeypatch, "NVIDIA H100 80GB HBM3", workers) for workers in (1, 4))
    assert (four["workers"], four["effective_workers"]) == (4, 1)
    assert four["est_seconds"] == one["est_seconds"]


def test_without_a_price_no_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    result = described(monkeypatch, "TPU7x")
    assert result["est_seconds"] > 0
    assert result["est_usd"] is None


def test_an_unknown_accelerator_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    result = described(monkeypatch, "Some new chip")
    assert result["est_seconds"] is None
    assert result["est_usd"] is None
    assert {run["est_seconds"] for run in result["runs"]} == {None}


def test_a_sound_design_warns_of_nothing() -> None:
    assert codes(plan(GRID)) == set()


@pytest.mark.parametrize(
    ("runs", "code"),
    [
        (plan(GRID[:6]), "few-runs"),
        (plan(GRID[:6] * 3), "few-runs"),  # replicates are no new cells
        (plan([(16, steps) for steps in range(100, 900, 100)]), "collinear"),
        (plan([(width, 500) for width in range(8, 64, 4)]), "collinear"),
        (plan([(width, width**2) for width in range(8, 64, 4)], (64, 64**2)), "collinear"),
        (plan(GRID, (24, 200_000)), "far-extrapolation"),
    ],
)
def test_each_weakness_is_named(runs: list[PlannedRun], code: str) -> None:
    assert codes(runs) == {code}


def test_without_a_target_there_is_no_forecast_to_warn_of() -> None:
    assert codes(plan(GRID[:1])[:-1]) == set()


def test_repeated_text_is_counted() -> None:
    ((code, message),) = design_warnings(plan(GRID, corpus_bytes=100_000), FEWEST)
    assert code == "repeated-data"
    assert message.startswith("1 of 10 runs repeat their data (up to about 2 epochs)")


def test_a_trunk_is_counted_once_and_short_branches_are_warned_of() -> None:
    schedule = make_run().recipe.schedule

    def branches(*lengths: int) -> list[PlannedRun]:
        runs = []
        for steps in lengths:
            run = planned((8, steps), "fit", 10**9)
            warmed = replace(run.config.recipe, schedule=replace(schedule, warmup=10 / steps))
            longest = planned((8, max(lengths)), "fit", 10**9).config.recipe
            runs.append(
                PlannedRun(
                    replace(run.config, recipe=replace(longest, schedule=warmed.schedule), trunk=max(lengths)), "fit"
                )
            )
        return runs

    runs = branches(400, 100)
    result = estimate.describe(runs, 1, MEASURED, FEWEST)
    long, short = result["runs"]
    step = long["flops"] // 400
    # The shorter branch leaves after 70 steps, the longer goes on from there.
    assert (short["flops"], short["added_flops"]) == (100 * step, 100 * step)
    assert (long["flops"], long["added_flops"]) == (400 * step, 330 * step)
    assert (result["total_flops"], result["saved_flops"]) == (430 * step, 70 * step)
    assert long["trunk"] == short["trunk"] not in (None, long["id"], short["id"])
    assert long["est_seconds"] == MEASURED.run_s(runs[0].config, 330)
    assert [code for code, _ in design_warnings(runs, FEWEST)] == []
    (reported,) = [message for code, message in design_warnings(branches(400, 60), FEWEST) if code == "short-branch"]
    assert reported.startswith("1 branches are as short as 1/7 of a trunk")
