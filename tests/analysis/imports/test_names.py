"""What a tool's name says: whose column it is, and what kind of loss."""

import pytest

from analysis.imports.names import LossName, loss_name, rank

HELD_OUT = [
    *("eval/loss", "eval_loss", "Eval Loss", "val_loss", "valLoss", "validation/loss", "valid_loss", "test_loss"),
    *("loss/val", "loss/held-out", "eval/CrossEntropyLoss", "metrics/eval/LanguageCrossEntropy", "final_loss"),
    *("lm loss validation", "val_nll", "validation/epoch_loss"),
]


@pytest.mark.parametrize("name", HELD_OUT)
def test_the_loss_of_an_evaluation(name: str) -> None:
    assert loss_name(name) == LossName(held_out=True, place=0, unit=None)


@pytest.mark.parametrize(
    "name", ["loss", "train/loss", "train_loss", "training loss", "loss/train", "train/CrossEntropyLoss"]
)
def test_a_loss_that_may_be_of_training(name: str) -> None:
    found = loss_name(name)
    assert found is not None
    assert not found.held_out


@pytest.mark.parametrize(
    ("name", "place"),
    [("eval/macro_loss", 1), ("eval/paloma/macro_loss", 2), ("eval/paloma/c4_en/loss", 2), ("eval_wiki_loss", 2)],
)
def test_an_average_and_a_data_set(name: str, place: int) -> None:
    assert loss_name(name) == LossName(held_out=True, place=place, unit=None)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("eval/bpb", "bits_per_byte"),
        ("val_bits_per_byte", "bits_per_byte"),
        ("valid/bpc", "bits_per_character"),
        ("eval/perplexity", "perplexity"),
        ("val_ppl", "perplexity"),
    ],
)
def test_units_other_than_nats(name: str, unit: str) -> None:
    found = loss_name(name)
    assert found is not None
    assert (found.held_out, found.unit) == (True, unit)


@pytest.mark.parametrize(
    "name",
    [
        "best_val_loss",
        "eval/loss_stderr",
        "aux_loss",
        "eval/loading_time",
        "eval_runtime",
        "lr",
        "loss_scale",
        "eval/acc",
    ],
)
def test_what_is_no_loss_of_the_endpoint(name: str) -> None:
    assert loss_name(name) is None


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [
        ("N", "params", 0),
        ("model/num_parameters", "params", 0),
        ("parameter_count", "params", 0),
        ("model.config.n_params", "params", 1),
        ("dropout.n", "params", None),
        ("throughput/total_tokens", "tokens", 1),
        ("time/token", "tokens", 0),
        ("throughput/tokens_per_second", "tokens", None),
        ("tokens per iteration", "batch_tokens", 0),
        ("optimizer.learning_rate", "lr", 1),
        ("model.hidden_dim", "width", 1),
        ("n_params_non_embedding", "params", None),
        ("n_params_non_embedding", "params_nonembedding", 0),
    ],
)
def test_names_of_columns(name: str, column: str, expected: int | None) -> None:
    assert rank(name, column) == expected
