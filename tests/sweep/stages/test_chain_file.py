"""Files with stages: what they mean, and what is wrong with them, each with its place."""

from pathlib import Path

import pytest
from inprocess import scaling

from scaling.errors import InputError
from scaling.sweep.stages.chain_file import Pretraining, is_chain, parse_chain
from scaling.sweep.stages.spec import BestOfNStage, PpoStage, RewardStage, SftStage

CHAIN = """\
name: chat
model: {seq_len: 96, depth: 2, heads: 2}
corpus: sotu
stages:
  base: {fit: {sizes: [7k, 20k], tokens: 100k}}
  sft: {from: base, fit: {sizes: [7k, 20k], examples: [256, 1k], epochs: 2}, target: {size: 20k, examples: 4k}}
  reward: {from: sft, policy: {from: sft, size: 7k}, gold: reader, fit: {size: 20k, pairs: [128, 512], seeds: 2}}
  best: {stage: best_of_n, policy: {from: sft, size: 7k}, reward: reward, gold: reader, n: 16}
  ppo: {from: {from: sft, size: 7k}, reward: reward, lambda: 0.9, fit: {pairs: 512, kl: [0, 0.1]}}
"""


def violations(text: str, *overrides: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_chain(text, "chat.yaml", overrides)
    return list(caught.value.errors)


def changed(old: str, new: str) -> list[str]:
    assert old in CHAIN
    return violations(CHAIN.replace(old, new, 1))


def test_stages_come_in_order_each_with_its_keys() -> None:
    chain = parse_chain(CHAIN, "chat.yaml")
    kinds = [type(stage.spec) for stage in chain.stages]
    assert kinds == [Pretraining, SftStage, RewardStage, BestOfNStage, PpoStage]
    assert [stage.name for stage in chain.stages] == ["base", "sft", "reward", "best", "ppo"]
    sft = chain.stages[1].spec
    assert isinstance(sft, SftStage)
    points = [(point.seed, point.settings) for point in sft.fit[0].points()]
    assert len(points) == 4
    assert points[0] == (0, {"examples": 256, "epochs": 2.0})
    ppo = chain.stages[4].spec
    assert isinstance(ppo, PpoStage)
    assert ppo.given() == {"lam": 0.9}
    assert [point.settings["kl"] for point in ppo.fit[0].points()] == [0.0, 0.1]


def test_a_chain_is_a_mapping_with_stages() -> None:
    assert is_chain(CHAIN)
    assert not is_chain("name: chat\nmodel: {seq_len: 96}\n")
    assert not is_chain("- stages\n")


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        (
            "from: base",
            "from: basis",
            "chat.yaml:6:15: stages.sft.from: basis is no earlier stage (base) and no folder",
        ),
        (
            "reward: reward, gold",
            "reward: sft, gold",
            "chat.yaml:8:67: stages.best.reward: sft is no stage of a reward model",
        ),
        ("from: base", "from: ppo", "chat.yaml:6:15: stages.sft.from: the stage ppo comes later"),
        ("stage: best_of_n", "stage: best", "chat.yaml:8:9: stages.best: stage 'best' is none of pretrain, sft, "),
        (
            "gold: reader, fit",
            "gold: critic, fit",
            "chat.yaml:7:60: stages.reward.gold: there is no gold reward 'critic'; ",
        ),
        (
            "gold: reader, fit",
            "fit",
            "chat.yaml:7:11: stages.reward.gold: pairs that a policy writes need a gold reward",
        ),
        (
            "examples: 4k}",
            "examples: [4k, 8k]}",
            "chat.yaml:6:86: stages.sft.target: a target has one value of examples",
        ),
        (
            "pairs: [128, 512]",
            "pair: [128, 512]",
            "chat.yaml:7:85: stages.reward.fit.0: unknown key 'pair'; did you mean 'pairs'?",
        ),
        ("lambda: 0.9", "lambda: x", "chat.yaml:9:62: stages.ppo.lambda: 'x' is not a number such as 3e18, 15T or 40%"),
        ("lambda: 0.9", "top_p: 0.9", "chat.yaml:9:54: stages.ppo: unknown key 'top_p'"),
        ("lambda: 0.9", "top_k: 20", "chat.yaml:9:54: stages.ppo: unknown key 'top_k'"),
        ("n: 16", "n: 0", "chat.yaml:8:92: stages.best.n: '0' is not positive"),
        (
            "tokens: 100k",
            "token: 100k",
            "chat.yaml:5:34: stages.base.fit.0: unknown key 'token'; did you mean 'tokens'?",
        ),
        (
            "sizes: [7k, 20k], tokens",
            "sizes: [7k, 7k], tokens",
            "chat.yaml:5:28: stages.base.fit.0.sizes.1: is the same shape, ",
        ),
    ],
)
def test_what_is_wrong_has_its_place(old: str, new: str, reported: str) -> None:
    assert any(line.startswith(reported) for line in changed(old, new)), changed(old, new)


