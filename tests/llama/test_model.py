"""The model: attention against its definition, causality, chunked loss, and any size by config alone."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.experimental.pallas.tpu import force_tpu_interpret_mode

from scaling.llama import loss as loss_module
from scaling.llama import model as model_module
from scaling.llama.attention import dispatch as attention_module
from scaling.llama.attention.dispatch import attention
from scaling.llama.config import LlamaConfig, RopeScaling
from scaling.llama.counts import count_params
from scaling.llama.init import Init
from scaling.llama.layers import initializers
from scaling.llama.layers.rope import apply_rope, rope_frequencies, rope_tables
from scaling.llama.loss import cross_entropy
from scaling.llama.model import Llama
from scaling.llama.sharding import Attention
from scaling.llama.zoo import ZOO, find

TINY = LlamaConfig(vocab=61, width=24, depth=3, heads=6, kv_heads=2, ffn=40, seq_len=16)
KEY = jax.random.key(0)


def llama(config: LlamaConfig = TINY, **init: float) -> Llama:
    return Llama(config, Init(matrix=1.0, embedding=0.5, **init), rngs=nnx.Rngs(0))


def ids(config: LlamaConfig = TINY, batch: int = 2) -> jax.Array:
    return jax.random.randint(KEY, (batch, config.seq_len), 0, config.vocab)


@pytest.mark.parametrize("seq", [64, 65, 150, 700])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_attention_in_chunks_is_that_of_xla(seq: int, dtype: str) -> None:
    shapes = [(2, seq, heads, 8) for heads in (4, 2, 2, 4)]
    q, k, v, weight = (jax.random.normal(jax.random.key(i), shape, dtype) for i, shape in enumerate(shapes))

    def mixed(attend: Callable[..., jax.Array]) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        return jax.value_and_grad(lambda *x: (attend(*x) * weight).astype("float32").sum(), argnums=(0, 1, 2))(q, k, v)

    ours, theirs = mixed(attention), mixed(lambda *x: jax.nn.dot_product_attention(*x, is_causal=True))
    exact = dtype == "float32"
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a.astype("float32"), b.astype("float32"), rtol=1e-3, atol=1e-4 if exact else 0.15)


@pytest.mark.slow
@pytest.mark.parametrize("head_dim", [64, 128])
def test_the_tpu_kernel_is_that_of_chunks(head_dim: int) -> None:
    """The kernel itself, interpreted on a CPU."""
    shapes = [(1, 128, heads, head_dim) for heads in (4, 2, 2, 4)]
    q, k, v, weight = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(shapes))

    def mixed(implementation: Attention) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        def total(*x: jax.Array) -> jax.Array:
            return (attention(*x, implementation) * weight).sum()

        return jax.value_and_grad(total, argnums=(0, 1, 2))(q, k, v)

    with force_tpu_interpret_mode():
        theirs = mixed("splash")
    for a, b in zip(jax.tree.leaves(mixed("chunked")), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("platform", "dtype", "head_dim", "seq", "chosen"),
    [
        ("tpu", "bfloat16", 128, 256, "splash"),
        ("tpu", "float32", 128, 256, "xla"),
        ("tpu", "bfloat16", 64, 256, "xla"),
        ("tpu", "bfloat16", 128, 200, "xla"),
        ("gpu", "bfloat16", 64, 200, "cudnn"),
        ("gpu", "float32", 64, 256, "xla"),
        ("cpu", "bfloat16", 128, 256, "chunked"),
    ],
)
def test_fused_kernels_are_chosen_only_for_what_they_are_made_for(
    platform: str, dtype: str, head_dim: int, seq: int, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_module.jax, "default_backend", lambda: platform)
    assert attention_module._usual(jnp.zeros((1, seq, 2, head_dim), dtype)) == chosen


def test_attention_is_its_definition() -> None:
    q, k, v = (jax.random.normal(jax.random.key(i), (2, 7, heads, 4)) for i, heads in enumerate((6, 2, 2)))
    expected = np.zeros((2, 7, 6, 4))
    for b, t, h in np.ndindex(2, 7, 6):
        scores = np.array([np.dot(q[b, t, h], k[b, s, h // 3]) / 2.0 for s in range(t + 1)])
        weights = np.exp(scores - scores.max())
        expected[b, t, h] = weights @ np.asarray(v[b, : t + 1, h // 3]) / weights.sum()
    np.testing.assert_allclose(attention(q, k, v), expected, atol=1e-5)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_no_position_depends_on_a_later_token(qk_norm: bool) -> None:
    model = llama(dataclasses.replace(TINY, qk_norm=qk_norm))
    tokens = ids(batch=1)

    def logits(embedded: jax.Array) -> jax.Array:
        # A gradient with respect to tokens needs the embedding: row t of `embedded` stands for token t alone.
        table = dataclasses.replace(model.config, vocab=model.config.seq_len)
        alike = llama(table)
        nnx.update(alike.layers, nnx.state(model.layers))
        alike.embedding[...] = embedded
        return alike(jnp.arange(model.config.seq_len)[None])[0]

    jacobian = jax.jacobian(logits)(model.embedding[...][tokens[0]])  # out position, width, in position, width
    influence = np.abs(np.asarray(jacobian)).sum(axis=(1, 3))
    assert (np.triu(influence, 1) == 0).all()
    assert (np.diag(influence) > 0).all()
    assert (influence[-1] > 0).all()


def test_small_arrays_are_drawn_as_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    small = nnx.state(llama())
    monkeypatch.setattr(initializers, "_MAX_FLAT", 0)
    jax.tree.map(np.testing.assert_array_equal, small, nnx.state(llama()))


def test_layers_are_drawn_apart_at_their_own_scale() -> None:
    drawn = np.asarray(llama(dataclasses.replace(TINY, width=96, ffn=200)).layers.mlp.down[...])
    np.testing.assert_allclose(drawn.std(axis=(1, 2)), 1 / np.sqrt(200), rtol=0.05)
    assert abs(np.corrcoef(drawn.reshape(3, -1))[0, 1]) < 0.05


def test_scan_and_unrolled_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = llama(), ids()
    unrolled = model(tokens)
    monkeypatch.setattr(model_module, "UNROLL_DEPTH", 0)
    np.testing.assert_allclose(model(tokens), unrolled, atol=1e-5)


def test_loss_in_chunks_equals_the_loss_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = jax.random.normal(KEY, (4, 16, 8))
    head = jax.random.normal(jax.random.key(1), (61, 8))
    targets = ids(batch=4)

    def both(hidden: jax.Array, head: jax.Array) -> jax.Array:
        return cross_entropy(hidden, head, targets).mean()

    whole = jax.value_and_grad(both, argnums=(0, 1))(hidden, head)
    monkeypatch.setattr(loss_module, "CHUNK_LOGITS", 7 * 61)
    parts = jax.value_and_grad(both, argnums=(0, 1))(hidden, head)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), whole, parts)
    manual = -jax.nn.log_softmax(hidden @ head.T)[np.arange(4)[:, None], np.arange(16)[None], targets].mean()
    np.testing.assert_allclose(whole[0], manual, rtol=1e-5)


def test_loss_never_holds_all_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "CHUNK_LOGITS", 64 * 1000)

    def step(hidden: jax.Array, head: jax.Array, targets: jax.Array) -> jax.Array:
        return jax.grad(lambda h, w: cross_entropy(h, w, targets).mean(), argnums=(0, 1))(hidden, head)

    shapes = (
        jax.ShapeDtypeStruct(s, t) for s, t in (((8, 512, 8), "float32"), ((1000, 8), "float32"), ((8, 512), "int32"))
    )
    compiled = jax.jit(step).lower(*shapes).compile()
    all_logits = 8 * 512 * 1000 * 4
    assert compiled.memory_analysis().temp_size_in_bytes < all_logits / 4


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_as_counted(tied: bool) -> None:
    config = dataclasses.replace(TINY, tie_embeddings=tied, qk_norm=True)
    sizes = [leaf.size for leaf in jax.tree.leaves(nnx.state(llama(config)))]
    assert sum(sizes) == count_params(config).total


@pytest.mark.parametrize("name", sorted(ZOO))
def test_every_published_llama_has_its_parameters(name: str) -> None:
    entry = find(name)
    shapes = nnx.eval_shape(lambda: Llama(entry.config, rngs=nnx.Rngs(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(shapes))) == entry.params


def test_the_largest_llama_lowers_from_its_config_alone() -> None:
    config = find("llama3-405b").config
    graph, state = nnx.split(nnx.eval_shape(lambda: Llama(config, rngs=nnx.Rngs(0))))

    def loss(parameters: nnx.State, tokens: jax.Array) -> jax.Array:
        model = nnx.merge(graph, parameters)
        return cross_entropy(model(tokens, jnp.bfloat16), model.head, tokens).mean()

    lowered = jax.jit(jax.grad(loss)).lower(state, jax.ShapeDtypeStruct((1, 8192), jnp.int32))
    text = lowered.as_text()
    assert "126x16384x" in text  # the stacked layers
    assert text.count("stablehlo.while") >= 2  # scanned forwards and backwards, not unrolled 126 times


def test_rope_scaling_slows_long_waves_only() -> None:
    config = dataclasses.replace(find("llama3-8b").config, rope_scaling=RopeScaling())
    plain = rope_frequencies(dataclasses.replace(config, rope_scaling=None))
    scaled = rope_frequencies(config)
    waves = 2 * np.pi / plain
    np.testing.assert_allclose(scaled[waves < 8192 / 4], plain[waves < 8192 / 4])
    np.testing.assert_allclose(scaled[waves > 8192], plain[waves > 8192] / 8)
    between = (waves > 8192 / 4) & (waves < 8192)
    assert ((scaled[between] < plain[between]) & (scaled[between] > plain[between] / 8)).all()


def test_position_matters_only_by_distance() -> None:
    """RoPE: the scores of shifted positions are those of the unshifted ones."""
    config = dataclasses.replace(TINY, seq_len=12)
    q, k = (jax.random.normal(jax.random.key(i), (1, 1, 1, config.head_dim)) for i in range(2))
    cos, sin = rope_tables(config, 12)

    def score(at: int, past: int) -> float:
        turn = lambda x, p: apply_rope(x, (cos[p : p + 1], sin[p : p + 1]))  # noqa: E731
        return float((turn(q, at) * turn(k, past)).sum())

    assert score(5, 2) == pytest.approx(score(11, 8), abs=1e-5)
    assert score(5, 2) != pytest.approx(score(5, 4), abs=1e-3)
