"""The stage ``best_of_n``, and rejection sampling, on a policy and a reward model made here."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from posttraining.tiny_rewards import MODEL, NEVER, ids_of, make_model, make_prompts

from scaling.data.answers.rows import PromptSet
from scaling.data.tokenizer import BYTES
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.posttrain.best_of_n import reject, run_best_of_n
from scaling.posttrain.best_of_n import stage as stage_module
from scaling.posttrain.best_of_n.stage import Scored, curve_of
from scaling.posttrain.config import Source, StageConfig, StageRecipe
from scaling.posttrain.rewards.rewarding import RewardScorer
from scaling.posttrain.sampling import Answers, sample
from scaling.posttrain.settings import BestOfNSettings
from scaling.posttrain.stage import Model, StageOutcome, StageRun
from scaling.train.recipe import Rates, Schedule
from scaling.train.stop import Stopped

POLICY = make_model(scale=3.0)
REWARD = make_model(seed=1, score=True)


class Letters:
    """A gold reward: how many of an answer's ids are even, less how many tokens it has beyond ten."""

    safety, step = False, 1.0

    def score(self, prompts: Any, answers: Any, stopped: Any) -> np.ndarray:
        assert len(prompts) == len(answers) == len(stopped)
        return np.array([float((answer % 2 == 0).sum()) - max(0, len(answer) - 10) for answer in answers])

    rate = score


def run_of(
    folder: Path,
    settings: BestOfNSettings,
    policy: Model = POLICY,
    reward: Model = REWARD,
    data: PromptSet | None = None,
    seed: int = 0,
    reports: list[dict[str, float]] | None = None,
) -> StageRun:
    recipe = StageRecipe("none", 32, Rates(*[0.0] * 8), 0.0, 0.9, 0.95, 1.0, Schedule("wsd", 0.0, 0.0, 0.0))
    config = StageConfig(
        stage="best_of_n",
        model=policy.config,
        sources={"policy": Source("policy", "0", policy.config), "reward": Source("reward", "1", reward.config)},
        data={},
        settings=dataclasses.asdict(settings),
        recipe=recipe,
        steps=1,
        flops=1,
        seed=seed,
    )
    report = [].append if reports is None else reports.append
    models = {"policy": policy, "reward": reward}
    data = make_prompts() if data is None else data
    return StageRun(config, data, lambda part: models[part], folder, NEVER, report)


@pytest.fixture
def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StageOutcome:
    monkeypatch.setattr(stage_module, "find_gold", lambda *_: Letters())
    return run_best_of_n(run_of(tmp_path, BestOfNSettings(prompts=6, n=12, gold="letters")))


def test_the_curve_of_a_run(outcome: StageOutcome) -> None:
    assert outcome.status == "done"
    assert outcome.parameters is None
    assert [row["n"] for row in outcome.curve] == [1, 2, 4, 8, 12]
    proxies, kls = ([row[name] for row in outcome.curve] for name in ("proxy", "kl"))
    assert (np.diff(proxies) > 0).all()
    assert kls[0] == pytest.approx(0, abs=1e-12)
    assert (np.diff(kls) > 0).all()
    for row in outcome.curve:
        assert row["kl"] <= row["kl_bound"] + 1e-12
        assert row["n"] == 1 or row["kl"] < row["kl_bound"] - 1e-3, "of twelve answers, measured and not taken for it"
        assert {"gold", "gold_stderr", "length", "stopped"} <= set(row)
        assert ("win_rate" in row) == (row["n"] < 12)
    assert outcome.curve[0]["win_rate"] == pytest.approx(0.5)
    assert outcome.curve[0]["gold_stderr"] == 0
    assert outcome.curve[1]["gold_stderr"] > 0


def test_the_row_and_the_answers_of_a_run(outcome: StageOutcome) -> None:
    row, last = outcome.row, outcome.curve[-1]
    peak = max(outcome.curve, key=lambda of: of["gold"])
    assert (row["peak_gold"], row["peak_n"], row["peak_kl"]) == (peak["gold"], peak["n"], peak["kl"])
    assert (row["reward_gold"], row["reward_proxy"], row["loss"]) == (last["gold"], last["proxy"], -last["proxy"])
    assert row["reward_gold_stderr"] > 0
    assert row["loss_stderr"] > 0
    assert 0 < row["distinct"] <= 1
    sizes = sorted({1.0, 12.0, peak["n"]})
    asked = {BYTES.decode(prompt) for prompt in make_prompts().held_out[:6]}
    assert {sample["prompt"] for sample in outcome.samples} <= asked, "bug 21: of prompts that are held out"
    assert [sample["n"] for sample in outcome.samples] == sizes * 4
    for first, last_sample in zip(
        outcome.samples[:: len(sizes)], outcome.samples[len(sizes) - 1 :: len(sizes)], strict=True
    ):
        assert first["prompt"] == last_sample["prompt"]
        assert first["proxy"] <= last_sample["proxy"]


