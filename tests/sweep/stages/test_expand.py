"""A chain's runs: which model each begins from and uses, and which runs are impossible."""

from collections.abc import Callable

import pytest
from chains.small import CHAIN

from scaling.errors import InputError
from scaling.posttrain.config import StageConfig, read_stage_config
from scaling.sweep.plan.configs import Planned
from scaling.sweep.stages.chain_file import parse_chain
from scaling.sweep.stages.expand import expand_chain


def planned(*overrides: str, text: str = CHAIN) -> dict[str, list[Planned]]:
    return expand_chain(parse_chain(text, "small.yaml", overrides))


@pytest.fixture(scope="module")
def plan() -> dict[str, list[Planned]]:
    return planned()


def config_of(run: Planned) -> StageConfig:
    assert isinstance(run.config, StageConfig)
    return run.config


def test_each_begins_from_the_model_that_was_trained_on_the_most(plan: dict[str, list[Planned]]) -> None:
    base, target = plan["base"][0].id, plan["sft"][-1].id
    assert [config_of(run).sources["start"].id for run in plan["sft"]] == [base] * 3
    for stage in ("reward", "ppo", "dpo"):
        assert {config_of(run).sources["start"].id for run in plan[stage]} == {target}


def test_policies_follow_the_reward_models_of_their_pairs(plan: dict[str, list[Planned]]) -> None:
    rewards = {config_of(run).settings["pairs"]: run for run in plan["reward"]}
    for stage in ("best", "ppo"):
        for run in plan[stage]:
            config = config_of(run)
            assert config.sources["reward"].id == rewards[config.data["pairs"]].id
            assert run.role == rewards[config.data["pairs"]].role


def test_a_config_is_known_by_what_decides_its_result(plan: dict[str, list[Planned]]) -> None:
    config = config_of(plan["ppo"][0])
    again = read_stage_config(config.to_json(), "config.json")
    assert again == config
    assert again.id == config.id
    moved = read_stage_config(config.to_json().replace("reward/runs/", "elsewhere/runs/"), "config.json")
    assert moved.id == config.id
    other = read_stage_config(config.to_json().replace('"kl": 0.01', '"kl": 0.02'), "config.json")
    assert other.id != config.id


def test_every_part_of_the_flops_is_counted(plan: dict[str, list[Planned]]) -> None:
    from scaling.api.running.chains import plan_chain

    rows = plan_chain(parse_chain(CHAIN, "small.yaml")).to_dict()["runs"]
    assert [row["id"] for row in rows] == [run.id for runs in plan.values() for run in runs]
    for row in rows:
        if row["stage"] != "base":
            assert sum(row["flops_by_part"].values()) == pytest.approx(row["flops"], abs=1)
    (ppo, *_) = (row["flops_by_part"] for row in rows if row["stage"] == "ppo")
    assert all(ppo[part] > 0 for part in ("generation", "scoring", "reference", "critic", "update"))


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        (lambda text: text.replace("{pairs: [32, 64]}\n    target: {pairs: 128}\n  dpo", "{pairs: 99}\n  dpo"),
         r"small.yaml:\d+:\d+: no reward model of 99 pairs; there are some of 32, 64, 128"),
        (lambda text: text.replace("{examples: [64, 128]}", "{examples: 1M}"),
         r"small.yaml:\d+:\d+: examples: 1,000,000 are more than the \d+,\d+ that there are"),
        (lambda text: text.replace("from: base\n", "from: {from: base, size: 68k}\n"),
         r"small.yaml:\d+:\d+: no model there has this size; there are .* parameters"),
        (lambda text: text.replace("{examples: [64, 128]}", "{size: 68k, examples: 64}"),
         r"small.yaml:\d+:\d+: no model there has this size; there are .* parameters"),
        (lambda text: text.replace("prompts: 8", "prompts: 8k"),
         r"small.yaml:\d+:\d+: prompts: 8,000 are more than the \d+,\d+ that are held out"),
        (lambda text: text.replace("eval_tokens: 4096\n", "eval_tokens: 4096\nmicrobatches: 3\n"),
         r"rows is no multiple of data \* fsdp \* microbatches, 3; set recipe.batch"),
    ],
)  # fmt: skip
def test_what_is_impossible_is_told_with_its_place(change: Callable[[str], str], reported: str) -> None:
    text = change(CHAIN)
    assert text != CHAIN
    with pytest.raises(InputError, match=reported) as refused:
        planned(text=text)
    assert all(line.count("small.yaml:") == 1 for line in refused.value.errors)
