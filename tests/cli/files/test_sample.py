"""``scaling sample``: answers of trained and imported models, the best of several, a dialogue, and what is refused."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from posttraining.tiny_rewards import MODEL, make_model
from posttraining.tiny_stages import make_examples
from posttraining.tiny_stages import make_run as stage_run
from tiny import make_run

import scaling as sl
from scaling.api.answers import samples as samples_module
from scaling.cli import main
from scaling.data.answers.formats.messages import RowParser
from scaling.data.answers.spec import AnswersSpec
from scaling.data.tokenizer import BYTES
from scaling.hf.folder import export_model, import_model
from scaling.llama.config import LlamaConfig, canonical
from scaling.posttrain.sampling import sample
from scaling.posttrain.sampling.engines import Generated
from scaling.posttrain.settings import SftSettings
from scaling.posttrain.stage import Model
from scaling.posttrain.training.logprob import policy_parameters
from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.locks.local import LocalLocks
from scaling.train.checkpoints.parameters import PARAMETERS, write_parameters

PROMPT = "The state of "
TOKENIZER = {"name": "bytes", "hash": BYTES.hash, "place": None}


def kept(folder: Path, config: Any, model: Model, state: str = "done") -> Path:
    """A run's folder as it is when the run is done."""
    run = RunFolder(folder / "runs" / config.id, LocalLocks())
    run.path.mkdir(parents=True)
    (run.path / "config.json").write_text(config.to_json())
    digest = run.keep(model.parameters)
    run.write_status({"state": state, "parameters_sha256": digest})
    return run.path


def pretrained(folder: Path, state: str = "done") -> Path:
    config = make_run(model=MODEL)
    config = replace(config, data=replace(config.data, tokenizer={"name": "bytes", "hash": BYTES.hash}))
    return kept(folder, config, make_model(scale=3.0), state)


def tuned(folder: Path, **answers: Any) -> Path:
    """A run of SFT, by default on sentences."""
    config = stage_run(folder, "sft", make_examples(), SftSettings(64)).config
    data = {"answers": answers or {"name": "sentences"}, "tokenizer": TOKENIZER, "sha256": "0"}
    return kept(folder, replace(config, data=data), make_model(scale=3.0))


def rewarding(folder: Path, model: LlamaConfig = MODEL) -> Path:
    base = stage_run(folder, "sft", make_examples(), SftSettings(64), model=model).config
    data = {"answers": {"name": "sentences"}, "tokenizer": TOKENIZER, "sha256": "0"}
    config = replace(base, stage="reward", data=data, settings={"pairs": 64})
    return kept(folder, config, make_model(model, seed=1, score=True))


