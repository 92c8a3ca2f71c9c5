"""Schedules: rise, hold, fall, with every number traced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.train.schedule import factor


def curve(kind: str, steps: int, warmup: float, decay: float, final: float) -> np.ndarray:
    shares = jnp.float32(warmup * steps), jnp.float32(decay * steps), jnp.float32(final)
    traced = jax.jit(lambda step, n: factor(kind, step, n, *shares))
    return np.array([traced(jnp.int32(step), jnp.int32(steps)) for step in range(steps)])


def test_wsd_rises_holds_and_falls_to_the_final_value() -> None:
    values = curve("wsd", 100, 0.1, 0.3, 0.0)
    assert values[0] == pytest.approx(0.05)
    assert (values[10:70] == 1).all()
    np.testing.assert_allclose(np.diff(values[70:]), -1 / 30, atol=1e-5)
    assert values[-1] == pytest.approx(0.5 / 30, abs=1e-6)


def test_cosine_falls_from_the_warm_up_to_a_tenth() -> None:
    values = curve("cosine", 200, 0.05, 0.3, 0.1)
    assert values.argmax() in (9, 10)
    assert values[-1] == pytest.approx(0.1, abs=1e-3)
    middle = values[105]
    assert middle == pytest.approx(0.55, abs=0.02)


def test_no_warm_up_is_valid() -> None:
    assert curve("wsd", 4, 0.0, 0.5, 0.0)[0] == 1


def test_horizons_share_their_trunk_to_the_bit() -> None:
    warmup = 17.3
    short, long = (curve("wsd", steps, warmup / steps, 0.3, 0.0) for steps in (90, 200))
    assert (short[:63] == long[:63]).all()
    assert short[63] < long[63] == 1
