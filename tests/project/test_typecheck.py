"""Annotations are checked in tests, at the first calls of a function: array shapes too."""

import numpy as np
import pytest
import typecheck
from jaxtyping import TypeCheckError

from analysis.laws import LAWS
from analysis.stats import robust_std


def test_a_wrong_shape_is_refused_until_a_function_has_been_called_very_often() -> None:
    square = np.ones((2, 2))
    for _ in range(typecheck.CHECKS // 2 - 1):
        robust_std(np.ones(3))
    with pytest.raises(TypeCheckError):
        robust_std(square)
    robust_std(np.ones(3))
    robust_std(square)
    typecheck.begin()
    with pytest.raises(TypeCheckError):
        robust_std(square)


def test_methods_and_properties_are_called_as_often() -> None:
    law = LAWS["chinchilla"]
    for _ in range(typecheck.CHECKS):
        law.reported(np.zeros(len(law.names)))
        assert law.bounds
    with pytest.raises(TypeCheckError):
        law.internal(None)  # type: ignore[arg-type]
