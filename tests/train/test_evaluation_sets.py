"""Losses on further held-out texts: each is what it would be as the run's own, and changes no other."""

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import DATA, make_run, make_text

from scaling.data.batches import HeldOutWindows, RunText
from scaling.train import evaluate
from scaling.train.config import EvaluationSet, RunConfig, read_config
from scaling.train.evaluate import Outcome, evaluate_run
from scaling.train.loop import train_run
from scaling.train.stacked import StackedRun, train_stacked
from scaling.train.step import init_state

RUN = make_run(steps=20)
TEXT = make_text(RUN)
SETS = {"short": (11, 0), "long": (200, 1)}


def windows(count: int, seed: int) -> HeldOutWindows:
    random = np.random.default_rng(seed)
    ids = random.integers(97, 123, (count, RUN.model.seq_len + 1)).astype(np.int32)
    return HeldOutWindows(ids, np.arange(count, dtype=np.int64) // 5)


def with_sets(text: RunText) -> RunText:
    return dataclasses.replace(text, evaluation_sets={name: windows(*made) for name, made in SETS.items()})


def trained(text: RunText, folder: Path) -> Outcome:
    return train_run(RUN, text, folder / "checkpoints", (math.inf, math.inf), lambda _: None)


def check(found: Outcome, state_text: RunText) -> None:
    """Each set's loss is that of a run whose own held-out text it is, to the bit."""
    state = init_state(RUN)
    for name, held_out in state_text.evaluation_sets.items():
        alone = evaluate_run(RUN, state, RunText(state_text.batches, held_out.windows, held_out.documents), math.nan)
        loss = found.evaluation_sets[name]
        assert (loss.mean, loss.stderr, loss.stderr_documents) == (
            alone.loss,
            alone.loss_stderr,
            alone.loss_stderr_documents,
        )


def test_each_set_is_measured_as_a_runs_own_text_and_changes_nothing(tmp_path: Path) -> None:
    text = with_sets(TEXT)
    found = evaluate_run(RUN, init_state(RUN), text, math.nan)
    assert list(found.evaluation_sets) == list(SETS)
    check(found, text)
    without, with_them = trained(TEXT, tmp_path / "without"), trained(text, tmp_path / "with")
    assert (without.loss, without.loss_stderr) == (with_them.loss, with_them.loss_stderr)
    assert without.evaluation_sets == {}
    assert all(np.isfinite(loss.mean) for loss in with_them.evaluation_sets.values())


def test_the_check_finds_padding_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last call is filled up: were its fill counted, the means would be others."""
    text, usual = with_sets(TEXT), evaluate._loss

    def counts_fill(losses: np.ndarray, held_out: HeldOutWindows) -> evaluate.HeldOutLoss:
        more = HeldOutWindows(*(np.concatenate([part, part[:1]]) for part in (held_out.windows, held_out.documents)))
        return usual(np.concatenate([losses, losses[:1]]), more)

    monkeypatch.setattr(evaluate, "_loss", counts_fill)
    found = evaluate_run(RUN, init_state(RUN), text, math.nan)
    monkeypatch.undo()
    with pytest.raises(AssertionError):
        check(found, text)


def test_stacked_runs_are_evaluated_alike(tmp_path: Path) -> None:
    text, ended = with_sets(TEXT), dict[int, Outcome]()
    members = [
        StackedRun(
            dataclasses.replace(RUN, seed=seed),
            text,
            tmp_path / str(seed),
            lambda _: None,
            lambda outcome, seed=seed: ended.update({seed: outcome}),
        )
        for seed in (0, 1)
    ]
    train_stacked(members, (math.inf, math.inf))
    alone = trained(text, tmp_path / "alone")
    for name in SETS:
        assert ended[0].evaluation_sets[name].mean == pytest.approx(alone.evaluation_sets[name].mean, rel=1e-4)
        assert ended[0].evaluation_sets[name].mean != ended[1].evaluation_sets[name].mean


def test_a_config_without_sets_is_what_it_was() -> None:
    assert "evaluate" not in RUN.to_json()
    sets = {"b": EvaluationSet({"name": "sotu"}, {"sha256": "0"}, 64), "a": EvaluationSet({}, {}, 32)}
    some = dataclasses.replace(RUN, data=dataclasses.replace(DATA, evaluate=sets))
    assert some.id != RUN.id
    assert some.stream == RUN.stream, "runs that differ in what they are evaluated on are paired"
    back: RunConfig = read_config(some.to_json(), "config.json")
    assert (back, back.id) == (some, some.id)
    assert list(back.data.evaluation_sets) == ["a", "b"]


ON_A_MESH = """
import math
import os
import subprocess
import sys
from test_evaluation_sets import RUN, TEXT, with_sets
from scaling.llama.parallelism import Parallelism
from scaling.llama.sharding import Execution
from scaling.train.evaluate import evaluate_run
from scaling.train.placement import mesh_of_devices
from scaling.train.step import init_state

text = with_sets(TEXT)
mesh = mesh_of_devices(Parallelism(2, 2, 1))
alone = evaluate_run(RUN, init_state(RUN), text, math.nan)
found = evaluate_run(RUN, init_state(RUN, mesh), text, math.nan, Execution(mesh=mesh))
for name, loss in alone.evaluation_sets.items():
    other = found.evaluation_sets[name]
    assert math.isclose(loss.mean, other.mean, rel_tol=1e-5), (name, loss, other)
    assert math.isclose(loss.stderr_documents, other.stderr_documents, rel_tol=1e-3), (name, loss, other)
print("same")
"""


def test_on_a_mesh_the_losses_are_the_same() -> None:
    """In a process of its own, as devices are counted when JAX starts."""
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join(map(str, (tests.parent, tests / "support", tests / "train")))
    env = {**os.environ, "PYTHONPATH": paths, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run([sys.executable, "-c", ON_A_MESH], env=env, capture_output=True, text=True, timeout=300)
    assert done.stdout == "same\n", done.stderr