def test_answers_are_scored_with_their_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug 9: the proxy reads each row to its last token, which is the end where the answer has one."""
    made: list[Answers] = []
    given: list[np.ndarray] = []

    class Watched(RewardScorer):
        def score(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
            given.append(tokens[np.arange(len(tokens)), lengths - 1])
            np.testing.assert_array_equal(lengths, made[-1].lengths)
            return super().score(tokens, lengths)

    def kept(*arguments: Any, **options: Any) -> Answers:
        made.append(sample(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(stage_module, "RewardScorer", Watched)
    monkeypatch.setattr(stage_module, "sample", kept)
    run_best_of_n(run_of(tmp_path, BestOfNSettings(prompts=6, n=12)))
    (answers,), (last,) = made, given
    assert 0 < answers.stopped.sum() < len(answers.stopped)
    assert (last[answers.stopped] == BYTES.end).all()


def test_a_run_that_begins_again_does_the_same(tmp_path: Path) -> None:
    settings = BestOfNSettings(prompts=3, n=4)
    reports: list[dict[str, float]] = []
    first, again = (run_best_of_n(run_of(tmp_path, settings, reports=reports)) for _ in range(2))
    assert (first.row, first.curve, first.samples) == (again.row, again.curve, again.samples)
    assert reports == [{"step": 1, "loss": first.row["loss"]}] * 2
    assert "reward_gold" not in first.row
    other = run_best_of_n(run_of(tmp_path, settings, seed=1))
    assert other.row["reward_proxy"] != first.row["reward_proxy"]


def test_answers_do_not_depend_on_the_reward_model(tmp_path: Path) -> None:
    settings = BestOfNSettings(prompts=3, n=4)
    one, other = (
        run_best_of_n(run_of(tmp_path, settings, reward=make_model(seed=seed, score=True))) for seed in (1, 2)
    )
    assert one.row["reward_proxy"] != other.row["reward_proxy"]
    assert one.row["answer_tokens"] == other.row["answer_tokens"]
    assert [s["answer"] for s in one.samples if s["n"] == 1] == [s["answer"] for s in other.samples if s["n"] == 1]


def test_a_proxy_that_is_wrong_at_its_top_is_seen_to_fall() -> None:
    """Gold follows the proxy but for the best two of 64: the curve rises, and falls where they are found."""
    random = np.random.default_rng(0)
    proxy = random.normal(size=(50, 64))
    rank = proxy.argsort(axis=1).argsort(axis=1)
    gold = np.where(rank >= 62, -1.0, rank / 64)
    scored = Scored(
        texts=[],
        keys=[[bytes([i]) for i in range(64)]] * 50,
        proxy=proxy,
        gold=gold,
        lengths=np.ones((50, 64), np.int64),
        stopped=np.ones((50, 64), bool),
        tokens=0,
    )
    curve, by_prompt = curve_of(scored)
    golds = [row["gold"] for row in curve]
    assert golds[0] < golds[2] > golds[-1]
    assert golds[-1] == pytest.approx(-1.0)
    assert by_prompt["gold"].shape == (50, 7)
    assert curve[2]["win_rate"] < 4 / 5


def test_a_request_to_stop_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "stop_requested", lambda: True)
    with pytest.raises(Stopped):
        run_best_of_n(run_of(tmp_path, BestOfNSettings(prompts=3, n=4)))


def wide(**changes: int) -> LlamaConfig:
    return dataclasses.replace(MODEL, **changes)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"settings": BestOfNSettings(prompts=11, n=2)}, "`prompts` is 11, and 10 prompts are held out"),
        ({"reward": make_model()}, "the reward model has no scalar head: it is a language model"),
        (
            {"reward": make_model(wide(vocab=200), score=True)},
            "the reward model has 200 embeddings; the answers' tokenizer bytes has 256 ids",
        ),
        (
            {"reward": make_model(wide(seq_len=24), score=True)},
            "the reward model's context is 24 tokens; the policy's answers reach 48",
        ),
        (
            {"data": PromptSet((), (np.ones(48, np.int32),) * 2)},
            "a prompt has 48 tokens; the policy's context of 48 has no room for more",
        ),
    ],
    ids=["few prompts", "no reward model", "vocabulary", "context", "long prompt"],
)
def test_bad_input(changes: dict[str, Any], line: str, tmp_path: Path) -> None:
    changes = {"settings": BestOfNSettings(prompts=2, n=2), **changes}
    with pytest.raises(InputError) as error:
        run_best_of_n(run_of(tmp_path, **changes))
    assert list(error.value.errors) == [line]


def answers_of(rows: list[tuple[str, str]]) -> Answers:
    """Answers to prompts; those that end with a full stop have stopped."""
    tokens, spans = np.zeros((len(rows), 32), np.int32), []
    for at, (prompt, answer) in enumerate(rows):
        stopped = answer.endswith(".")
        ids = ids_of(prompt + answer + "\0" * stopped)
        tokens[at, : len(ids)] = ids
        spans.append((len(prompt), len(ids), stopped))
    prompts, lengths, stopped_ = (np.array(column) for column in zip(*spans, strict=True))
    return Answers(
        tokens, prompts.astype(np.int32), lengths.astype(np.int32), np.zeros(tokens.shape, np.float32), stopped_
    )


def test_rejection_keeps_the_best_different_answers_of_each_prompt() -> None:
    answers = answers_of(
        [("who?", "me."), ("how?", "so."), ("who?", "you."), ("who?", "you."), ("how?", "this"), ("who?", "they.")]
    )
    scores = np.array([1.0, 2.0, 3.0, 3.0, 5.0, 2.0])
    best = reject(answers, scores)
    assert [bytes(example.ids.tolist()) for example in best] == [b"who?you.\0", b"how?this"]
    assert [bytes(example.ids[example.counted].tolist()) for example in best] == [b"you.\0", b"this"]
    two = reject(answers, scores, k=2)
    assert [bytes(example.ids.tolist()) for example in two] == [
        b"who?you.\0",
        b"who?they.\0",
        b"how?this",
        b"how?so.\0",
    ]
    assert len(reject(answers, scores, k=9)) == 5
