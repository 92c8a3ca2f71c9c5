"""A sweep on a mesh: what cannot be split is reported; one worker, or two processes, train the runs of one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scaling.errors import InputError
from scaling.llama.parallelism import Parallelism
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.rank import ALONE, Rank, rank_from_jax, this_rank
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.plan.estimate import describe
from scaling.sweep.plan.expand import PlannedRun, expand
from scaling.sweep.spec.arrangement import Arrangement, arrangement_of
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.workers.supervisor import train_runs

ROOT = Path(__file__).parents[3]
SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
recipe: {name: llama, batch_tokens: 256, learning_rate: 0.001}
fit:
  - {sizes: [{width: 16, depth: 1}, {width: 24, depth: 1}], flops: 1e9}
  - {sizes: [{width: 16, depth: 1}], flops: [4e8, 6e8], trunk: true}
target: {size: {width: 24, depth: 1}, flops: 2e9}
schedule: wsd
eval_tokens: 4k
"""
MESH = "mesh={data: 2, fsdp: 2, tensor: 2}"


def planned(source: str, *overrides: str) -> list[PlannedRun]:
    spec = parse_sweep(source, "x.yaml", overrides)
    return expand(spec, load_text(spec.corpus))


def violations(*overrides: str) -> list[str]:
    with pytest.raises(InputError) as error:
        planned(SWEEP + "mesh: {data: 4}\n", *overrides)
    return list(error.value.errors)


def test_sizes_that_a_mesh_cannot_split_are_reported_where_they_stand() -> None:
    assert violations("mesh.fsdp=12") == [
        "x.yaml:6:14: fit.0.sizes.0: the mesh cannot split it: width 16 is not a multiple of fsdp * tensor 12",
        "x.yaml:7:14: fit.1.sizes.0: the mesh cannot split it: width 16 is not a multiple of fsdp * tensor 12",
    ]
    assert violations("mesh.tensor=4")[0] == (
        "x.yaml:6:14: fit.0.sizes.0: the mesh cannot split it: heads 2 is not a multiple of tensor 4, "
        "kv_heads 2 is not a multiple of tensor 4"
    )
    assert len(violations("mesh.tensor=4")) == 4


def test_batches_that_cannot_be_split_are_reported_once_a_size() -> None:
    reported = violations("microbatches=3")
    assert len(reported) == 2
    assert reported[0].startswith("x.yaml:11:7: at ")
    assert reported[0].endswith(
        "parameters batches (of 8 sequences) are not multiples of data * fsdp * microbatches 12; "
        "set recipe.batch_tokens to 384 or a multiple of it"
    )


@pytest.mark.parametrize("wrong", ["mesh.data=0", "mesh.pipeline=2", "remat=some", "microbatches=1.5", "mesh=8"])
def test_what_is_no_arrangement_is_one_violation(wrong: str) -> None:
    assert len(violations(wrong)) == 1


def test_how_runs_are_carried_out_is_not_what_they_are(tmp_path: Path) -> None:
    plain, spread = (parse_sweep(SWEEP, "x.yaml", given) for given in ((), (MESH, "microbatches=2", "remat=full")))
    text = load_text(plain.corpus)
    assert [run.id for run in expand(plain, text)] == [run.id for run in expand(spread, text)]
    sweep = SweepFolder(tmp_path / "out")
    for spec in (plain, spread, plain, spread):
        sweep.prepare(spec.canonical(), SWEEP, expand(spec, text))
        assert arrangement_of(sweep.sweep()) == spec.arrangement
    assert spread.arrangement.parallelism == Parallelism(2, 2, 2)
    assert plain.arrangement == Arrangement()
    other = parse_sweep(SWEEP, "x.yaml", (MESH, "dtype=bfloat16"))
    with pytest.raises(InputError, match=r"holds another sweep \(different: dtype\)"):
        sweep.prepare(other.canonical(), SWEEP, expand(other, text))


