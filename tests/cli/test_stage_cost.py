"""``scaling cost --stage``: FLOPs by part, hours of their sum, and what is refused."""

import json
from typing import Any

import pytest

from scaling.cli import main
from scaling.llama.zoo import find
from scaling.posttrain.flops import Lengths, forward_flops, generation_flops, score_flops

ON = ("--model", "llama3-8b", "--rows", "1000", "--device", "h100")
MODEL, REWARD = find("llama3-8b").config, find("llama3-70b").config


def run(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as exit_info:
        main(["cost", *options, "--json"])
    assert exit_info.value.code == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def lines(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    with pytest.raises(SystemExit) as exit_info:
        main(["cost", *options])
    captured = capsys.readouterr()
    assert (exit_info.value.code, captured.out) == (2, "")
    return [line.removeprefix("error: ") for line in captured.err.splitlines()]


def test_examples(capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "--stage", "sft", *ON, "--epochs", "2", "--prompt-tokens", "100", "--answer-tokens", "300")
    update = 2 * 1000 * 3 * forward_flops(MODEL, 400)
    assert found["stage_flops"] == {"generation": 0, "scoring": 0, "reference": 0, "critic": 0, "update": update}
    assert found["flops"] == update
    assert (found["stage"], found["rows"], found["epochs"]) == ("sft", 1000, 2)
    assert (found["prompt_tokens"], found["answer_tokens"]) == (100, 300)
    assert found["device_hours"] == pytest.approx(update / (989e12 * found["mfu"]) / 3600, rel=1e-3)


def test_ppo_against_a_larger_reward_model(capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "--stage", "ppo", *ON, "--reward", "llama3-70b")
    parts, lengths = found["stage_flops"], Lengths(256, 256)
    assert parts["generation"] == pytest.approx(1000 * generation_flops(MODEL, lengths))
    assert parts["scoring"] == pytest.approx(1000 * score_flops(REWARD, 512))
    assert parts["critic"] == pytest.approx(7 * parts["scoring"])
    assert parts["update"] == pytest.approx(6000 * forward_flops(MODEL, 512))
    assert found["flops"] == pytest.approx(sum(parts.values()))


def test_pairs_that_a_policy_writes(capsys: pytest.CaptureFixture[str]) -> None:
    there, written = (run(capsys, "--stage", "dpo", *ON, *more) for more in ((), ("--policy", "llama3-70b")))
    assert there["stage_flops"]["generation"] == 0
    assert written["flops"] - there["flops"] == pytest.approx(2000 * generation_flops(REWARD, Lengths(256, 256)))


def test_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cost", "--stage", "best_of_n", *ON])
    text = capsys.readouterr().out.splitlines()
    assert text[0] == "best_of_n     1k answers of 256 + 256 tokens"
    assert text[1] == "spent on      generation 51%, scoring 49%"
    assert text[2].endswith("generation attains less, so the hours are the least")
    assert text[3].startswith("FLOPs ")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ("--stage", "sft", "--device", "h100"),
            "--stage sft needs --model, a published Llama, and --rows: how many examples",
        ),
        (
            ("--stage", "sft", *ON, "--reward", "llama3-8b"),
            "--reward: the stage sft scores no answers; best_of_n and ppo do",
        ),
        (
            ("--stage", "ppo", *ON, "--policy", "llama3-8b"),
            "--policy: for ppo no pairs are written; for reward and dpo they may be",
        ),
        (("--stage", "best_of_n", *ON, "--epochs", "2"), "--epochs: the stage best_of_n trains nothing"),
        (
            ("--stage", "ppo", *ON, "--epochs", "1.5"),
            "--epochs is 1.5; PPO goes over its answers a whole number of times",
        ),
        (
            ("--stage", "sft", *ON, "--tokens", "5"),
            "--tokens: does not apply to --stage, which is of a model, and of --rows",
        ),
        (ON, "--rows: does not apply to a run of pre-training, which is without --stage"),
    ],
    ids=["nothing", "reward", "policy", "epochs", "half an epoch", "tokens", "no stage"],
)
def test_bad_input(options: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, *options) == [line]
