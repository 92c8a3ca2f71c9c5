"""Our losses against those of the installed TRL, by its trainers' own collators, on a tiny exported Llama of ours."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from posttraining.tiny_rewards import make_model
from safetensors.numpy import save_file

from scaling.data.answers.padded import padded, padded_pairs
from scaling.data.answers.rows import Example, Ids, Pair
from scaling.hf.config import config_of
from scaling.hf.names import to_hf
from scaling.llama.config import LlamaConfig
from scaling.posttrain import dpo, sft
from scaling.posttrain.config import SCORE
from scaling.posttrain.rewards import reward
from scaling.posttrain.stage import Model
from scaling.posttrain.training.logprob import policy_parameters, reward_parameters
from scaling.posttrain.training.update import Sums

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("torch"), pytest.mark.filterwarnings("ignore")]

CONFIG = LlamaConfig(vocab=64, width=32, depth=2, heads=4, kv_heads=2, ffn=96, seq_len=64)
PAD, END = 0, 1
POLICY, REFERENCE = make_model(CONFIG, seed=0, score=True, scale=2.0), make_model(CONFIG, seed=1, scale=2.0)
MARGINS = [0.0, 1.0, 2.0, 3.0, 0.5]
RELATIVE = 1e-5


@pytest.fixture(scope="module", autouse=True)
def trl() -> Iterator[None]:
    """Skips where the extra ``parity`` is not installed; warnings at import are not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("torch", "transformers", "trl", "datasets"):
            pytest.importorskip(name, reason='needs pip install -e ".[parity]"')
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of the policy, its reference, and a tokenizer whose words are its ids."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    root = tmp_path_factory.mktemp("models")
    for name, model in (("policy", POLICY), ("reference", REFERENCE)):
        (root / name).mkdir()
        ids_of_config = {"bos_token_id": None, "eos_token_id": END, "pad_token_id": PAD}
        (root / name / "config.json").write_text(json.dumps(config_of(CONFIG, ids_of_config)))
        named = {key: array for key, array in model.parameters.items() if key != SCORE}
        save_file(to_hf(CONFIG, named), root / name / "model.safetensors", metadata={"format": "pt"})
    special = {"<pad>": PAD, "<end>": END, "<unknown>": 63}
    vocabulary = {**{f"t{at}": at for at in range(2, 63)}, **special}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>", unk_token="<unknown>")
    made.save_pretrained(root / "tokenizer")
    return root


def text(random: np.random.Generator, length: int) -> str:
    return "".join(f" t{token}" for token in random.integers(2, 60, length))


def rows(*columns: str) -> list[dict[str, str]]:
    """Rows of very unequal lengths."""
    random = np.random.default_rng(0)
    lengths = [(3, 20, 1), (7, 2, 30), (1, 9, 9), (12, 1, 2), (5, 40, 3)]
    return [{name: text(random, length) for name, length in zip(columns, row, strict=False)} for row in lengths]


def options(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "out"),
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": 5,
        "max_length": None,
    }


def language_model(folder: Path, name: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32)


def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / "tokenizer")


def loss_of(trainer: Any) -> tuple[float, list[dict[str, Any]]]:
    """The loss of all rows at once, and the rows as the trainer has tokenized them."""
    made = [dict(row) for row in trainer.train_dataset]
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(made))
    return float(loss.detach()), made


def ids(tokens: list[int]) -> Ids:
    return np.array(tokens, np.int32)


def mean(sums: Sums) -> float:
    return float(sums.loss) / float(sums.weight)


def pairs_of(made: list[dict[str, Any]]) -> list[Pair]:
    return [Pair(*(ids(row[f"{name}_ids"]) for name in ("prompt", "chosen", "rejected"))) for row in made]


