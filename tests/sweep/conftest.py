"""A sweep for the executors, trained here and undisturbed, to compare with."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from elsewhere import end_all, run, table


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert run(out, "--workers", "2").returncode == 0
    return table(out)


@pytest.fixture
def one_cluster(shared: Path) -> Iterator[None]:
    """One test of Ray after another: a cluster that runs on this machine is used by all."""
    with (shared / "ray.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
