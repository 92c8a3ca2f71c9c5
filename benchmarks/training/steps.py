"""The training step of a run, ours and PyTorch's, behind one face: ``dispatch`` some steps, then ``finish``.

Both take their batches from memory as a run does, and read their losses: ours a dispatch late, PyTorch's at the end.
"""

from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np

from scaling.data.batches import Batches, TokenSet
from scaling.llama.config import LlamaConfig
from scaling.llama.sharding import Attention, Execution
from scaling.train.config import DataConfig, RunConfig
from scaling.train.loop import steps_per_dispatch
from scaling.train.recipe import RECIPES, Overrides

Framework = Literal["ours", "eager", "compile"]
_TOKENS = 1_000_000
_NO_TEXT = DataConfig(corpus={}, fingerprint={}, tokenizer={}, eval_tokens=1)


class Step(Protocol):
    """A model in training."""

    def dispatch(self) -> int:
        """Trains some steps, without waiting for them where the framework does not; returns how many."""

    def finish(self) -> float:
        """Waits for the steps dispatched; returns the last one's mean loss, nats per token."""


def make_run(model: LlamaConfig, batch: int, dtype: Literal["float32", "bfloat16"] = "float32") -> RunConfig:
    """A run of a model by the recipe ``transfer``, of ``batch`` sequences a step."""
    steps, chosen = 1000, Overrides(schedule="wsd", decay=0.2, batch_tokens=batch * model.seq_len)
    recipe = RECIPES["transfer"](model, steps * batch * model.seq_len, chosen)
    return RunConfig(model, _NO_TEXT, recipe, steps, seed=0, dtype=dtype)


def plain(config: RunConfig) -> RunConfig:
    """The run of the same Llama without norms on queries and keys, which transformers' has not."""
    return replace(config, model=replace(config.model, qk_norm=False))


def random_batches(config: RunConfig) -> Batches:
    """Batches of tokens drawn evenly from the vocabulary."""
    model = config.model
    tokens = np.random.default_rng(0).integers(0, model.vocab, _TOKENS, dtype=np.min_scalar_type(model.vocab - 1))
    return Batches(TokenSet(tokens, np.array([_TOKENS], np.int64)), model.seq_len, config.batch, config.seed)


class Ours:
    """Our step as ``train.loop`` calls it.

    Args:
        config: the run.
        size: steps in a dispatch; None for as many as the loop takes.
        donate: whether the state's buffers are used again.
        late: whether losses are read when the next dispatch is under way.
        attention: its implementation; None for the platform's own.
    """

    def __init__(
        self,
        config: RunConfig,
        size: int | None = None,
        donate: bool = True,
        late: bool = True,
        attention: Attention | None = None,
    ) -> None:
        import jax
        import jax.numpy as jnp

        from scaling.train.step import hyper_of, init_state, program_for

        program = program_for(config, Execution(attention=attention))
        self._train: Any = program.train if donate else jax.jit(program.train.__wrapped__)
        self._size = size or steps_per_dispatch(config)
        self._state, self._hyper = init_state(config), hyper_of(config)
        self._count, self._late = jnp.asarray(self._size, jnp.int32), late
        self._batches, self._step = random_batches(config), 0
        self._losses: Any = None
        windows = self._batches.take(0, 1)[0]
        jax.block_until_ready(program.evaluate(self._state.parameters, windows))

    def dispatch(self) -> int:
        windows = self._batches.take(self._step, self._size)
        self._state, losses = self._train(self._state, self._hyper, windows, self._count)
        if self._losses is not None and self._late:
            np.asarray(self._losses)
        self._losses = losses
        if not self._late:
            np.asarray(losses)
        self._step += self._size
        return self._size

    def finish(self) -> float:
        return float(np.asarray(self._losses)[-1])


class Stacked:
    """Our step of several seeds stacked, as ``train.stacked`` calls it; a step is one of a member.

    Args:
        config: the runs', but for the seed.
        members: how many.
    """

    def __init__(self, config: RunConfig, members: int) -> None:
        from scaling.train.stacked import stack, stacked_program
        from scaling.train.step import hyper_of, init_state

        configs = [replace(config, seed=seed) for seed in range(members)]
        self._train, self._size = stacked_program(config), steps_per_dispatch(config)
        self._states = stack([init_state(config) for config in configs])
        self._hypers = stack([hyper_of(config) for config in configs])
        self._counts = np.full(members, self._size, np.int32)
        self._batches, self._step = [random_batches(config) for config in configs], 0
        self._losses: Any = None

    def dispatch(self) -> int:
        windows = np.stack([batches.take(self._step, self._size) for batches in self._batches])
        self._states, losses = self._train(self._states, self._hypers, windows, self._counts)
        if self._losses is not None:
            np.asarray(self._losses)
        self._losses = losses
        self._step += self._size
        return self._size * len(self._counts)

    def finish(self) -> float:
        return float(np.asarray(self._losses)[:, -1].mean())


class PyTorch:
    """transformers' LlamaForCausalLM under fused AdamW, gradients clipped at 1, the rate constant.

    The parameters are float32; in bfloat16 the forward pass runs under autocast.

    Args:
        config: the run; its recipe gives the batch, the weight decay and Adam's betas.
        compiled: whether the forward pass and the loss go through torch.compile.
    """

    def __init__(self, config: RunConfig, compiled: bool) -> None:
        import torch
        import transformers

        model, recipe = config.model, config.recipe
        if model.qk_norm:
            raise ValueError("transformers' Llama has no norms on queries and keys")
        self._torch = torch
        device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.set_float32_matmul_precision("high")
        torch.manual_seed(0)
        shape = transformers.LlamaConfig(
            vocab_size=model.vocab,
            hidden_size=model.width,
            intermediate_size=model.ffn,
            num_hidden_layers=model.depth,
            num_attention_heads=model.heads,
            num_key_value_heads=model.kv_heads,
            max_position_embeddings=model.seq_len,
            tie_word_embeddings=model.tie_embeddings,
            use_cache=False,
        )
        llama: Any = transformers.LlamaForCausalLM(shape)
        llama.to(device)
        betas = (recipe.beta1, recipe.beta2)
        optimizer = torch.optim.AdamW(llama.parameters(), 1e-3, betas, weight_decay=recipe.weight_decay, fused=True)

        def loss_of(windows: Any) -> Any:
            with torch.autocast(device, torch.bfloat16, enabled=config.dtype == "bfloat16"):
                logits = llama(input_ids=windows[:, :-1]).logits
            return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten())

        torch.compiler.reset()
        forward = torch.compile(loss_of, dynamic=False) if compiled else loss_of

        def step(windows: Any) -> Any:
            loss = forward(windows)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(llama.parameters(), recipe.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return loss.detach()

        self.parameters = list(llama.parameters())
        self._one_step, self._device = step, device
        self._batches, self._step, self._size = random_batches(config), 0, steps_per_dispatch(config)
        self._loss: Any = None

    def dispatch(self) -> int:
        windows = self._batches.take(self._step, self._size)
        for batch in self._torch.from_numpy(windows).long().to(self._device):
            self._loss = self._one_step(batch)
        self._step += self._size
        return self._size

    def finish(self) -> float:
        return float(self._loss)