def test_several_workers_with_a_mesh_are_refused(tmp_path: Path) -> None:
    spec = parse_sweep(SWEEP, "x.yaml", (MESH,))
    plan = expand(spec, load_text(spec.corpus))
    sweep = SweepFolder(tmp_path / "out")
    sweep.prepare(spec.canonical(), SWEEP, plan)
    with pytest.raises(InputError, match="`workers` 2: a sweep with a mesh has one worker"):
        train_runs(sweep, "fit", 2, lambda _: None)
    with pytest.raises(InputError, match="`workers` 2: a sweep with a mesh has one worker"):
        describe(plan, 2, None, 5, spec.arrangement)


def test_the_plan_tells_the_memory_of_a_device() -> None:
    spec = parse_sweep(SWEEP, "x.yaml", (MESH,))
    plan = expand(spec, load_text(spec.corpus))
    alone, spread = describe(plan, None, None, 5), describe(plan, None, None, 5, spec.arrangement)
    assert (alone["mesh"], spread["mesh"]) == (None, {"data": 2, "fsdp": 2, "tensor": 2})
    assert spread["workers"] == 1
    for one, shared in zip(alone["runs"], spread["runs"], strict=True):
        assert shared["state_bytes"] == pytest.approx(one["state_bytes"] / 4, rel=0.01)
        assert shared["memory_bytes"] < one["memory_bytes"] / 2


def test_the_place_among_processes_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        monkeypatch.delenv(name, raising=False)
    assert rank_from_jax() is None
    assert this_rank(mesh=False) == ALONE
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "localhost:1")
    with pytest.raises(InputError, match="JAX_NUM_PROCESSES must be a number"):
        this_rank(mesh=True)
    monkeypatch.setenv("JAX_NUM_PROCESSES", "4")
    monkeypatch.setenv("JAX_PROCESS_ID", "4")
    with pytest.raises(InputError, match="they are '4' and '4'"):
        this_rank(mesh=True)
    monkeypatch.setenv("JAX_PROCESS_ID", "3")
    assert this_rank(mesh=True) == Rank(3, 4)
    with pytest.raises(InputError, match="JAX_NUM_PROCESSES is 4, but the sweep has no mesh"):
        this_rank(mesh=False)


def start(folder: Path, devices: int, *overrides: str, **more: str) -> "subprocess.Popen[str]":
    """``scaling run`` where the CPU is taken for several devices."""
    file = folder.parent / "sweep.yaml"
    file.write_text(SWEEP)
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        **more,
    }
    command = [sys.executable, "-m", "scaling", "run", str(file), *overrides, "--out", str(folder), "--fit-only"]
    # Too few runs for a forecast, which is reported when all are trained.
    return subprocess.Popen(
        [*command, "--json"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def losses(folder: Path) -> dict[str, float]:
    sweep = SweepFolder(folder)
    statuses: dict[str, dict[str, Any]] = {run_id: sweep.run(run_id).status() for run_id in sweep.runs("fit")}
    assert {status["state"] for status in statuses.values()} == {"done"}
    return {run_id: status["loss"] for run_id, status in statuses.items()}


@pytest.mark.slow
def test_a_mesh_and_two_processes_train_the_runs_of_one_device(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        team = {"JAX_COORDINATOR_ADDRESS": f"localhost:{free.getsockname()[1]}", "JAX_NUM_PROCESSES": "2"}
    folders = [tmp_path / name / "out" for name in ("one", "mesh", "team")]
    for folder in folders:
        folder.parent.mkdir()
    ended(start(folders[0], 1))
    code, _, errors = ended(start(folders[1], 1, MESH))
    assert code == 2
    assert "the mesh (data 2, fsdp 2, tensor 2) has 8 devices; JAX finds 1 cpu device here" in errors
    ended(start(folders[1], 8, MESH))
    processes = [start(folders[2], 4, MESH, **team, JAX_PROCESS_ID=str(index)) for index in (0, 1)]
    (_, _, _), (code, output, errors) = (ended(process) for process in processes)
    assert code == 0, errors
    assert json.loads(output) == {"folder": str(folders[2]), "process": 1, "warnings": []}
    one, mesh, both = map(losses, folders)
    assert len(one) == 4
    for run_id, loss in one.items():
        print(f"{run_id}: mesh {mesh[run_id] - loss:+.1e}, two processes {both[run_id] - loss:+.1e}")
    assert mesh == pytest.approx(one, abs=1e-4)
    assert both == pytest.approx(one, abs=1e-4)
