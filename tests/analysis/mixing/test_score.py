"""The score of a frozen choice: against runs that say what they say, and none of another table or text."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mixing.planted import Planted

from analysis.errors import InputError
from analysis.mixing.choice import Choice, read_choice
from analysis.mixing.choose import choose
from analysis.mixing.points import MixturePoints
from analysis.mixing.reading import read_mixtures
from analysis.mixing.request import ChoiceRequest
from analysis.mixing.score import read_choice_score, score_choice
from analysis.mixing.table import MixtureTable

LAW = Planted()
TARGET = (1e7, 2e8)
NAMES = ("chosen", "proportional", "uniform", "best_run")


@pytest.fixture(scope="module")
def table() -> MixtureTable:
    return read_mixtures(LAW.table(), unique={"code": 1e9, "docs": 3e9, "web": 6e9})


@pytest.fixture(scope="module")
def choice(table: MixtureTable) -> Choice:
    return choose(table, ChoiceRequest(*TARGET, objective={"code": 3, "web": 1}, draws=50))


def trained(
    choice: Choice, table: MixtureTable, names: tuple[str, ...] = NAMES, factor: float = 1.0, seeds: int = 2
) -> MixtureTable:
    """The table with runs of some candidates, whose losses are as forecast times a factor for the chosen one."""
    rows = [
        (choice.candidates[name], factor if name == "chosen" else 1.0, seed) for name in names for seed in range(seeds)
    ]
    n = len(rows)
    targets = replace(
        table.fit,
        shares=np.array([[round(each.shares[name], 6) for name in table.fit.sources] for each, _, _ in rows]),
        losses=np.array(
            [
                [each.losses[name].value * times * (1 + 0.01 * seed) for name in table.fit.domains]
                for each, times, seed in rows
            ]
        ),
        params=np.full(n, TARGET[0]),
        tokens=np.full(n, TARGET[1]),
        flops=np.full(n, 6 * TARGET[0] * TARGET[1]),
        run_ids=tuple(f"run-{number}" for number in range(n)),
        seeds=np.array([seed for _, _, seed in rows]),
    )
    return replace(table, targets=targets)


def test_a_forecast_that_comes_true_has_no_error(choice: Choice, table: MixtureTable) -> None:
    score = score_choice(choice, trained(choice, table, seeds=1))
    assert score.domain_error == pytest.approx(0, abs=1e-12)
    assert score.contrast_error == pytest.approx(0, abs=1e-12)
    assert score.level_error == pytest.approx(0, abs=1e-12)
    assert (score.coverage, score.ranked, score.right) == (1, 1, 1)
    assert score.best == "chosen"
    assert score.regret == 0
    assert score.untrained == ()
    assert all(each.inside and each.actual == pytest.approx(each.gain) for each in score.decisions)


def test_errors_are_of_the_mean_over_seeds(choice: Choice, table: MixtureTable) -> None:
    score = score_choice(choice, trained(choice, table))
    for name, each in score.candidates.items():
        assert len(each.runs) == 2
        for domain, loss in each.losses.items():
            forecast = choice.candidates[name].losses[domain]
            assert loss.actual == pytest.approx(1.005 * forecast.value)
            assert loss.error == pytest.approx(1 / 1.005 - 1)
            assert loss.covered == (forecast.low <= loss.actual <= forecast.high)
    assert score.domain_error == pytest.approx(1 - 1 / 1.005)
    assert score.level_error == pytest.approx(1 - 1 / 1.005)
    assert score.contrast_error == pytest.approx(0, abs=1e-12)  # all are off alike


def test_a_chosen_mixture_that_is_worse_is_told(choice: Choice, table: MixtureTable) -> None:
    score = score_choice(choice, trained(choice, table, factor=2.0))
    assert score.best != "chosen"
    assert score.regret is not None
    assert score.regret > 0.1
    assert score.right == 0
    assert [each.other for each in score.decisions] == ["proportional", "uniform", "best_run"]
    for each in score.decisions:
        assert not each.inside
        assert each.brier == pytest.approx(choice.p_better[each.other] ** 2)


def test_candidates_that_were_not_trained_are_left_out(choice: Choice, table: MixtureTable) -> None:
    score = score_choice(choice, trained(choice, table, ("uniform",)))
    assert list(score.candidates) == ["uniform"]
    assert score.untrained == ("chosen", "proportional", "best_run")
    assert (score.regret, score.contrast_error, score.ranked, score.brier) == (None, None, None, None)


def test_the_objective_is_weighed_as_frozen(choice: Choice, table: MixtureTable) -> None:
    each = score_choice(choice, trained(choice, table, seeds=1)).candidates["uniform"]
    assert each.objective.actual == pytest.approx(0.75 * each.losses["code"].actual + 0.25 * each.losses["web"].actual)


def test_a_table_without_roles_has_its_targets_by_size_and_length(choice: Choice, table: MixtureTable) -> None:
    targets = trained(choice, table).targets
    assert targets is not None
    joined = replace(table, fit=joined_points(table.fit, targets))
    assert score_choice(choice, joined).candidates == score_choice(choice, trained(choice, table)).candidates


def joined_points(first: MixturePoints, second: MixturePoints) -> MixturePoints:
    names = ("shares", "losses", "params", "tokens", "flops", "seeds")
    both = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names}
    return replace(first, run_ids=first.run_ids + second.run_ids, **both)


def test_another_table_is_refused(choice: Choice, table: MixtureTable) -> None:
    other = trained(choice, table)
    other = replace(other, fit=replace(table.fit, losses=table.fit.losses * 1.001))
    with pytest.raises(InputError, match="not the table that the choice was made from"):
        score_choice(choice, other)


def test_another_text_is_refused(choice: Choice, table: MixtureTable) -> None:
    frozen = replace(choice, held_out={"code": "a" * 64})
    assert score_choice(frozen, replace(trained(choice, table), held_out={"code": "a" * 64}))
    with pytest.raises(InputError, match=r"the losses on code are on another held-out text \(b{12}\)"):
        score_choice(frozen, replace(trained(choice, table), held_out={"code": "b" * 64}))


def test_a_target_that_was_not_trained_is_refused(choice: Choice, table: MixtureTable) -> None:
    other = trained(choice, table)
    assert other.targets is not None
    elsewhere = replace(other, targets=replace(other.targets, params=other.targets.params * 2))
    for each in (table, elsewhere):
        with pytest.raises(InputError, match="no finished run of a candidate"):
            score_choice(choice, each)


def test_a_score_is_read_as_it_was_written(choice: Choice, table: MixtureTable, tmp_path: Path) -> None:
    choice.freeze(tmp_path / "choice.json")
    score = score_choice(read_choice(tmp_path / "choice.json"), trained(choice, table, factor=1.01))
    score.write(tmp_path / "choice_score.json")
    assert read_choice_score(tmp_path / "choice_score.json") == score
    assert score.choice_sha256 == score_choice(choice, trained(choice, table)).choice_sha256
    (tmp_path / "choice_score.json").write_text("{}")
    with pytest.raises(InputError, match="score of a choice"):
        read_choice_score(tmp_path / "choice_score.json")


def test_its_text_has_every_candidate(choice: Choice, table: MixtureTable) -> None:
    text = str(score_choice(choice, trained(choice, table, factor=1.2)))
    for name in NAMES:
        assert name in text
    assert "which was wrong" in text