def test_stages_hold_out_the_same_prompts() -> None:
    files = CHAIN.replace("from: base", "data: {path: a.jsonl}, from: base").replace(
        "stage: best_of_n,", "stage: best_of_n, data: {path: b.jsonl, held_out: 0.2},"
    )
    (line,) = violations(files)
    assert line.startswith("chat.yaml:8:")
    assert "stages.best.data.held_out: 0.2 is not that of sft, 0.05" in line
    parse_chain(files.replace("held_out: 0.2", "held_out: 5%"), "chat.yaml")


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = CHAIN.replace("name: chat", "name: Chat!").replace("n: 16", "n: 1.5").replace("from: base", "from: basis")
    assert len(violations(wrong)) == 3


def test_pre_training_needs_a_model_and_a_corpus() -> None:
    assert changed("corpus: sotu\n", "") == [
        "chat.yaml:4:9: stages.base: pre-training needs the key 'corpus' of the chain"
    ]


@pytest.mark.parametrize("name", ["../base", "/tmp/base", "Base", "."])
def test_a_stages_name_is_that_of_a_folder(name: str) -> None:
    (line,) = violations(CHAIN.split("  sft:")[0].replace("  base:", f"  {name}:"))
    assert line.startswith(f"chat.yaml:5:3: stages.{name}: '{name}' cannot name a folder: ")


@pytest.mark.parametrize("kind", ["{a: b}", "[sft]", "true"])
def test_a_kind_is_a_word(kind: str) -> None:
    (line,) = violations(CHAIN.split("  sft:")[0].replace("{fit:", f"{{stage: {kind}, fit:"))
    assert line.startswith("chat.yaml:5:9: stages.base: stage ")


def test_stages_must_be_a_mapping() -> None:
    assert violations("name: chat\nstages: [sft]\n") == ["chat.yaml:2:9: stages: maps names to stages, not a list"]


def test_overrides_reach_into_stages() -> None:
    chain = parse_chain(CHAIN, "chat.yaml", ["stages.best.n=64", "corpus=python"])
    best = chain.stages[3].spec
    assert isinstance(best, BestOfNStage)
    assert best.n == 64
    assert chain.head.corpus is not None
    assert chain.head.corpus.name == "python"


@pytest.mark.parametrize(
    ("given", "said"), [(",", "--only: names no stage"), (" base , nowhere", "there is no stage nowhere")], ids=str
)
def test_stages_are_named_between_commas(given: str, said: str, tmp_path: Path) -> None:
    """Names that are left empty must not mean every stage."""
    (tmp_path / "small.yaml").write_text(CHAIN)
    done = scaling("run", tmp_path / "small.yaml", "--out", tmp_path / "out", "--only", given)
    assert (done.returncode, done.stderr.count("\n"), said in done.stderr) == (2, 1, True)
    assert not (tmp_path / "out").exists()
