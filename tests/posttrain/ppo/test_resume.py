"""A run that is stopped between iterations, or killed in the middle of one, ends as it would have, to the bit."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from posttraining import tiny_ppo

import scaling.posttrain.ppo.rollout
from scaling.posttrain.ppo.loop import run_ppo
from scaling.posttrain.stage import StageOutcome
from scaling.train.checkpoints import timer
from scaling.train.stop import Stopped, request_stop, stopping_on_signals

ROOT = Path(__file__).parents[3]
STEPS = 4

# Killed in the third iteration, after its answers are sampled; checkpoints are written after every iteration.
PROGRAM = """
import os, signal, sys
from pathlib import Path
import scaling.posttrain.ppo.rollout as rollout
from scaling.posttrain.ppo.loop import run_ppo
from scaling.train.checkpoints import timer
from posttraining import tiny_ppo

timer.SAVE_SHARE = 0
estimate, calls = rollout.estimate, []

def killed(*arguments, **options):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return estimate(*arguments, **options)

rollout.estimate = killed
run_ppo(tiny_ppo.ppo_run(Path(sys.argv[1]), steps=4, checkpoint_s=(0.0, 0.0)))
"""

Whole = tuple[StageOutcome, list[dict[str, float]]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    rows: list[dict[str, float]] = []
    return run_ppo(tiny_ppo.ppo_run(tmp_path_factory.mktemp("whole"), rows.append, steps=STEPS)), rows


def table(outcome: StageOutcome) -> tuple[Any, ...]:
    assert outcome.parameters is not None
    digests = {n: hashlib.sha256(array.tobytes()).hexdigest() for n, array in outcome.parameters.items()}
    return outcome.status, outcome.row, outcome.curve, outcome.samples, digests


def test_stopped_between_iterations(whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer, "SAVE_SHARE", 0)
    rows: list[dict[str, float]] = []

    def report(row: dict[str, float]) -> None:
        rows.append(row)
        request_stop()

    with stopping_on_signals(), pytest.raises(Stopped):
        run_ppo(tiny_ppo.ppo_run(tmp_path, report, steps=STEPS))
    assert [row["step"] for row in rows] == [1, 2]  # a request is read before a step, and obeyed after it
    outcome = run_ppo(tiny_ppo.ppo_run(tmp_path, rows.append, steps=STEPS))
    assert table(outcome) == table(whole[0])
    assert rows == whole[1]


def test_killed_in_the_middle_of_an_iteration(whole: Whole, tmp_path: Path) -> None:
    path = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}"
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    rows: list[dict[str, float]] = []
    outcome = run_ppo(tiny_ppo.ppo_run(tmp_path, rows.append, steps=STEPS))
    assert [row["step"] for row in rows] == [3, 4]
    assert table(outcome) == table(whole[0])
    assert rows == whole[1][2:]


def test_answers_that_follow_the_process_rather_than_the_step_are_seen(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: prompts counted from where the process began."""
    prompts_of, begun = scaling.posttrain.ppo.rollout.prompts_of, []

    def wrong(prompts: Any, seed: int, iteration: int, count: int) -> Any:
        begun.append(iteration)
        return prompts_of(prompts, seed, iteration - begun[0], count)

    monkeypatch.setattr(timer, "SAVE_SHARE", 0)
    with stopping_on_signals(), pytest.raises(Stopped):
        run_ppo(tiny_ppo.ppo_run(tmp_path, lambda _: request_stop(), steps=STEPS))
    monkeypatch.setattr(scaling.posttrain.ppo.rollout, "prompts_of", wrong)
    assert table(run_ppo(tiny_ppo.ppo_run(tmp_path, steps=STEPS))) != table(whole[0])
