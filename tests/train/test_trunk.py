"""Branches of a trunk are, to the bit, the runs that they would have been by themselves."""

import dataclasses
import math
from pathlib import Path

import pytest
from tiny import make_run, make_text

from scaling.train.config import RunConfig
from scaling.train.evaluate import Outcome
from scaling.train.loop import Progress, train_run
from scaling.train.trunk import Begin, train_trunk

NEVER = (math.inf, math.inf)
ALWAYS = (0.0, 0.0)


def branch(steps: int, seed: int = 0) -> RunConfig:
    """Of a trunk of 300 steps that warms up over 12."""
    run = make_run(steps=300, seed=seed)
    schedule = dataclasses.replace(run.recipe.schedule, warmup=12 / steps)
    return dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, schedule=schedule), steps=steps, trunk=300)


def silent(_: RunConfig, __: Progress) -> None:
    pass


def train(branches: list[RunConfig], folder: Path, checkpoint_s: tuple[float, float] = NEVER) -> dict[int, Outcome]:
    outcomes: dict[int, Outcome] = {}

    def leave(config: RunConfig, begin: Begin) -> None:
        own = folder / str(config.steps)
        outcomes[config.steps] = train_run(config, make_text(config), own, checkpoint_s, lambda _: None, begin)

    train_trunk(branches, make_text, folder / "trunk", checkpoint_s, silent, leave)
    return outcomes


def alone(config: RunConfig, folder: Path) -> Outcome:
    return train_run(config, make_text(config), folder / "alone", NEVER, lambda _: None)


def same(one: Outcome, other: Outcome) -> bool:
    return (one.loss, one.loss_stderr) == (other.loss, other.loss_stderr)


def test_a_branch_is_the_run_by_itself_to_the_bit(tmp_path: Path) -> None:
    branches = [branch(300), branch(80), branch(150)]
    outcomes = train(branches, tmp_path)
    assert list(outcomes) == [80, 150, 300], "the shortest leaves first"
    for config in branches:
        assert same(outcomes[config.steps], alone(config, tmp_path))
    assert outcomes[80].loss > outcomes[300].loss


def test_a_trunk_goes_on_from_its_checkpoint_or_begins_again_for_a_shorter_branch(tmp_path: Path) -> None:
    whole = train([branch(80), branch(300)], tmp_path / "whole")

    class Killed(BaseException):
        pass

    def die(config: RunConfig, progress: Progress) -> None:
        if config.steps == 300 and progress.step > 120:
            raise Killed

    def leave(config: RunConfig, begin: Begin) -> None:
        assert config.steps == 80
        begin()

    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        train_trunk([branch(80), branch(300)], make_text, folder / "trunk", ALWAYS, die, leave)
    assert same(train([branch(300)], folder)[300], whole[300])
    assert same(train([branch(80)], folder)[80], whole[80])


def test_the_steps_of_a_trunk_are_taken_once(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    branches = [branch(80), branch(300)]
    train_trunk(
        branches,
        make_text,
        tmp_path / "trunk",
        NEVER,
        lambda config, progress: seen.append((config.steps, progress.step)),
        lambda config, begin: seen.append((config.steps, int(begin().step))),
    )
    assert [(config.steps, config.branch_step) for config in branches] == [(80, 56), (300, 210)]
    assert seen == [(80, 56), (80, 56), (300, 120), (300, 184), (300, 210), (300, 210)]


def test_who_shares_a_trunk() -> None:
    one, other = branch(80), branch(150)
    assert one.trunk_id == other.trunk_id
    assert one.stream == other.stream
    assert len({one.id, other.id, one.trunk_id}) == 3
    assert branch(80, seed=1).trunk_id != one.trunk_id
    by_itself = make_run()
    assert by_itself.trunk_id == by_itself.id
    assert by_itself.branch_step == 0
