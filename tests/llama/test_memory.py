"""Memory by arithmetic: shards of the state, and activations beside what XLA allocates for the real step."""

import dataclasses

import pytest

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params
from scaling.llama.memory import training_bytes
from scaling.llama.parallelism import Parallelism, Remat
from scaling.llama.zoo import find

TINY = LlamaConfig(vocab=64, width=16, depth=2, heads=4, kv_heads=2, ffn=48, seq_len=8)


def test_the_state_takes_sixteen_bytes_a_parameter() -> None:
    taken = training_bytes(TINY, batch=1)
    assert taken.state == 16 * count_params(TINY).total
    assert taken.optimizer == 8 * count_params(TINY).total
    assert taken.total == taken.state + taken.activations
    several = training_bytes(TINY, batch=1, microbatches=2)
    assert several.gradients == 2 * taken.gradients


def test_the_state_of_70b_is_split_over_fsdp_and_tensor_but_not_data() -> None:
    config, split = find("llama3-70b").config, Parallelism(data=2, fsdp=128, tensor=4)
    taken = training_bytes(config, 1, "bfloat16", split, remat="full", flash=True)
    assert taken.state == pytest.approx(16 * count_params(config).total / 512, rel=1e-6)
    assert split.devices == 1024


def test_remat_and_tensor_shrink_activations_and_a_longer_batch_grows_them() -> None:
    config = find("llama3-8b").config

    def activations(batch: int, split: Parallelism, remat: Remat) -> int:
        return training_bytes(config, batch, "bfloat16", split, remat, flash=True).activations

    plain = activations(1, Parallelism(), "none")
    assert activations(1, Parallelism(), "full") < activations(1, Parallelism(), "selective") / 2 < plain / 4
    assert activations(1, Parallelism(tensor=8), "none") < plain / 4
    assert activations(2, Parallelism(), "none") > 1.9 * plain


def test_what_cannot_be_split_is_reported() -> None:
    assert Parallelism(fsdp=4, tensor=2).violations(TINY) == []
    assert Parallelism(tensor=3).violations(dataclasses.replace(TINY, vocab=63)) == [
        "width 16 is not a multiple of fsdp * tensor 3",
        "heads 4 is not a multiple of tensor 3",
        "kv_heads 2 is not a multiple of tensor 3",
        "seq_len 8 is not a multiple of tensor 3",
    ]
    with pytest.raises(InputError, match="fsdp is 0"):
        Parallelism(fsdp=0)
