"""The iteration makes singular values about 1, whatever the matrix's shape and scale."""

import jax.numpy as jnp
import numpy as np
import pytest

from scaling.train.muon.newton_schulz import COEFFICIENTS, orthogonalisation_flops, orthogonalised

# The quintic's extremes, between which its fifth iterate is: its derivative in x^2 is a parabola.
A, B, C = COEFFICIENTS
EXTREMES = np.sqrt(np.roots([5 * C, 3 * B, A]))
MOST, LEAST = sorted(A * EXTREMES + B * EXTREMES**3 + C * EXTREMES**5, reverse=True)
SHAPES = [(16, 48), (48, 16), (32, 16), (8, 64)]


def test_the_extremes_are_about_one() -> None:
    assert pytest.approx([0.682, 1.202], abs=1e-3) == [LEAST, MOST]


def gaussian(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_singular_values_are_about_one_and_vectors_stay(shape: tuple[int, int], scale: float) -> None:
    matrices = scale * gaussian(3, *shape)
    found = np.asarray(orthogonalised(jnp.asarray(matrices)))
    values = np.linalg.svd(found, compute_uv=False)
    assert values.min() > LEAST - 1e-4
    assert values.max() < MOST + 1e-4
    left, _, right = np.linalg.svd(matrices, full_matrices=False)
    inner = np.swapaxes(left, 1, 2) @ found @ np.swapaxes(right, 1, 2)
    np.testing.assert_allclose(inner - np.eye(min(shape)) * inner, 0, atol=1e-3)


def test_a_small_singular_value_grows_to_be_one_of_many() -> None:
    """A hundredth of the largest, where the norm alone would leave it."""
    matrix = np.diag([1.0, 0.5, 0.1, 0.01]).astype(np.float32)
    found = np.diag(np.asarray(orthogonalised(jnp.asarray(matrix))))
    assert found.min() > LEAST - 1e-4
    assert found.max() < MOST + 1e-4


def test_a_matrix_and_its_transpose_go_alike() -> None:
    matrix = jnp.asarray(gaussian(12, 30))
    np.testing.assert_allclose(orthogonalised(matrix.T), orthogonalised(matrix).T, atol=1e-6)


def test_each_matrix_of_a_stack_is_its_own() -> None:
    matrices = jnp.asarray(gaussian(4, 10, 20)) * jnp.array([1.0, 10.0, 0.1, 1.0])[:, None, None]
    each = jnp.stack([orthogonalised(matrix) for matrix in matrices])
    np.testing.assert_allclose(orthogonalised(matrices), each, atol=1e-5)


def test_nothing_stays_nothing() -> None:
    found = np.asarray(orthogonalised(jnp.zeros((2, 8, 4))))
    assert (found == 0).all()


def test_flops_are_those_of_the_products() -> None:
    # Five times: (8, 20) by (20, 8), (8, 8) by (8, 8), (8, 8) by (8, 20).
    assert (
        orthogonalisation_flops(20, 8)
        == orthogonalisation_flops(8, 20)
        == 5 * 2 * (8 * 20 * 8 + 8 * 8 * 8 + 8 * 8 * 20)
    )