def test_sft(folder: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    trainer = SFTTrainer(
        model=language_model(folder, "policy"),
        args=SFTConfig(**options(folder), completion_only_loss=True),
        train_dataset=Dataset.from_list(rows("prompt", "completion")),
        processing_class=tokenizer(folder),
    )
    theirs, made = loss_of(trainer)
    examples = [Example(ids(row["input_ids"]), np.array(row["labels"]) != -100) for row in made]
    assert {example.ids[-1] for example in examples} == {END}
    assert sorted(int(example.counted.sum()) for example in examples) == [2, 3, 10, 21, 41]
    batch = padded(examples, 8, CONFIG.seq_len)
    ours = mean(sft.make_objective(CONFIG, "float32")(policy_parameters(POLICY), batch))
    assert ours == pytest.approx(theirs, rel=RELATIVE)
    # Of the prompt too, or by example rather than by token, it would be another loss.
    every = batch._replace(counted=np.arange(batch.tokens.shape[1]) < batch.lengths[:, None])
    assert abs(mean(sft.make_objective(CONFIG, "float32")(policy_parameters(POLICY), every)) / theirs - 1) > 1e-3


@pytest.mark.parametrize("kind", ["sigmoid", "ipo", "hinge"])
def test_dpo(kind: str, folder: Path) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    trainer = DPOTrainer(
        model=language_model(folder, "policy"),
        ref_model=language_model(folder, "reference"),
        args=DPOConfig(**options(folder), beta=0.2, loss_type=[kind]),
        train_dataset=Dataset.from_list(rows("prompt", "chosen", "rejected")),
        processing_class=tokenizer(folder),
    )
    theirs, made = loss_of(trainer)
    pairs = pairs_of(made)
    sides = dpo.pair_likelihoods(CONFIG, policy_parameters(REFERENCE), pairs, "float32")
    reference = np.zeros((8, 2), np.float32)
    reference[: len(pairs)] = np.stack([side.logprobs for side in sides], axis=1)
    batch = dpo.dpo_batch(padded_pairs(pairs, 8, CONFIG.seq_len), reference)
    ours = mean(dpo.make_objective(CONFIG, "float32", 0.2, kind)(policy_parameters(POLICY), batch))
    assert ours == pytest.approx(theirs, rel=RELATIVE)
    # Means where there should be sums, or sums where there should be means, would be seen.
    chosen, rejected = np.array([len(pair.chosen) for pair in pairs]), np.array([len(pair.rejected) for pair in pairs])
    own = dpo.pair_likelihoods(CONFIG, policy_parameters(POLICY), pairs, "float32")
    ratios = [mine.logprobs - other.logprobs for mine, other in zip(own, sides, strict=True)]
    if kind == "ipo":
        one = jnp.ones(len(pairs))
        wrong = dpo.dpo_loss(jnp.asarray(ratios[0]), jnp.asarray(ratios[1]), 0.2, kind, (one, one))
    else:
        wrong = dpo.dpo_loss(jnp.asarray(ratios[0] / chosen), jnp.asarray(ratios[1] / rejected), 0.2, kind)
    assert abs(float(wrong.mean()) / theirs - 1) > 1e-2


@pytest.mark.parametrize("kind", ["plain", "margin", "centring"])
def test_reward(kind: str, folder: Path) -> None:
    import torch
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    model = AutoModelForSequenceClassification.from_pretrained(
        folder / "policy", num_labels=1, dtype=torch.float32, pad_token_id=PAD
    )
    with torch.no_grad():
        model.score.weight.copy_(torch.from_numpy(POLICY.parameters[SCORE][None].copy()))
    written = rows("prompt", "chosen", "rejected")
    more = [{"margin": margin} for margin in MARGINS] if kind == "margin" else [{}] * len(MARGINS)
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(**options(folder), center_rewards_coefficient=0.3 if kind == "centring" else None),
        train_dataset=Dataset.from_list([{**row, **own} for row, own in zip(written, more, strict=True)]),
        processing_class=tokenizer(folder),
    )
    theirs, made = loss_of(trainer)
    empty = ids([])
    pairs = [Pair(empty, ids(row["chosen_ids"]), ids(row["rejected_ids"])) for row in made]
    found = padded_pairs(pairs, 8, CONFIG.seq_len)
    margins = np.zeros(8, np.float32)
    margins[: len(pairs)] = [row.get("margin", 0.0) for row in made]
    batch = reward.PairBatch(found.chosen, found.rejected, margins, found.weights)
    objective = jax.jit(reward.make_objective(CONFIG, 0.3 if kind == "centring" else 0.0, "float32"))
    parameters = reward_parameters(Model(CONFIG, POLICY.parameters))
    assert mean(objective(parameters, batch)) == pytest.approx(theirs, rel=RELATIVE)
    without = jax.jit(reward.make_objective(CONFIG, 0.0, "float32"))(parameters, batch._replace(margins=0 * margins))
    assert (abs(mean(without) / theirs - 1) > 1e-3) == (kind != "plain")