def best_of_n(folder: Path) -> Path:
    base = stage_run(folder, "sft", make_examples(), SftSettings(64)).config
    return kept(folder, replace(base, stage="best_of_n", settings={"n": 4, "prompts": 8}), make_model())


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["sample", *map(str, args)])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def answered(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, Any]:
    code, out, err = run(capsys, *args, "--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_run_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = pretrained(tmp_path)
    found = answered(capsys, place, "--prompt", PROMPT, "--count", 3)
    assert found["prompt"] == PROMPT
    assert len({answer["text"] for answer in found["answers"]}) == 3
    for answer in found["answers"]:
        assert answer["tokens"] <= 48 - len(PROMPT)
        assert answer["logprob"] < 0
        assert answer["reward"] is None
    assert found == answered(capsys, place, "--prompt", PROMPT, "--count", 3)
    assert found["answers"] != answered(capsys, place, "--prompt", PROMPT, "--count", 3, "--seed", 1)["answers"]
    code, out, _ = run(capsys, place, "--prompt", PROMPT)
    assert code == 0
    assert "tokens" in out
    assert "log p -" in out
    # The same of the front door, and of a document's beginning, where there is no prompt.
    assert sl.sample(place, PROMPT, count=3).to_dict()["answers"] == found["answers"]
    assert len(sl.sample(place, "", max_tokens=5).to_frame()) == 1


def test_greedy_answers_need_no_seed(tmp_path: Path) -> None:
    place = pretrained(tmp_path)
    one, other = (sl.sample(place, PROMPT, temperature=0, max_tokens=8, seed=seed) for seed in (0, 1))
    assert one.answers == other.answers
    assert one.answers[0].tokens <= 8


def test_the_best_of_several_by_a_reward_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, reward = tuned(tmp_path / "sft"), rewarding(tmp_path / "reward")
    every = answered(capsys, policy, "--prompt", PROMPT, "--count", 6, "--reward", reward)
    rewards = [answer["reward"] for answer in every["answers"]]
    assert every["mean_reward"] == pytest.approx(np.mean(rewards), rel=1e-5)
    best = answered(capsys, policy, "--prompt", PROMPT, "--count", 2, "--best-of", 3, "--reward", reward)
    assert best["best_of"] == 3
    assert [answer["reward"] for answer in best["answers"]] == [max(rewards[:3]), max(rewards[3:])]
    code, out, _ = run(capsys, policy, "--prompt", PROMPT, "--best-of", 3, "--reward", reward)
    assert code == 0
    assert "each the best of 3; the mean reward of all is " in out


def test_an_imported_model_answers_as_the_run_that_was_exported(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason='needs pip install -e ".[tokenizers]"')
    place = pretrained(tmp_path / "made")
    export_model(place, tmp_path / "exported")
    import_model(tmp_path / "exported", tmp_path / "imported")
    one, other = (sl.sample(folder, PROMPT, seed=2) for folder in (place, tmp_path / "imported"))
    assert one.answers[0].tokens == other.answers[0].tokens
    assert one.answers[0].logprob == pytest.approx(other.answers[0].logprob, abs=1e-4)


def test_a_dialogue(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    place = tuned(tmp_path, path="talks.jsonl", template="bytes")
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\nWho?\n"))
    options = ("--chat", "--max-tokens", 6, "--temperature", 0)
    found = answered(capsys, place, *options)
    assert [message["role"] for message in found["messages"]] == ["user", "assistant", "user", "assistant"]
    assert [message["content"] for message in found["messages"][::2]] == ["Hi", "Who?"]
    assert found["messages"][1]["tokens"] <= 6
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\n"))
    code, out, _ = run(capsys, place, *options)
    assert code == 0
    assert out.rstrip("\n") == found["messages"][1]["content"].rstrip("\n")


def test_text_of_a_chat_model_is_a_message(tmp_path: Path) -> None:
    """As its own rows were written: by the template."""
    place = tuned(tmp_path, path="talks.jsonl", template="bytes")
    parameters, ids = policy_parameters(make_model(scale=3.0)), np.frombuffer(b"\x01Hi\x02", np.uint8).astype(np.int32)
    expected = sample(MODEL, parameters, [ids], 0, most=6, end=0, batch=1)
    assert sl.sample(place, "Hi", max_tokens=6).answers[0].text == BYTES.decode(expected.answer(0))


def test_vllm_is_scored_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stand-in for vLLM, which needs a GPU: it reads the folder that it is given."""
    place = pretrained(tmp_path)

    class Engine:
        def __init__(self, folder: Path, seq_len: int) -> None:
            assert (folder / "model.safetensors").is_file()
            assert seq_len == MODEL.seq_len

        def generate(self, prompts: Any, limits: Any, seed: int, end: int, temperature: float) -> list[Generated]:
            made = sample(
                MODEL,
                policy_parameters(make_model(scale=3.0)),
                prompts,
                seed,
                most=limits[0],
                end=end,
                batch=2,
                temperature=temperature,
            )
            return [
                Generated(made.tokens[row][of], made.logprobs[row][of] - np.float32(0.01), bool(made.stopped[row]))
                for row, of in enumerate(made.counted)
            ]

    monkeypatch.setattr(samples_module, "Vllm", Engine)
    found = answered(capsys, place, "--prompt", PROMPT, "--count", 2, "--sampler", "vllm")
    assert found["sampler_difference"] == pytest.approx(0.01, abs=1e-4)
    own = answered(capsys, place, "--prompt", PROMPT, "--count", 2)
    assert [answer["text"] for answer in found["answers"]] == [answer["text"] for answer in own["answers"]]
    assert found["answers"][0]["logprob"] == pytest.approx(own["answers"][0]["logprob"], abs=1e-3)
    code, _, err = run(capsys, place, "--prompt", PROMPT, "--sampler", "vllm", "--top-p", 0.5)
    assert (code, err.count("\n")) == (2, 1)


def test_the_best_answers_to_a_files_prompts_are_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, reward = tuned(tmp_path / "sft"), rewarding(tmp_path / "reward")
    asked = [PROMPT, "We must ", "Our people have "]
    rows = [json.dumps({"prompt": prompt}) for prompt in [*asked, asked[0], "x" * 48]]
    (tmp_path / "prompts.jsonl").write_text("\n".join(rows))
    out = tmp_path / "best.jsonl"
    options = ("--prompts", tmp_path / "prompts.jsonl", "--best-of", 16, "--reward", reward, "-o", out)
    found = answered(capsys, policy, *options)
    examples = [json.loads(line) for line in out.read_text().splitlines()]
    assert found["written"] == len(examples) > 0
    assert found["written"] + found["unfinished"] == 3
    assert found["dropped"] == {"too long": 1}
    assert found["chosen_reward"] > found["mean_reward"]
    order = [asked.index(example["prompt"]) for example in examples]
    assert order == sorted(set(order))
    assert all("\0" not in example["completion"] for example in examples)
    parser = RowParser(AnswersSpec(path=str(out)), "examples")
    assert [parser.example(example).prompt for example in examples] == [asked[at] for at in order]
    assert run(capsys, policy, *options)[0] == 0
    before = (tmp_path / "prompts.jsonl").read_text()
    for file, said in (
        (tmp_path / "prompts.jsonl", "holds the prompts"),
        (tmp_path / "no" / "x", "there is no folder"),
    ):
        code, _, err = run(capsys, policy, *options[:-1], file)
        assert (code, err.count("\n"), said in err, "error: -o " in err) == (2, 1, True, True)
    assert (tmp_path / "prompts.jsonl").read_text() == before


def test_an_answer_at_the_least_temperature_has_a_log_probability(tmp_path: Path) -> None:
    place = tuned(tmp_path)
    cold = sl.sample(place, PROMPT, count=4, temperature=1e-9)
    greedy = sl.sample(place, PROMPT, temperature=0)
    assert {answer.text for answer in cold.answers} == {answer.text for answer in greedy.answers}
    assert all(answer.logprob <= 0 for answer in cold.answers)


def imported(folder: Path, model: LlamaConfig, score: bool = False) -> Path:
    """An imported model without a tokenizer."""
    folder.mkdir()
    digest = write_parameters(folder / PARAMETERS, make_model(model, score=score).parameters)
    (folder / "model.json").write_text(json.dumps({"model": canonical(model), "special_ids": {}, "sha256": digest}))
    return folder


REFUSED: dict[str, tuple[list[object], str]] = {
    "nothing to say": ([], "needs one of --prompt, --chat and --prompts"),
    "both": (["--prompt", "x", "--chat"], "needs one of --prompt, --chat and --prompts"),
    "no such run": (["--prompt", "x", "NOWHERE"], "nowhere: not a run's folder, such as runs/NAME/runs/ID"),
    "not done": (["--prompt", "x", "RUNNING"], ": the run is running, not done"),
    "no tokenizer": (["--prompt", "x", "BARE"], "bare"),
    "a reward model that is to answer": (["--prompt", "x", "REWARD"], "is a reward model; it scores answers"),
    "a long prompt": (
        ["--prompt", "x" * 48],
        "--prompt has 48 tokens, and the model's context of 48 needs room for more",
    ),
    "no reward model": (["--prompt", "x", "--reward", "POLICY"], "is no reward model; it has no scalar head"),
    "best of without one": (["--prompt", "x", "--best-of", 2], "--best-of needs a --reward"),
    "a reward model of another vocabulary": (
        ["--prompt", "x", "--reward", "FEW"],
        "the reward model has 200 embeddings; the answers' tokenizer bytes has 256 ids",
    ),
    "a reward model of a shorter context": (
        ["--prompt", "x", "--reward", "SHORT"],
        "its context of 24 tokens is shorter than 48",
    ),
    "half a character": (["--prompt", "a\udcff"], "'prompt' has half a surrogate pair, which is no character"),
    "best of n": (["--prompt", "x", "BEST"], "best-of-n chooses among answers and trains no model"),
    "a control token": (["--prompt", "a\0b"], "--prompt: control token in the text"),
    "two answers of a dialogue": (["--chat", "--count", 2], "--count: is of answers to --prompt; others have one each"),
    "prompts without a file to write": (["--prompts", "x.jsonl"], "--prompts and -o go together"),
    "prompts without a reward model": (["--prompts", "x.jsonl", "-o", "y.jsonl"], "--prompts needs a --reward"),
    "no template": (["--chat", "--template", "none-such"], "--template: none-such: no such template or file"),
}


@pytest.mark.parametrize("fault", list(REFUSED))
def test_bad_input(fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args, line = REFUSED[fault]
    places = {
        "NOWHERE": lambda: tmp_path / "nowhere",
        "RUNNING": lambda: pretrained(tmp_path / "running", "running"),
        "BARE": lambda: imported(tmp_path / "bare", MODEL),
        "REWARD": lambda: rewarding(tmp_path / "reward"),
        "POLICY": lambda: pretrained(tmp_path / "policy"),
        "BEST": lambda: best_of_n(tmp_path / "best"),
        "FEW": lambda: rewarding(tmp_path / "few", replace(MODEL, vocab=200)),
        "SHORT": lambda: rewarding(tmp_path / "short", replace(MODEL, seq_len=24)),
    }
    given: list[object] = [places[str(arg)]() if str(arg) in places else arg for arg in args]
    if not args or str(args[-1]) not in places or "--reward" in args:
        given = [pretrained(tmp_path / "own"), *given]
    code, out, err = run(capsys, *given)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert line in err
