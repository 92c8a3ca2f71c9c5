"""Whatever the log of another tool holds, it becomes a table or its violations are reported, in a line each."""

import contextlib
import importlib.util
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from foreign.damaged import NAMES, damage
from foreign.written import WRITERS, Run, lm_eval_results
from inprocess import scaling
from rounds import rounds

from analysis.runs.table import read_table
from scaling.errors import InputError

RUNS = [Run("a", 20_000_000, 3000), Run("b", 60_000_000, 3000), Run("c", 20_000_000, 9000, state="failed")]


def kinds(folder: Path) -> dict[str, Path]:
    """A log of every kind whose tool is installed."""
    found = {}
    for kind, (write, package) in WRITERS.items():
        if not package or importlib.util.find_spec(package) is not None:
            (folder / kind).mkdir(parents=True)
            found[kind] = write(folder / kind, RUNS)
    return found | {"tasks": lm_eval_results(folder / "tasks", {"a": {"arc": 0.3}, "b": {"arc": 0.4}})}


def check(source: Path, out: Path, chance: random.Random) -> int:
    """Imports a damaged log; the exit status, which is 0 with a table that can be read, or 2 without one."""
    columns = ["--columns", f"loss={chance.choice(NAMES)}"] if chance.random() < 0.05 else []
    done = scaling("import-runs", source, "-o", out, *columns)
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode == 2:
        assert done.stdout == ""
        assert all(line.startswith("error: ") and len(line) < 2000 for line in done.stderr.splitlines()), done.stderr
        assert not out.exists()
        return 2
    with contextlib.suppress(InputError):  # such as for a negative loss, or none at all
        read_table(out)
    return 0


def fuzz(kinds: dict[str, Path], folder: Path, number: int, seed: int = 0) -> None:
    codes: Counter[int] = Counter()
    for at in range(number):
        chance = random.Random(seed * 1_000_003 + at)
        kind = sorted(kinds)[at % len(kinds)]
        place = folder / str(at)
        place.mkdir(parents=True)
        source = place / kinds[kind].name
        (shutil.copytree if kinds[kind].is_dir() else shutil.copy)(kinds[kind], source)
        damage(source, chance)
        before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
        codes[check(source, folder / f"{at}.{chance.choice(['csv', 'parquet', 'jsonl'])}", chance)] += 1
        assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before, (
            f"{kind} is written to"
        )
        shutil.rmtree(place)
    assert set(codes) == {0, 2}, "none is understood, or none is refused"


def test_some_damaged_logs(tmp_path: Path) -> None:
    quick = {"wandb-csv", "wandb-synced", "levanter", "nanogpt", "llmc"}
    made = {kind: WRITERS[kind][0](tmp_path / kind, RUNS) for kind in sorted(quick) if not (tmp_path / kind).mkdir()}
    made["tasks"] = lm_eval_results(tmp_path / "tasks", {"a": {"arc": 0.3}, "b": {"arc": 0.4}})
    fuzz(made, tmp_path / "fuzz", 60)


@pytest.mark.slow
@pytest.mark.soak
def test_a_thousand_damaged_logs(tmp_path: Path) -> None:
    fuzz(kinds(tmp_path / "kinds"), tmp_path / "fuzz", rounds(1000, 10_000), seed=1)
