"""An ensemble: every member is trained as it would be alone, whatever becomes of the others."""

import math
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import make_run, make_text

from scaling.train.config import RunConfig
from scaling.train.evaluate import Outcome
from scaling.train.loop import Progress, restore_state, steps_per_dispatch, train_run
from scaling.train.stacked import Share, StackedRun, pick, stack, stacked_program, train_stacked
from scaling.train.step import hyper_of, init_state, program_for

NEVER = (math.inf, math.inf)
# At this rate rounding stays rounding; at the recipe's own (0.025) these runs amplify it tenfold in every 20 steps
# from the 50th on.
CALM = 3e-3
CLOSE = 1e-5
RUNS = {
    "plain": make_run(steps=90, learning_rate=CALM),
    "seed": make_run(steps=90, learning_rate=CALM, seed=1),
    "rate": make_run(steps=90, learning_rate=CALM / 3, weight_decay=0.3, warmup=0.4),
    "short": make_run(steps=30, learning_rate=CALM),
    "long": make_run(steps=200, learning_rate=CALM, seed=2),
    "divergent": make_run(steps=90, learning_rate=1e30),
}


class Killed(BaseException):
    pass


def alone(config: RunConfig, folder: Path) -> tuple[Outcome, list[Progress]]:
    seen: list[Progress] = []
    return train_run(config, make_text(config), folder / config.id, NEVER, seen.append), seen


def together(
    configs: dict[str, RunConfig],
    folder: Path,
    checkpoint_s: tuple[float, float] = NEVER,
    hear: Callable[[Progress], None] = lambda _: None,
) -> tuple[dict[str, Outcome], dict[str, list[Progress]]]:
    outcomes: dict[str, Outcome] = {}
    seen: dict[str, list[Progress]] = {name: [] for name in configs}

    def member(name: str, config: RunConfig) -> StackedRun:
        def report(progress: Progress) -> None:
            seen[name].append(progress)
            hear(progress)

        def end(outcome: Outcome) -> None:
            assert name not in outcomes
            outcomes[name] = outcome

        return StackedRun(config, make_text(config), folder / config.id, report, end)

    train_stacked([member(*item) for item in configs.items()], checkpoint_s)
    return outcomes, seen


def test_each_member_takes_its_own_steps() -> None:
    """Fifty steps, loss by loss, of members of other seeds, rates and horizons; one diverges."""
    configs = [make_run(), make_run(seed=1), make_run(steps=77, learning_rate=CALM), RUNS["short"], RUNS["divergent"]]
    texts = [make_text(config) for config in configs]
    counts = np.array([min(50, config.steps) for config in configs], np.int32)
    batches = np.stack([text.batches.take(0, 50) for text in texts])
    states, losses = stacked_program(configs[0])(
        stack([init_state(config) for config in configs]),
        stack([hyper_of(config) for config in configs]),
        batches,
        counts,
    )
    assert losses.shape == (5, 50)
    for place, config in enumerate(configs):
        state, expected = program_for(config).train(init_state(config), hyper_of(config), batches[place], counts[place])
        np.testing.assert_allclose(losses[place, : counts[place]], expected[: counts[place]], rtol=CLOSE)
        mine = pick(states, np.int32(place))
        assert int(mine.step) == counts[place]
        if config is not RUNS["divergent"]:
            assert np.isfinite(expected).all()
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4), mine, state)
    assert not np.isfinite(losses[4]).all()


@pytest.mark.slow
def test_outcomes_and_progress_are_those_of_each_run_alone(tmp_path: Path) -> None:
    outcomes, seen = together(RUNS, tmp_path / "together")
    for name, config in RUNS.items():
        expected, progress = alone(config, tmp_path / "alone")
        assert outcomes[name].status == expected.status == ("diverged" if name == "divergent" else "done")
        assert [p.step for p in seen[name]] == [p.step for p in progress]
        np.testing.assert_allclose([p.loss for p in seen[name]], [p.loss for p in progress], rtol=CLOSE)
        for figure in ("loss", "loss_stderr", "loss_stderr_documents"):
            np.testing.assert_allclose(getattr(outcomes[name], figure), getattr(expected, figure), rtol=CLOSE)
        seconds = [p.seconds for p in seen[name]]
        assert seconds == sorted(seconds)


def kill_after(reports: int) -> Callable[[Progress], None]:
    heard: list[Progress] = []

    def hear(progress: Progress) -> None:
        heard.append(progress)
        if len(heard) > reports:
            raise Killed

    return hear


@pytest.mark.slow
def test_a_run_begun_in_an_ensemble_goes_on_alone_or_with_others(tmp_path: Path) -> None:
    size = steps_per_dispatch(RUNS["long"])
    begun = {name: RUNS[name] for name in ("long", "plain")}
    expected, _ = alone(RUNS["long"], tmp_path / "whole")
    for then in ("alone", "together"):
        folder = tmp_path / then
        with pytest.raises(Killed):
            together(begun, folder, (0.0, 0.0), kill_after(2))  # every dispatch is saved; dies in the second
        for config in begun.values():
            assert int(restore_state(folder / config.id, lambda: init_state(config)).step) == size  # noqa: B023
        if then == "alone":
            outcome, seen = alone(RUNS["long"], folder)
        else:
            # Beside a run that begins only now.
            outcomes, all_seen = together({"long": RUNS["long"], "seed": RUNS["seed"]}, folder)
            outcome, seen = outcomes["long"], all_seen["long"]
            assert all_seen["seed"][0].step == size
        assert seen[0].step == 2 * size
        assert outcome.loss == pytest.approx(expected.loss, rel=CLOSE)


def test_a_run_begun_alone_goes_on_in_an_ensemble(tmp_path: Path) -> None:
    config, size = RUNS["long"], steps_per_dispatch(RUNS["long"])
    with pytest.raises(Killed):
        train_run(config, make_text(config), tmp_path / config.id, (0.0, 0.0), kill_after(1))
    outcomes, seen = together({"long": config, "plain": RUNS["plain"]}, tmp_path)
    assert [seen["long"][0].step, seen["plain"][0].step] == [2 * size, size]
    assert outcomes["long"].loss == pytest.approx(alone(config, tmp_path / "whole")[0].loss, rel=CLOSE)


def test_what_cannot_be_stacked_is_refused(tmp_path: Path) -> None:
    other = make_run(model=make_run().model.__class__(**{**make_run().model.__dict__, "width": 24}))
    with pytest.raises(ValueError, match="one shape"):
        together({"plain": RUNS["plain"], "other": other}, tmp_path)
    with pytest.raises(ValueError, match="at most 16"):
        together({str(seed): make_run(seed=seed) for seed in range(17)}, tmp_path)


def test_shares_add_up_to_the_whole() -> None:
    now = 10.0
    share = Share(lambda: now, 3)
    now = 16.0
    assert share() == pytest.approx(2.0)
    share.leave()
    now = 20.0
    assert share() == pytest.approx(4.0)
    now = 23.0
    assert share() == pytest.approx(5.5)
    # 13 seconds in all: 2 of the one that left, and 5.5 of each of the others.
