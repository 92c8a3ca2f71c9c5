"""What the tests of sweeps share: no process outlives its test."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from elsewhere import end_all, table


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture(scope="session")
def undisturbed(quickstart: Path) -> pd.DataFrame:
    """The table of the sweep for executors, trained by local workers."""
    return table(quickstart)
