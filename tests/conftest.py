"""What every test shares: checked annotations, a cache of compiled functions, the published tables."""

import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jaxtyping
import pytest
from rounds import SOAK

ROOT = Path(__file__).parents[1]

# Through the environment, so that commands started by a test share the cache too; read when jax is imported.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("SCALING_CACHE", str(ROOT / ".cache"))
# One thread a process: there are as many processes as cores, and results do not depend on the number of cores. The
# flags of XLA are those of a sweep's workers (scaling/sweep/host/machine.py), so that both share what is compiled.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Measuring the machine takes a minute, and what a test sees must not depend on it.
os.environ.setdefault("SCALING_CALIBRATE", "no")

# The same examples each time, so that a pass stays one; `make soak` looks for new ones.
hypothesis.settings.register_profile("usual", derandomize=True, deadline=None)
hypothesis.settings.register_profile("soak", deadline=None)
hypothesis.settings.load_profile("soak" if SOAK else "usual")

# Before either package is imported: every annotation, array shapes included, is checked when a function is called.
jaxtyping.install_import_hook(["scaling", "analysis"], "typecheck.check")

import finished  # noqa: E402 (the environment and the hook come first)
import ordering  # noqa: E402
import typecheck  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-seconds", action="store_true", help="write the seconds of each file, by which they are ordered"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--record-seconds") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(ordering.Recorder())


def pytest_runtest_setup() -> None:
    typecheck.begin()


# Each compiled function takes some of the mappings that Linux allows a process, usually 65,530; beyond, it is killed.
_MOST_MAPPINGS = 20_000


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Forgets compiled functions between two files, once there are many; the disk has them."""
    mappings = Path("/proc/self/maps")
    if nextitem is None or nextitem.path == item.path or not mappings.exists() or "jax" not in sys.modules:
        return
    if mappings.read_bytes().count(b"\n") > _MOST_MAPPINGS:
        sys.modules["jax"].clear_caches()


@pytest.hookimpl(trylast=True)  # after tests are deselected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        ordering.reorder(items, config.workerinput["workercount"])


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder of this session that all its workers share."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def tiny_sweep(shared: Path) -> Path:
    """The folder of a finished sweep, ``out``, and its file, ``tiny.yaml``: to be read only."""
    return finished.made_once(shared / "tiny", finished.train)


@pytest.fixture(scope="session")
def quickstart(shared: Path) -> Path:
    """The folder of a finished sweep, ``elsewhere.QUICKSTART``: to be read only."""
    return finished.made_once(shared / "quickstart", finished.train_quickstart) / "out"


@pytest.fixture
def one_cluster(shared: Path) -> Iterator[None]:
    """One test of Ray after another: a cluster that runs on this machine is used by all."""
    with (shared / "ray.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of published tables of runs, named by SCALING_PUBLISHED; skips where it is not set."""
    folder = os.environ.get("SCALING_PUBLISHED")
    if not folder:
        pytest.skip("SCALING_PUBLISHED is not set: no folder of published tables")
    return Path(folder)


# What decides how Python, JAX or a command works; other new variables are those that libraries set when imported.
_OURS = ("PYTHON", "JAX", "XLA", "SCALING", "SLURM")


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Checks that a test left folder and environment as they were; else chance decides which tests meet the change."""
    folder, before = os.getcwd(), dict(os.environ)
    yield
    changed = {name: os.environ.get(name) for name in before.keys() | os.environ.keys()}
    changed = {name: value for name, value in changed.items() if value != before.get(name)}
    left = {name: value for name, value in changed.items() if name in before or name.startswith(_OURS)}
    assert os.getcwd() == folder
    assert left.keys() <= {"PYTEST_CURRENT_TEST"}, left
