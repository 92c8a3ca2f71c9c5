"""What every test shares: checked annotations, a cache of compiled functions, the published tables."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[1]

# Through the environment, so that commands started by a test share the cache too; read when jax is imported.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("SCALING_CACHE", str(ROOT / ".cache"))
# Measuring the machine takes a minute, and what a test sees must not depend on it.
os.environ.setdefault("SCALING_CALIBRATE", "no")

# Before either package is imported: every annotation, array shapes included, is checked at each call.
install_import_hook(["scaling", "analysis"], "typecheck.check")


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of published tables of runs, named by SCALING_PUBLISHED; skips where it is not set."""
    folder = os.environ.get("SCALING_PUBLISHED")
    if not folder:
        pytest.skip("SCALING_PUBLISHED is not set: no folder of published tables")
    return Path(folder)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """What a test changes in the process, the next one must not meet; which one that is changes from run to run."""

    def now() -> tuple[str, dict[str, str]]:
        return os.getcwd(), {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}

    before = now()
    yield
    assert now() == before
