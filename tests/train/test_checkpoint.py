"""Checkpoints: whatever happens to their files, a restored state is the one written, and damage is reported."""

import errno
import gc
import logging
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import make_run, make_text

from scaling.train.checkpoints.checkpoint import Checkpoints
from scaling.train.loop import train_run
from scaling.train.step import TrainState, init_state

# What Orbax leaves behind of a read that failed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
RUN = make_run()


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """It goes with the test that it is of, not with whichever runs later."""
    yield
    gc.collect()


def state_at(step: int) -> TrainState:
    """A state that differs in every leaf from those of other steps."""
    state = init_state(RUN)
    moved: TrainState = jax.tree.map(lambda leaf: leaf + np.asarray(step, leaf.dtype), state)
    return moved


def same(a: TrainState, b: TrainState) -> bool:
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(bytes(content))


def truncate(file: Path) -> None:
    with open(file, "r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


DAMAGES: dict[str, Callable[[Path], None]] = {"flipped": flip, "torn": truncate, "missing": Path.unlink}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    for step in (1, 2, 3):
        Checkpoints(folder).save(state_at(step))
    return folder


def test_the_newest_two_are_kept_and_the_newest_comes_back(written: Path) -> None:
    assert Checkpoints(written).steps() == [int(state_at(step).step) for step in (2, 3)]
    found = Checkpoints(written).restore(init_state(RUN))
    assert found is not None
    assert same(found, state_at(3))


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file_of_the_newest_may_be_damaged(
    written: Path, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    newest, named = written / "3", 0
    files = [file.relative_to(written) for file in sorted(newest.rglob("*")) if file.is_file() and file.stat().st_size]
    assert len(files) > 3
    for number, file in enumerate(files):
        folder = tmp_path / str(number) / "checkpoints"
        shutil.copytree(written, folder)
        shutil.copy(written.with_suffix(".jsonl"), folder.with_suffix(".jsonl"))
        DAMAGES[damage](folder / file)
        caplog.clear()
        found = Checkpoints(folder).restore(init_state(RUN))
        assert found is not None
        reported = f"{folder}: the checkpoint of step 3 " in caplog.text
        assert same(found, state_at(2) if reported else state_at(3)), file
        assert (folder.with_name("damaged") / "3").exists() == reported
        named += reported
    assert named, "none of its files matters"


def test_one_that_is_gone_is_named(written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "checkpoints"
    shutil.copytree(written, folder)
    shutil.copy(written.with_suffix(".jsonl"), folder.with_suffix(".jsonl"))
    shutil.rmtree(folder / "3")
    found = Checkpoints(folder).restore(init_state(RUN))
    assert found is not None
    assert same(found, state_at(2))
    assert "the checkpoint of step 3 is missing" in caplog.text
    shutil.rmtree(folder)
    caplog.clear()
    assert Checkpoints(folder).restore(init_state(RUN)) is None
    assert "the checkpoint of step 3 is missing" in caplog.text


def test_a_run_whose_newest_is_damaged_ends_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Killed(BaseException):
        pass

    def die(_: object) -> None:
        if len(Checkpoints(folder).steps()) == attempt:
            raise Killed

    run = make_run(steps=400)
    text, folder = make_text(run), tmp_path / "checkpoints"
    whole = train_run(run, text, tmp_path / "whole" / "checkpoints", (math.inf, math.inf), lambda _: None)
    for attempt in (1, 2):  # noqa: B007
        with pytest.raises(Killed):
            train_run(run, text, folder, (0.0, 0.0), die)
    newest = folder / str(Checkpoints(folder).steps()[-1])
    flip(max((file for file in newest.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size))
    with caplog.at_level(logging.WARNING):
        resumed = train_run(run, text, folder, (math.inf, math.inf), lambda _: None)
    assert "is not what was written" in caplog.text or "cannot be read" in caplog.text
    assert (resumed.loss, resumed.loss_stderr) == (whole.loss, whole.loss_stderr)


def test_a_full_disk_leaves_the_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "checkpoints"
    Checkpoints(folder).save(state_at(1))
    real = shutil.disk_usage

    def full(path: Path) -> object:
        return real(path)._replace(free=1000)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", full)
        with pytest.raises(OSError, match="MiB free") as violation:
            Checkpoints(folder).save(state_at(2))
    assert violation.value.errno == errno.ENOSPC
    found = Checkpoints(folder).restore(init_state(RUN))
    assert found is not None
    assert same(found, state_at(1))
