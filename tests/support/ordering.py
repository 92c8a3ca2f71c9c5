"""The order of the tests: files by the seconds that each took when they were last recorded, longest first."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# File -> seconds of all its tests, setup included. `pytest --record-seconds` writes those of the files it ran.
SECONDS = Path(__file__).with_name("seconds.json")
UNKNOWN_S = 1.0  # of a file that was never recorded


def in_order(units: list[str], seconds: list[float], workers: int) -> list[int]:
    """The order for xdist's ``worksteal``, which cuts a list of tests into parts of one length, one for each worker.

    Units are dealt to the workers, the longest first and each to whoever has least to do, so that every part begins
    with its longest unit. The tests of a unit stay together, because they share fixtures. A worker that has finished
    takes tests from the end of another's part.

    Args:
        units: of each test, the name of its unit.
        seconds: of each test.
        workers: number of parts.

    Returns:
        indices into ``units``.
    """
    tests: defaultdict[str, list[int]] = defaultdict(list)
    length: defaultdict[str, float] = defaultdict(float)
    for index, (unit, taken) in enumerate(zip(units, seconds, strict=True)):
        tests[unit].append(index)
        length[unit] += taken
    parts: list[list[int]] = [[] for _ in range(workers)]
    loads = [0.0] * workers
    for unit in sorted(tests, key=lambda name: (-length[name], name)):
        least = loads.index(min(loads))
        parts[least] += tests[unit]
        loads[least] += length[unit]
    # Parts of the length that xdist gives them: what is over, short tests, goes to the end of those that lack some.
    sizes = [(len(units) * (place + 1)) // workers - (len(units) * place) // workers for place in range(workers)]
    over = [index for part, size in zip(parts, sizes, strict=True) for index in part[size:]]
    order: list[int] = []
    for part, size in zip(parts, sizes, strict=True):
        lacking = max(0, size - len(part))
        order += part[:size] + over[:lacking]
        del over[:lacking]
    return order


def reorder(items: list[pytest.Item], workers: int) -> None:
    """Puts tests in order, by what was recorded; those of one ``xdist_group`` are a unit, as those of a file are."""
    files = [file_of(item.nodeid) for item in items]
    groups = [item.get_closest_marker("xdist_group") for item in items]
    units = [file if group is None else group.args[0] for file, group in zip(files, groups, strict=True)]
    tests, known = Counter(files), recorded()
    seconds = [known.get(file, UNKNOWN_S) / tests[file] for file in files]
    items[:] = [items[index] for index in in_order(units, seconds, workers)]


class Recorder:
    """Adds up the seconds of each file, and writes them when the session ends."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[file_of(report.nodeid)] += report.duration

    def pytest_sessionfinish(self) -> None:
        known = {file: taken for file, taken in recorded().items() if (ROOT / file).exists()}
        taken = known | {file: round(seconds, 1) for file, seconds in self._seconds.items()}
        SECONDS.write_text(json.dumps(dict(sorted(taken.items())), indent=1) + "\n")


def recorded() -> dict[str, float]:
    """File -> seconds, as they were last recorded."""
    seconds: dict[str, float] = json.loads(SECONDS.read_text())
    return seconds


def file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]
