"""Orthogonalisation of matrices by a Newton-Schulz iteration: Muon's (Jordan, 2024, kellerjordan.github.io/posts/muon).

For G = U S V^T it finds about U V^T, the matrix of spectral norm 1 along which G falls steepest (2409.20325), by matrix
products alone. The quintic's coefficients make small singular values grow fast, at the price that those of the result
lie between 0.68 and 1.21, its extremes, and not at 1.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# Added to the norm; a matrix of zeros stays one.
_EPS = 1e-7


def orthogonalised(matrices: Float[Array, "*stack rows columns"]) -> Float[Array, "*stack rows columns"]:
    """Each matrix of a stack with its singular values moved to about 1.

    The published code iterates in bfloat16; here the type is that of the matrices, float32 in training.
    """
    # X X^T is the smaller of the two products with itself if X is wide.
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + _EPS)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def orthogonalisation_flops(rows: int, columns: int) -> int:
    """FLOPs of the matrix products that orthogonalise one matrix."""
    short, long = sorted((rows, columns))
    return STEPS * 2 * (2 * short**2 * long + short**3)
