"""Whatever a sweep file or a table holds, it is understood or its violations are reported, in a line each."""

import functools
import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import matplotlib.font_manager  # noqa: F401 (it caches the list of fonts in the home of whoever imports it first)
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from inprocess import scaling
from mutated import COLUMNS, NAMINGS, WHERES, mutated_sweep, mutated_table
from rounds import SOAK, rounds

from analysis.design.seeds import FEWEST_CELLS
from analysis.fitting.fit import fit
from analysis.forecasting.forecast import forecast
from analysis.runs.table import read_table
from scaling.errors import InputError
from scaling.planning import plan_sweep
from scaling.sweep.plan import estimate
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.spec.sweep_file import load_sweep

pytestmark = [pytest.mark.slow, pytest.mark.soak]

COMMANDS = rounds(50, 500)
# No shrinking: a failing input is small enough to be read, and the time is better spent on others.
FUZZ = settings(
    deadline=None,
    database=None,
    derandomize=not SOAK,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each corpus is read once, and this machine timed once."""
    monkeypatch.setattr("scaling.sweep.plan.evaluation.load_text", functools.cache(load_text))
    monkeypatch.setattr(estimate, "_matmul_flops_per_s", functools.cache(estimate._matmul_flops_per_s))


def reported(error: InputError) -> None:
    assert error.errors
    for violation in error.errors:
        assert violation.strip()
        assert len(violation.splitlines()) == 1
        assert len(violation) < 2000


@pytest.mark.usefixtures("once")
@settings(FUZZ, max_examples=rounds(300, 2000))
@given(seed=st.integers(0, 2**63))
def test_mutated_sweeps(seed: int, tmp_path: Path) -> None:
    file = tmp_path / "fuzzed.yaml"
    file.write_bytes(mutated_sweep(random.Random(seed)))
    try:
        spec = load_sweep(file)
        if spec.corpus.path is None:  # elsewhere are files that are not for us to read
            estimate.describe(plan_sweep(spec), 2, None, FEWEST_CELLS, spec.arrangement)
    except InputError as error:
        reported(error)


@settings(FUZZ, max_examples=rounds(300, 2000))
@given(seed=st.integers(0, 2**63))
def test_mutated_tables(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    path = mutated_table(tmp_path, chance)
    where = chance.choice(WHERES) if chance.random() < 0.1 else None
    columns = chance.choice([*NAMINGS, {"params": chance.choice(COLUMNS)}]) if chance.random() < 0.1 else None
    try:
        table = read_table(path, columns, where, best=chance.random() < 0.1)
        if chance.random() < 0.6:
            assert np.isfinite(fit(table, "compute", bootstrap=2).objective)
        else:
            made = forecast(table, 1e6, 1e8, law="compute", bootstrap=2)
            assert np.isfinite([made.loss, *made.interval]).all()
    except InputError as error:
        reported(error)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_commands(patch: pytest.MonkeyPatch, folders: Sequence[Path], commands: Sequence[Sequence[str]]) -> None:
    """Each ends well or with 2 and a line for each error, and leaves its folder as it was.

    The working directory, the home and the place for temporary files are all in the folder.
    """
    codes = set()
    for folder, arguments in zip(folders, commands, strict=True):
        for name in ("home", "tmp"):
            (folder / name).mkdir()
        patch.chdir(folder)
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("TMPDIR", str(folder / "tmp"))
        patch.setattr("tempfile.tempdir", None)
        was = files(folder)
        done = scaling(*arguments)
        assert done.returncode in (0, 2), done.stderr
        assert "Traceback" not in done.stderr
        if done.returncode == 2:
            assert done.stdout == ""
            assert all(line.startswith("error: ") for line in done.stderr.splitlines()), done.stderr
        assert files(folder) == was, done.args
        codes.add(done.returncode)
    assert codes == {0, 2}, "none is understood, or none is refused"


@pytest.mark.usefixtures("once")
def test_mutated_sweeps_through_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / str(number) for number in range(COMMANDS)]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        (folder / "fuzzed.yaml").write_bytes(mutated_sweep(random.Random(seed)))
    check_commands(monkeypatch, folders, [["plan", "fuzzed.yaml", "--workers", "2", "--json"]] * len(folders))


def test_mutated_tables_through_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / str(number) for number in range(COMMANDS)]
    tables = []
    for seed, folder in enumerate(folders):
        folder.mkdir()
        tables.append(mutated_table(folder, random.Random(seed)).name)
    options = [
        ["fit", "--bootstrap", "0"],
        ["predict", "--params", "1e6", "--tokens", "1e8", "--bootstrap", "20"],
        ["backtest"],
    ]
    kinds = itertools.cycle(options)
    check_commands(monkeypatch, folders, [[*next(kinds), table, "--law", "compute", "--json"] for table in tables])
