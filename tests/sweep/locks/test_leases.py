"""Leases: when one lapses, who takes it over, and that a process that has lost its lease writes nothing."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sweep.locks.attempts import LOCKS, mine

from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.locks import leases
from scaling.sweep.locks.leases import LeaseLost, leased, still_held
from scaling.sweep.locks.local import LocalLocks
from scaling.sweep.locks.process_identity import this_process
from scaling.sweep.locks.records import FileRecords
from scaling.train.stop import STOPPED_EXIT

ELSEWHERE = {"host": "elsewhere", "pid": 1, "released": False}


class Clock:
    """Replaces the module ``time``: monotonic clocks that are moved by the test, and no other."""

    CLOCK_BOOTTIME = CLOCK_MONOTONIC = 0

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def clock_gettime(self, _: int) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(leases, "time", clock)
    return clock


@pytest.fixture
def lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALING_LOCKS", "lease")


def record(path: Path, number: int, content: object = ELSEWHERE) -> Path:
    """A record as another holder would have left it."""
    file = path.with_name(f"lock.lease.{number}")
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file


def look(path: Path, clock: Clock, seconds: float) -> Iterator[bool]:
    """Whether the lease can be taken, tried again and again for so many seconds."""
    until = clock.now + seconds
    while clock.now < until:
        yield mine(path)
        clock.now += leases.RENEW_S / 2


@pytest.mark.usefixtures("lease")
def test_a_lease_lapses_by_the_observers_own_clock_alone(path: Path, clock: Clock) -> None:
    file = record(path, 7)
    for stamp in (0, 4_000_000_000, 1):  # a clock that is set, and set back
        os.utime(file, (stamp, stamp))
        assert not any(look(path, clock, leases.LAPSE_S / 4))
    record(path, 7, {**ELSEWHERE, "renewals": 1})
    assert not any(look(path, clock, leases.LAPSE_S)), "a sign of life, and all begins anew"
    with LOCKS.locked(path) as got:
        assert got
        assert FileRecords(path).numbers() == [8]


@pytest.mark.usefixtures("lease")
def test_no_lease_lapses_because_the_disk_hangs(path: Path, clock: Clock) -> None:
    record(path, 1)
    assert not mine(path)
    clock.now += 100 * leases.LAPSE_S
    assert not mine(path)
    assert any(look(path, clock, 2 * leases.LAPSE_S))


@pytest.mark.usefixtures("lease")
@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff" * 600, b"[1, 2]", b'{"released": true', b'{"released": 1, "pid": "x"}', b'{"host": 3}'],
)
def test_a_damaged_record_keeps_others_out_until_it_lapses(content: bytes, path: Path, clock: Clock) -> None:
    record(path, 3, content)
    assert not any(look(path, clock, leases.LAPSE_S))
    assert mine(path)
    assert LOCKS.free(path)


@pytest.mark.usefixtures("lease")
@pytest.mark.parametrize("pid", [0, -1, 2**40, "1", None])
def test_a_process_that_cannot_be_is_not_taken_for_dead(pid: object, path: Path) -> None:
    record(path, 1, {**this_process(), "pid": pid, "released": False})
    assert not mine(path)


@pytest.mark.usefixtures("lease")
def test_a_number_that_another_process_has_now_is_known_by_its_start(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(path, 1, {**this_process(), "started": "12", "released": False})
    assert mine(path)
    (reported,) = caplog.messages
    assert "has ended; the lease is taken over" in reported
    record(path, 9, {**this_process(), "started": "12", "boot": "another", "released": False})
    assert not mine(path), "as far as is known it is another machine's"


def test_of_many_processes_one_takes_over(tmp_path: Path) -> None:
    """Eighty leases of dead holders, and four processes that want them all at once."""
    folders = [tmp_path / f"{number:02}" for number in range(80)]
    for folder in folders:
        folder.mkdir()
        record(folder / "lock", 5, {**this_process(), "started": "12", "released": False})
    code = (
        "import sys\nfrom contextlib import ExitStack\nfrom pathlib import Path\n"
        "from scaling.sweep.locks.local import LocalLocks\n"
        "sys.stdin.readline()\n"
        "with ExitStack() as held:\n"
        "    for folder in sorted(Path(sys.argv[1]).iterdir()):\n"
        "        if held.enter_context(LocalLocks().locked(folder / 'lock')):\n"
        "            print(folder.name, flush=True)\n"
        "    print('end', flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    environment = {**os.environ, "SCALING_LOCKS": "lease"}
    each = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(4)
    ]
    for process in each:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    won: list[str] = []
    for process in each:
        assert process.stdout is not None
        won += iter(process.stdout.readline, "end\n")
    reported = [process.communicate("\n")[1] for process in each]
    assert sorted(name.strip() for name in won) == [folder.name for folder in folders]
    assert sum(complaint.count("has ended; the lease is taken over") for complaint in reported) == len(folders)
    for folder in folders:
        assert FileRecords(folder / "lock").numbers() == [6]
        assert LOCKS.free(folder / "lock")


@dataclass(frozen=True)
class Late(FileRecords):
    """Of a process that is suspended after it has seen the first record released."""

    seen: list[int] = field(default_factory=lambda: [1])

    def numbers(self) -> list[int]:
        return [self.seen.pop()] if self.seen else super().numbers()

    def read(self, number: int) -> bytes:
        assert number == 1
        return b'{"released": true}'


def test_a_number_that_others_have_left_behind_is_no_lease(path: Path) -> None:
    record(path, 3)
    with leased(Late(path)) as got:
        assert not got
    assert FileRecords(path).numbers() == [3]


@pytest.mark.usefixtures("lease")
def test_a_holder_renews_its_lease(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.02)
    monkeypatch.setattr(leases, "LAPSE_S", 1.0)
    seen = set()
    with LOCKS.locked(path) as got:
        assert got
        while len(seen) < 100:  # two of its lives
            assert not mine(path)
            seen.add(FileRecords(path).read(1))
            time.sleep(0.01)
    sizes = {len(content) for content in seen if content}
    assert len(sizes) == 1, "renewing needs no room"
    assert LOCKS.free(path)


@pytest.mark.usefixtures("lease")
def test_who_has_lost_its_lease_writes_nothing(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    run = RunFolder(tmp_path, LocalLocks())
    with run.locked() as got:
        assert got
        run.write_status({"state": "running"})
        run.log({"step": 1, "loss": 2.0})
        before = (tmp_path / "status.json").read_bytes(), (tmp_path / "metrics.jsonl").read_bytes()
        theirs = record(tmp_path / "lock", 2)
        content = theirs.read_bytes()
        clock.now += leases.LAPSE_S  # suspended
        for write in (
            lambda: run.log({"step": 2, "loss": 1.0}),
            lambda: run.write_status({"state": "running"}),
            lambda: run.finish({"state": "done"}),
        ):
            with pytest.raises(LeaseLost):
                write()
        assert "this process was taken for dead" in caplog.text
    assert ((tmp_path / "status.json").read_bytes(), (tmp_path / "metrics.jsonl").read_bytes()) == before
    assert theirs.read_bytes() == content
    assert not run.free()
    still_held(sure=True)  # it has nothing more to lose


@pytest.mark.usefixtures("lease")
def test_the_last_word_is_not_had_without_a_look(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, LocalLocks())
    with run.locked():
        record(tmp_path / "lock", 2)
        run.write_status({"state": "running"})  # no time has passed in which another could have had it
        with pytest.raises(LeaseLost):
            run.finish({"state": "done"})
    assert run.status() == {"state": "running"}


@pytest.mark.usefixtures("lease")
def test_a_lease_that_cannot_be_renewed_is_no_more(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    run = RunFolder(tmp_path, LocalLocks())
    with run.locked():
        monkeypatch.setattr(FileRecords, "renew", fail)
        run.write_status({"state": "running"})
        clock.now += leases.LAPSE_S
        with pytest.raises(LeaseLost):
            run.write_status({"state": "running"})


@pytest.mark.usefixtures("lease")
def test_a_worker_that_was_suspended_leaves_the_run_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one, stopped for longer than its lease holds."""
    code = (
        "import itertools, sys, time\nfrom pathlib import Path\nfrom scaling.sweep.locks import leases\n"
        "from scaling.sweep.locks.local import LocalLocks\n"
        "from scaling.sweep.folder.run_folder import RunFolder\nfrom scaling.train.stop import STOPPED_EXIT, Stopped\n"
        "leases.RENEW_S, leases.LAPSE_S = 0.1, 1.0\n"
        "run = RunFolder(Path(sys.argv[1]), LocalLocks())\n"
        "try:\n"
        "    with run.locked():\n"
        "        for step in itertools.count():\n"
        "            run.log({'step': step, 'loss': 1.0})\n"
        "            time.sleep(0.01)\n"
        "except Stopped:\n"
        "    sys.exit(STOPPED_EXIT)\n"
    )
    monkeypatch.setattr(leases, "RENEW_S", 0.1)
    monkeypatch.setattr(leases, "LAPSE_S", 1.0)
    monkeypatch.setattr(leases, "has_ended", lambda _: False)  # as if on another machine
    run = RunFolder(tmp_path, LocalLocks())
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE, text=True) as holder:
        while len(run.metrics()) < 5:
            assert holder.poll() is None
            time.sleep(0.05)
        assert not run.free()
        holder.send_signal(signal.SIGSTOP)
        while not run.free():
            time.sleep(0.05)
        with run.locked() as got:
            assert got
            before = run.metrics()
            holder.send_signal(signal.SIGCONT)
            reported = holder.communicate(timeout=30)[1]
            assert run.metrics() == before
    assert holder.returncode == STOPPED_EXIT
    assert "this process was taken for dead" in reported
